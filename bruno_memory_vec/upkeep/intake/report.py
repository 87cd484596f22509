"""What an ingest did, or would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.records import BadLine
from bruno_memory_vec.wording import counted

#: So many of the bad places are kept; one wrong export can have a million.
KEPT_BAD: Final = 100
_SHOWN_BAD = 20


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, or, of a dry run, what it would do.

    Attributes:
        sources: what was read, by its names.
        dry_run: nothing was written.
        users: whose conversations these are.
        conversations: how many.
        added: how many messages the store did not have; of an export of ours, of memories, too.
        unchanged: how many it had, as they are in the export.
        edited: how many had another text, role or time, which was replaced under the same id.
        gone: how many messages of these conversations are in the store, and not in the export any
            more. They stay.
        memories: how many memories about users there were, of what is no conversation.
        first: the time of the first message, None where none has one.
        last: that of the last message.
        untimed: how many messages have no time in the export. They got one of their neighbours or
            of the file.
        left_out: what was left out on purpose, such as "reasoning", and how often.
        renamed: chats that have no name but their file's, where the store has another chat of that
            name: the name, and what the chat is called in the store.
        bad: how many places could not be used, and were skipped.
        first_bad: the first of them.
        bytes_before: how large the store's folder was, None where it has none.
        bytes_after: how large it is now.
        seconds: how long it took.
        storing_seconds: how long of that storing took.
    """

    sources: tuple[str, ...]
    dry_run: bool
    users: tuple[str, ...] = ()
    conversations: int = 0
    added: int = 0
    unchanged: int = 0
    edited: int = 0
    gone: int = 0
    memories: int = 0
    first: datetime | None = None
    last: datetime | None = None
    untimed: int = 0
    left_out: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    bad: int = 0
    first_bad: tuple[BadLine, ...] = ()
    bytes_before: int | None = None
    bytes_after: int | None = None
    seconds: float = 0.0
    storing_seconds: float = 0.0

    @property
    def messages(self) -> int:
        """How many messages the export has that can be stored."""
        return self.added + self.unchanged + self.edited

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``messages`` as plain values that JSON can hold."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values |= {
            "messages": self.messages,
            "sources": list(self.sources),
            "users": list(self.users),
            "first": None if self.first is None else self.first.isoformat(),
            "last": None if self.last is None else self.last.isoformat(),
            "left_out": dict(self.left_out),
            "renamed": dict(self.renamed),
            "first_bad": [plain(bad) for bad in self.first_bad],
            "seconds": round(self.seconds, 3),
            "storing_seconds": round(self.storing_seconds, 3),
        }
        return values


class BadLinesError(InvalidInputError):
    """Places of an export cannot be used, so nothing of it was stored.

    Attributes:
        bad: how many.
        first_bad: the first of them.
    """

    def __init__(self, what: str, bad: int, first_bad: Sequence[BadLine]) -> None:
        self.bad, self.first_bad = bad, tuple(first_bad)
        places = counted(bad, "place")
        shown = "; ".join(in_words(one) for one in first_bad[:_SHOWN_BAD])
        more = f"; and {bad - _SHOWN_BAD:,} more" if bad > _SHOWN_BAD else ""
        self.summary = f"{what} is bad in {places}, so nothing of it was stored"
        super().__init__(
            "source",
            f"{self.summary}: {shown}{more}",
            fix="Mend them, or store the rest: skip_bad=True, or --skip-bad.",
        )


def in_words(bad: BadLine) -> str:
    """A bad line in words."""
    from bruno_memory_vec.prompts.hidden_characters import marked

    where = "" if bad.where == "line" else f"{bad.where}: "
    line = "" if bad.line is None else f"line {bad.line}: "
    place = f"{bad.place}: " if bad.place else ""
    return marked(f"{place}{line}{where}{bad.problem}")


def plain(bad: BadLine) -> dict[str, Any]:
    """A bad line as plain values."""
    return {"line": bad.line, "where": bad.where, "problem": bad.problem, "place": bad.place}
