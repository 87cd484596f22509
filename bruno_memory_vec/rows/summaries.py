"""The rows of summaries: what a summary says it is made of.

A summary is a memory of the category "summary" and the origin "summary". ``related_memories`` are
the ids of its sources: messages of its conversation for a block, summaries for a session or a
period. Its ``custom_fields`` are those of :class:`Summary`.

The sources of a block are archived at one time, ``archived_at``, which the summary notes. So what
was archived for another reason is told apart, and stays archived when the summary is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rows import tagged_json

#: Of some turns of one conversation; of a conversation; of all conversations of a period.
Level = Literal["block", "session", "period"]

#: The category and the origin of a summary's row.
SUMMARY: Final = "summary"

#: The columns that :func:`summary_of` reads.
SUMMARY_COLUMNS: Final = (
    "seq",
    "id",
    "user_id",
    "conversation_id",
    "content",
    "metadata",
    "extra",
    "created_at",
    "archived_at",
)

#: Of more sources than these only the range of turns is noted.
MOST_SOURCES: Final = 1000

_NAMESPACE: Final = UUID("5b1f0d4e-7d0c-5c53-9a0b-6f2a8b1d3c77")


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary as it is stored.

    Attributes:
        seq: the position of its row.
        id: its id.
        user_id: whose.
        conversation_id: where; None for a period.
        level: what it stands for.
        sources: the ids of what it was made of; of a session or a period none, if they were more
            than ``MOST_SOURCES``.
        from_turn: the first turn that it covers; None for a period.
        to_turn: the last one.
        digest: of its sources, with their texts.
        archived_at: when the sources of a block were archived, in microseconds; None at other
            levels.
        content: its text.
        created_at: the time of the newest source, in microseconds.
        hidden_at: when it was archived itself, in microseconds; None where it is not.
    """

    seq: int
    id: str
    user_id: str
    conversation_id: str | None
    level: Level
    sources: frozenset[str]
    from_turn: int | None
    to_turn: int | None
    digest: str
    archived_at: int | None
    content: str
    created_at: int
    hidden_at: int | None

    def covers_turn(self, turn: int | None) -> bool:
        """Whether a turn of its conversation is between its first and its last one."""
        if turn is None or self.from_turn is None or self.to_turn is None:
            return False
        return self.from_turn <= turn <= self.to_turn


def summary_of(row: Mapping[str, Any]) -> Summary | None:
    """The summary of a row with ``SUMMARY_COLUMNS``; None of one that does not say what it is."""
    fields = tagged_json.loads(row["metadata"])
    extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
    level = fields.get("level")
    if level not in ("block", "session", "period"):
        return None
    stamp = fields.get("archived_at")
    return Summary(
        seq=row["seq"],
        id=row["id"],
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        level=level,
        sources=frozenset(map(str, extra.get("related", ()))),
        from_turn=_number(fields.get("from_turn")),
        to_turn=_number(fields.get("to_turn")),
        digest=str(fields.get("digest", "")),
        archived_at=_micros(stamp),
        content=row["content"],
        created_at=row["created_at"],
        hidden_at=row["archived_at"],
    )


def summary_id(user_id: str, level: Level, *place: str | int) -> UUID:
    """The id of a summary: the same for the same user, level and place, in every process.

    That of a block has the time in its place at which its turns are archived for it. So two
    processes that compress the same turns at once do not store theirs over each other's.
    """
    return uuid5(_NAMESPACE, "\0".join((user_id, level, *map(str, place))))


def stamp_text(at: int) -> str:
    """A time in microseconds as ``custom_fields`` have it."""
    moment = datetime.fromtimestamp(at // 1_000_000, timezone.utc)
    return moment.replace(microsecond=at % 1_000_000).isoformat()


def with_dependants(summaries: Sequence[Summary], gone: Sequence[Summary]) -> list[Summary]:
    """These summaries, and those of the same user that are made of one of them, and so on."""
    found = {(one.user_id, one.id): one for one in gone}
    waiting = list(gone)
    while waiting:
        below = waiting.pop()
        for one in summaries:
            key = (one.user_id, one.id)
            if key in found or one.user_id != below.user_id or one.level == "block":
                continue
            if below.id in one.sources or (not one.sources and _spans(one, below)):
                found[key] = one
                waiting.append(one)
    return list(found.values())


def _spans(one: Summary, below: Summary) -> bool:
    if one.conversation_id is None:
        return True
    return one.conversation_id == below.conversation_id and one.covers_turn(below.from_turn)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _micros(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return micros(at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc))
