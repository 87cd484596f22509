"""How hits look in a terminal and in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bruno_core.models.memory import MemoryEntry
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bruno_memory_vec.prompts.hidden_characters import marked
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import UserSummary
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
# On a narrower page there are no columns beside each other.
_NARROW = 60
# Columns of a table of users that is no wider than its page.
_TABLE_NEEDS = 72
# Smaller parts would show as 0.000.
_UNSEEN = 0.0005
_MARKS = "…  …"
_WORD = re.compile(r"\w+")


def wrapped(line: str, width: int) -> list[str]:
    """A line of text as lines of at most some cells, which break between words.

    Only a word that is longer is cut. What follows the first keeps its indentation, and a command
    to be typed, which a program's prompt or name would begin, is one line.
    """
    if cell_len(line) <= width or line.lstrip().startswith(("bruno-memory-vec ", "python -m ")):
        return [line]
    indent = min(len(line) - len(line.lstrip(" ")), width // 2)
    parts = Text(line.lstrip(" ")).wrap(Console(width=width), width - indent, overflow="fold")
    return [" " * indent + part.plain.rstrip() for part in parts]


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


def hit_table(
    hits: Iterable[Hit],
    words: set[str],
    *,
    first: int = 1,
    lines: int = 3,
    plain: bool = False,
    width: int = 80,
) -> Table:
    """A table of hits: rank and score, time, speaker, turn, text and signals.

    Args:
        hits: best first.
        words: what the excerpts should show.
        first: the rank of the first hit.
        lines: about how many lines of 74 characters a text may take.
        plain: whether the signals are told in plain words, a line each.
        width: of the page, in cells; on a narrow one the score has no column.
    """
    grid = Table.grid(padding=(0, 2 if width >= _NARROW else 1, 0, 0))
    grid.add_column(justify="right", style="bold", no_wrap=True)
    if width >= _NARROW:
        grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for rank, hit in enumerate(hits, first):
        # Without a signal it was not ranked.
        score = f"{hit.score:.3f}" if hit.signals else ""
        head = Text(f"{hit.created_at:%Y-%m-%d}  ", style="dim")
        head.append(hit.speaker, style=ROLE_STYLES.get(hit.speaker, "magenta"))
        said = Text(excerpt(hit.excerpt, words, 66 * lines))
        why = Reasons(hit.signals) if plain else Signals(hit.signals)
        if width >= _NARROW:
            head.append(f"  {place(hit)}")
            grid.add_row(f"{rank}.", score, Group(head, said, why))
        else:
            head.append(f"  {score}", style="not dim")
            where = Text(place(hit), style="dim", overflow="fold")
            grid.add_row(f"{rank}.", Group(head, where, said, why))
    return grid


def row_lines(hit: Hit, width: int, *, whose: bool = False, ids: bool = True) -> Group:
    """A message or a memory in a list: when, who and where; its text; its id, and what it has.

    Args:
        hit: as of a timeline.
        width: of the page, in cells.
        whose: whether to name the user.
        ids: whether to tell its id and what it has.
    """
    head = Text(f"{hit.created_at:%Y-%m-%d %H:%M}  ", style="dim")
    head.append(hit.speaker, style=f"not dim {ROLE_STYLES.get(hit.speaker, 'magenta')}")
    if whose and hit.user_id is not None:
        head.append(f" of {marked(hit.user_id)}")
    if hit.conversation_id is not None and hit.kind == "message":
        head.append(f"  {place(hit)}")
    text = excerpt(hit.content, set(), 3 * max(width - 4, 10))
    if not ids:
        return Group(head, Padding(Text(text), (0, 0, 0, 2)))
    about = [hit.id, *(name for name in ("pinned", "archived") if getattr(hit, name))]
    record = hit.record
    if isinstance(record, MemoryEntry):
        if record.metadata.importance != 1:  # which is that of a memory whose nobody set
            about.append(f"importance={record.metadata.importance:g}")
        about += [f"#{marked(tag)}" for tag in record.metadata.tags]
    return Group(
        head,
        Padding(Text(text), (0, 0, 0, 2)),
        Padding(Text("  ".join(about), style="dim"), (0, 0, 0, 2)),
    )


def user_lines(users: Sequence[UserSummary], width: int) -> RenderableType:
    """Users with what a store holds of each: a table, and on a narrow page some lines each."""
    if width >= _TABLE_NEEDS:
        return _user_table(users)
    parts: list[RenderableType] = []
    for one in users:
        parts.append(Text(marked(one.user_id), style="bold"))
        counts = [
            counted(one.messages, "message"),
            counted(one.conversations, "conversation"),
            counted(one.memories, "memory"),
        ]
        parts.append(Padding(Text(", ".join(counts)), (0, 0, 0, 2)))
        if one.first is not None and one.last is not None:
            spoke = Text(f"{one.first:%Y-%m-%d} to {one.last:%Y-%m-%d}", style="dim")
            parts.append(Padding(spoke, (0, 0, 0, 2)))
    return Group(*parts)


def _user_table(users: Sequence[UserSummary]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("user", overflow="fold")
    for name in ("messages", "conversations", "memories"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    for one in users:
        table.add_row(
            Text(marked(one.user_id)),
            f"{one.messages:,}",
            f"{one.conversations:,}",
            f"{one.memories:,}",
            *("" if at is None else f"{at:%Y-%m-%d}" for at in (one.first, one.last)),
        )
    return table


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


#: What each signal says, for people who have not read how it is ranked.
REASONS = {
    "lexical": "the same words",
    "semantic": "a like meaning",
    "neighbours": "what was said beside it",
    "answers": "it follows a like question",
    "conversation": "its conversation is about it",
    "day": "its day is about it",
    "opening": "it begins a conversation",
    "coverage": "all words of the question",
    "passages": "a part of it fits best",
    "speaker": "who said it",
    "length": "it is long enough",
    "statement": "it states something",
    "time_mention": "it names a time",
    "time_named": "it is of the time asked about",
    "period": "it is of the time asked about",
    "current": "how things are now",
    "recency": "how new it is",
    "importance": "how important it is",
    "use": "how often it was recalled",
    "update": "the newer of two",
    "asked_before": "it only asks the same",
    "repeats": "it stands for others",
    "feedback": "it is like the best ones",
    "duplicates": "it says the same again",
    "diversity": "it is like one above it",
}


class Reasons:
    """Each signal's part in a score on a line of its own: a bar, what it means, its value.

    Args:
        signals: as of a :class:`~bruno_memory_vec.Hit`.
        most: how many lines at most; the smallest parts are counted together.
    """

    def __init__(self, signals: Mapping[str, float], most: int = 6) -> None:
        parts = sorted(signals.items(), key=lambda part: -abs(part[1]))
        shown = [(name, value) for name, value in parts if abs(value) >= 10 * _UNSEEN]
        most = most if len(shown) > most + 1 else len(shown)
        self._shown, rest = shown[:most], shown[most:]
        self._rest = (len(rest), sum(value for _, value in rest))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A bar is as long as its value is large, beside the largest."""
        largest = max((abs(value) for _, value in self._shown), default=1.0)
        room = max(min(24, options.max_width - 37), 6)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=room, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in self._shown:
            bar = "█" * max(round(room * abs(value) / largest), 1)
            style = _SIGNAL_STYLES.get(name, _OTHER_SIGNALS)
            grid.add_row(Text(bar, style=style), f"{value:+.2f}", REASONS.get(name, name))
        count, value = self._rest
        if count:
            grid.add_row("", f"{value:+.2f}", counted(count, "smaller part"))
        yield grid


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
