"""What an extraction has done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.wording import counted

_SHOWN: Final = 160
_MOST_LINES: Final = 5
_HOW: Final = {"patterns": "patterns", "llm": "the model"}


@dataclass(frozen=True, slots=True)
class Stored:
    """How many facts were stored, said again, superseded, and ended."""

    new: int = 0
    repeated: int = 0
    superseded: int = 0
    ended: int = 0


@dataclass(slots=True)
class ExtractionReport:
    """What was read, found and stored.

    Attributes:
        method: "patterns" or "llm".
        turns: how many turns of users were read.
        found: how many facts were found in them, each time one was said.
        new: how many were stored.
        repeated: how many stored ones were said again.
        superseded: how many stored ones another one stands in place of now.
        ended: how many stored ones do not hold any more.
        dropped: facts of a model that the turns do not bear out, by the reason.
        failures: why a model gave no facts for a part of the turns; nothing was stored for it.
        cost: what a model cost, in the currency of its tracker; None where nobody counts.
        seconds: how long models took.
        dry_run: whether nothing was stored.
    """

    method: str
    turns: int = 0
    found: int = 0
    new: int = 0
    repeated: int = 0
    superseded: int = 0
    ended: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    cost: float | None = None
    seconds: float = 0.0
    dry_run: bool = False

    def __str__(self) -> str:
        would = ", and nothing was stored (a dry run)" if self.dry_run else ""
        lines = [
            f"{counted(self.turns, 'turn')} read by {_HOW[self.method]}, "
            f"{counted(self.found, 'fact')} found{would}",
            f"{self.new:,} new, {self.repeated:,} said again, {self.superseded:,} superseded, "
            f"{self.ended:,} ended",
        ]
        lines += _first([f"dropped: {times:,} times, {why}" for why, times in self.dropped.items()])
        lines += _first([f"failed: {one_line(why, _SHOWN)}" for why in self.failures])
        if self.cost is not None:
            lines.append(f"cost: {self.cost:.4f}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)

    def spent(self, cost: float | None, seconds: float) -> None:
        """Count one answer, or one that failed."""
        self.seconds += seconds
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def stored(self, done: Stored) -> None:
        """Count what was stored."""
        self.new += done.new
        self.repeated += done.repeated
        self.superseded += done.superseded
        self.ended += done.ended


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"... and {more:,} more"] if more > 0 else lines
