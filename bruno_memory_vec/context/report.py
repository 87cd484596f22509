"""What a built context holds, and what its report says: what went in, what did not, and why."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.prompts.hidden_characters import one_line

#: Which part of a context something belongs to.
Source = Literal[
    "system", "profile", "pinned", "summary", "recalled", "neighbour", "recent", "question"
]
#: Why something did not go in.
Reason = Literal["budget", "duplicate", "below the score", "tool pair incomplete"]
_SHOWN = 100
# Of more items a printed report says how many there are.
_MOST_ITEMS = 40


@dataclass(frozen=True, slots=True)
class ContextItem:
    """Something that went into a context.

    Attributes:
        source: which part it belongs to.
        kind: "message", "memory", or "user" (of the user's profile).
        id: of the row; None for what is no row: the profile, and a question that is only a text.
        cite: the mark by which a model can cite it ("m1"); None for a message of its own.
        text: as the context shows it, of a quotation what stands between its marks.
        tokens: what it added, its heading and marks included.
        whole: whether all of its text is shown.
        conversation_id: where it was said.
        turn: its position there, from 0.
        speaker: the role of a message, the type of a memory.
        at: when it was said, UTC; None for the profile.
        score: of the recall; None for what was not recalled.
    """

    source: Source
    kind: str
    id: str | None
    cite: str | None
    text: str
    tokens: int
    whole: bool = True
    conversation_id: str | None = None
    turn: int | None = None
    speaker: str = ""
    at: datetime | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that did not go in.

    Attributes:
        source: which part it would have belonged to.
        kind: "message", "memory" or "user".
        id: of the row.
        reason: why not. "budget": it did not fit. "duplicate": the context shows the same already.
            "below the score": what was recalled is too far below the best. "tool pair incomplete":
            a call of a tool without its result, or the other way round.
        text: of what is no row, a line of the user's profile; empty of a row.
    """

    source: Source
    kind: str
    id: str | None
    reason: Reason
    text: str = ""


@dataclass(frozen=True, slots=True)
class ContextReport:
    """What went into a context, from where, its tokens, and what was left out and why.

    Attributes:
        strategy: its name.
        budget: the most tokens that were allowed.
        tokens: of all messages, four a message included for the chat format. It is the sum of
            those of the items and of ``frame``.
        items: what went in, in the order of the context.
        left_out: what did not, the most relevant first.
        confidence: how likely what was recalled holds an answer, 0..1 (``Hits.confidence``); None
            where nothing was asked.
    """

    strategy: str
    budget: int
    tokens: int
    items: tuple[ContextItem, ...]
    left_out: tuple[LeftOut, ...] = ()
    confidence: float | None = None

    @property
    def by_source(self) -> dict[str, int]:
        """How many tokens each part has, those that have something, in the order of the context."""
        found: dict[str, int] = {}
        for item in self.items:
            found[item.source] = found.get(item.source, 0) + item.tokens
        return found

    @property
    def frame(self) -> int:
        """How many tokens belong to no item: the head and the end of the block of quotations."""
        return self.tokens - sum(item.tokens for item in self.items)

    def cited(self, mark: str) -> ContextItem | None:
        """The item of a mark, written "m1" or "[m1]"; None where no item has it.

        Raises:
            InvalidInputError: the mark is no text.
        """
        if not isinstance(mark, str):
            raise InvalidInputError(
                "mark", f"expected a string, not {type(mark).__name__}", fix='Give one as "m1".'
            )
        name = mark.strip().strip("[]")
        return next((item for item in self.items if item.cite == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values; times as ISO 8601."""
        found = asdict(self)
        for item in found["items"]:
            item["at"] = None if item["at"] is None else item["at"].isoformat()
        return {**found, "items": list(found["items"]), "left_out": list(found["left_out"])}

    def __str__(self) -> str:
        lines = [
            "  ".join(cell for cell in (f"{cells[0]:>5}", *cells[1:]) if cell)
            for cells in self._rows()
        ]
        return "\n".join([self._sums(), *lines, *self._missing()])

    def _sums(self) -> str:
        sums = {**self.by_source, **({"frame": self.frame} if self.frame else {})}
        parts = ", ".join(f"{source} {tokens}" for source, tokens in sums.items())
        return f"{self.strategy}: {self.tokens} of {self.budget} tokens ({parts})"

    def _rows(self) -> list[list[str]]:
        """The items as they are printed, of many the first, and what is no item. It adds up."""
        rows = [self._cells(item) for item in self.items[:_MOST_ITEMS]]
        rest = self.items[_MOST_ITEMS:]
        if rest:
            more = f"... and {len(rest)} more"
            rows.append([str(sum(item.tokens for item in rest)), *[""] * 5, more])
        if self.frame:
            rows.append([str(self.frame), "frame", *[""] * 4, "head and end of the quotations"])
        return rows

    def _missing(self) -> list[str]:
        counts: dict[str, int] = {}
        for one in self.left_out:
            why = f"{one.source}, {one.reason}"
            counts[why] = counts.get(why, 0) + 1
        if not counts:
            return []
        return ["left out: " + "; ".join(f"{count} {why}" for why, count in counts.items())]

    @staticmethod
    def _cells(item: ContextItem) -> list[str]:
        return [
            str(item.tokens),
            item.source,
            "" if item.cite is None else f"[{item.cite}]",
            "" if item.at is None else f"{item.at:%Y-%m-%d}",
            one_line(item.speaker, _SHOWN),
            "" if item.whole else "cut",
            one_line(item.text, _SHOWN),
        ]

    def _repr_html_(self) -> str:
        heads = ("tokens", "part", "mark", "when", "who", "", "text")
        head = "".join(f"<th>{one}</th>" for one in heads)
        rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._rows())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        below = "".join(f"<p>{html.escape(line)}</p>" for line in (self._sums(), *self._missing()))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


@dataclass(frozen=True, slots=True)
class BuiltContext:
    """A context for a prompt.

    Attributes:
        messages: for an LLM, oldest first: the conversation's system messages, one system message
            that quotes what is recalled, the last turns, and the question as the user's message.
        report: what went in, and what did not.
    """

    messages: list[Message]
    report: ContextReport

    @property
    def text(self) -> str:
        """The same as one text, for a model without roles."""
        return "\n\n".join(f"{one.role.value}: {one.content}" for one in self.messages)

    def __str__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()
