"""Bars and lines as SVG: the places of their parts, in units of a drawing of fixed width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The width of a drawing, in its own units; a page stretches it.
WIDTH: Final = 1000.0
#: A signal that is less than this, without its sign, is not drawn: it is 0 in three decimals.
LEAST: Final = 0.0005

#: What each signal of the rankers says, and its colour, by number; see the style sheet.
SIGNALS: Final[Mapping[str, tuple[int, str]]] = {
    "lexical": (1, "the question's words (BM25)"),
    "semantic": (2, "meaning: how near its vector is to the question's"),
    "neighbours": (3, "the turns around it answer, too"),
    "conversation": (4, "its conversation answers, too"),
    "day": (5, "what was said on that day answers, too"),
    "opening": (6, "it opens its conversation"),
    "speaker": (7, "who speaks"),
    "passages": (8, "a passage of it answers better than the whole text"),
    "coverage": (9, "it and the turns around it hold all words of the question"),
    "time_named": (10, "it is of the time that the question names"),
    "time_mention": (11, "it names a time, and the question asks when"),
    "answers": (12, "the turn before it asked something like this"),
    "recency": (13, "how new it is"),
    "importance": (14, "its importance"),
    "use": (15, "how often it was recalled"),
    "update": (16, "of two that say something of one thing, the newer stands first"),
    "asked_before": (16, "it only repeats the question, or says that nothing is known"),
    "repeats": (16, "it stands for others that say the same"),
    "statement": (9, "it states something and asks nothing"),
    "length": (6, "it is not very short"),
    "current": (13, "it is newer, and the question asks what holds now"),
    "learned": (12, "a learned weighing"),
    "diversity": (16, "it differs from the ones above"),
    "cross_encoder": (8, "a cross-encoder has read both texts"),
}
# So many columns and more stand without a gap.
_NARROW: Final = 120
_OTHER: Final = (16, "another package's step")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar.

    Attributes:
        name: of what.
        value: how much, with its sign.
        x: where it begins.
        width: how wide it is.
        colour: its number.
    """

    name: str
    value: float
    x: float
    width: float
    colour: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of parts side by side: what takes away stands left of zero, in its own row.

    Attributes:
        parts: the parts, each as wide as its value.
        zero: where zero is.
        said: all parts as one sentence.
    """

    parts: tuple[Part, ...]
    zero: float
    said: str


def signal_bars(all_signals: Sequence[Mapping[str, float]]) -> list[Bar]:
    """A bar for each hit, all of one scale."""
    shown = [{name: v for name, v in one.items() if abs(v) >= LEAST} for one in all_signals]
    low = min((sum(v for v in one.values() if v < 0) for one in shown), default=0.0)
    high = max((sum(v for v in one.values() if v > 0) for one in shown), default=0.0)
    unit = WIDTH / ((high - low) or 1.0)
    return [_bar(one, -low * unit, unit) for one in shown]


def legend(all_signals: Iterable[Mapping[str, float]]) -> list[tuple[str, int, str]]:
    """The signals that any hit has: name, colour, what it says."""
    seen = {n: None for one in all_signals for n, v in one.items() if abs(v) >= LEAST}
    return [(name, *SIGNALS.get(name, _OTHER)) for name in seen]


def share_bar(parts: Sequence[tuple[str, float, int]], whole: float) -> Bar:
    """A bar of parts of a whole: name, how much, colour."""
    unit = WIDTH / max(whole, sum(value for _, value, _ in parts), 1e-9)
    placed, at = [], 0.0
    for name, value, colour in parts:
        placed.append(Part(name, value, at, value * unit, colour))
        at += value * unit
    said = ", ".join(f"{name} {value:,.0f}" for name, value, _ in parts)
    return Bar(tuple(placed), 0.0, said)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a chart, of parts that stand one on the other.

    Attributes:
        label: of what.
        x: where it begins.
        width: how wide it is.
        parts: of each part how much, where it begins from above, and its height.
    """

    label: str
    x: float
    width: float
    parts: tuple[tuple[float, float, float], ...]


def columns(
    values: Sequence[tuple[str, Sequence[float]]], height: float = 100.0
) -> tuple[list[Column], float]:
    """A chart of columns: the label and the parts of each; and the most that one comes to."""
    most = max((sum(parts) for _, parts in values), default=0.0)
    step = WIDTH / max(1, len(values))
    gap = step * 0.18 if len(values) < _NARROW else 0.0
    made = []
    for number, (label, parts) in enumerate(values):
        at, placed = height, []
        for value in parts:
            tall = height * value / most if most else 0.0
            at -= tall
            placed.append((value, at, tall))
        made.append(Column(label, number * step + gap / 2, step - gap, tuple(placed)))
    return made, most


def spark(values: Sequence[float], height: float = 20.0) -> str:
    """The points of a small line, as SVG's ``polyline`` has them."""
    most = max(values, default=0.0) or 1.0
    step = WIDTH / max(1, len(values) - 1)
    return " ".join(
        f"{number * step:.0f},{height - 1 - (height - 2) * value / most:.1f}"
        for number, value in enumerate(values)
    )


def _bar(signals: Mapping[str, float], zero: float, unit: float) -> Bar:
    parts, right, left = [], zero, zero
    for name, value in signals.items():
        width = abs(value) * unit
        colour, _ = SIGNALS.get(name, _OTHER)
        if value < 0:
            left -= width
            parts.append(Part(name, value, left, width, colour))
        else:
            parts.append(Part(name, value, right, width, colour))
            right += width
    said = ", ".join(f"{name} {value:+.3f}" for name, value in signals.items())
    return Bar(tuple(parts), zero, said or "no signal")
