"""How hits look in a terminal and in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from bruno_memory_vec.prompts.hidden_characters import marked

if TYPE_CHECKING:
    from bruno_memory_vec.recall.hits import Hit

ROLE_STYLES = {"user": "cyan", "assistant": "green", "system": "magenta"}
# The same colour for the same signal in every table.
_SIGNAL_STYLES = {
    "lexical": "blue",
    "semantic": "yellow",
    "neighbours": "green",
    "conversation": "magenta",
}
_OTHER_SIGNALS = "cyan"
_BAR = 10
# Smaller parts would show as 0.000.
_UNSEEN = 0.0005
_MARKS = "…  …"
_WORD = re.compile(r"\w+")


def counted(number: int, thing: str) -> str:
    """``1 message``, ``1,200 messages``."""
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else many}"


def words_of(*texts: str) -> set[str]:
    """The words of some texts, as :func:`excerpt` compares them."""
    return {_fold(word) for text in texts for word in _WORD.findall(text) if len(word) > 2}


def excerpt(text: str, words: set[str], width: int) -> str:
    """The part of a text, at most about ``width`` cells, that has most of some words."""
    line = " ".join(marked(text).split())
    if cell_len(line) <= width:
        return line
    tokens = line.split(" ")
    hits = [_has(token, words) for token in tokens]
    # A window slides over the words. Of the first windows in a row with the most hits, the middle
    # one shows most context.
    first, last, most, unbroken = 0, 0, -1, False
    start, length, found = 0, len(_MARKS), 0
    for end, token in enumerate(tokens):
        length += cell_len(token) + 1
        found += hits[end]
        while length > width and start < end:
            length -= cell_len(tokens[start]) + 1
            found -= hits[start]
            start += 1
        if found > most:
            first, last, most, unbroken = start, start, found, found > 0
        elif found < most:
            unbroken = False
        elif unbroken:
            last = start
    return _cut(tokens, (first + last) // 2, width)


def _cut(tokens: list[str], start: int, width: int) -> str:
    # Extend the excerpt to the left while there is room, for context.
    while start > 0 and cell_len(" ".join(tokens[start - 1 :])) <= width - 2:
        start -= 1
    shown = "" if start == 0 else "… "
    for place in range(start, len(tokens)):
        longer = f"{shown}{tokens[place]}"
        room = width if place == len(tokens) - 1 else width - 2
        if cell_len(longer) > room and place > start:
            return f"{shown.rstrip()} …"
        shown = f"{longer} "
    shown = shown.rstrip()
    return shown if cell_len(shown) <= width else f"{set_cell_size(shown, width - 1)}…"


def _has(token: str, words: set[str]) -> bool:
    return any(_fold(word) in words for word in _WORD.findall(token))


def _fold(word: str) -> str:
    # A rough stemmer, good enough to choose an excerpt.
    return word.casefold()[:5]


def hit_table(hits: Iterable[Hit], words: set[str], *, first: int = 1, lines: int = 3) -> Table:
    """A table of hits: rank and score, time, speaker, turn, text and signals.

    Args:
        hits: best first.
        words: what the excerpts should show.
        first: the rank of the first hit.
        lines: about how many lines of 74 characters a text may take.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", style="bold", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for rank, hit in enumerate(hits, first):
        head = Text(f"{hit.created_at:%Y-%m-%d}  ", style="dim")
        head.append(hit.speaker, style=ROLE_STYLES.get(hit.speaker, "magenta"))
        head.append(f"  {place(hit)}")
        said = Text(excerpt(hit.excerpt, words, 66 * lines))
        # Without a signal it was not ranked.
        score = f"{hit.score:.3f}" if hit.signals else ""
        grid.add_row(f"{rank}.", score, Group(head, said, Signals(hit.signals)))
    return grid


def place(hit: Hit) -> str:
    """The conversation and turn of a hit: ``trip-planning #4``."""
    if hit.conversation_id is None:
        return "(a memory)" if hit.kind == "memory" else ""
    turn = "" if hit.turn is None else f" #{hit.turn}"
    return f"{marked(hit.conversation_id)}{turn}"


class Page(Console):
    """A console that lets the command end when the reader, such as ``head``, has ended."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError; rich itself would exit as if the command had failed."""
        raise BrokenPipeError


class Signals:
    """Each signal's part in a score: a bar of its share, its name and its value, largest first.

    Args:
        signals: as of a :class:`~bruno_memory_vec.Hit`.
    """

    def __init__(self, signals: Mapping[str, float]) -> None:
        total = sum(abs(value) for value in signals.values())
        self._parts: list[Text] = []
        for name, value in sorted(signals.items(), key=lambda part: -abs(part[1])):
            if abs(value) < _UNSEEN:
                continue
            cells = round(_BAR * abs(value) / total)
            bar = "▪" * cells + (" " if cells else "")
            self._parts.append(
                Text(bar, style=_SIGNAL_STYLES.get(name, _OTHER_SIGNALS)).append(
                    f"{name} {value:+.3f}", style="dim"
                )
            )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines that break between signals only."""
        line = Text()
        for part in self._parts:
            if line and line.cell_len + 2 + part.cell_len > options.max_width:
                yield line
                line = Text()
            line = Text.assemble(line, "  " if line else "", part)
        yield line
