"""What a user's rows say of the user: the memories of facts and preferences, and the messages.

A memory says something of its user where its category is "preference" or "fact", and it is neither
expired nor archived (a fact that a newer one has superseded is archived). With an attribute and a
value in its ``custom_fields``, and the user as its subject, it is a value of the preferences or the
profile; else it is a sentence. One that was extracted stands as long as one of the messages that it
cites does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.knowledge.users.languages import detector
from bruno_memory_vec.knowledge.users.record import NOTHING, Entry, Learned
from bruno_memory_vec.knowledge.users.style import Said, Style, style_of
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.models import Row, from_table

PREFERENCE, FACT = "preference", "fact"
#: The categories of memories that say something of their user.
CATEGORIES: Final = (PREFERENCE, FACT)
#: Subjects that are the user.
_THE_USER: Final = frozenset({"", "user", "the user", "i", "me", "myself", "self"})
#: Of longer ones, and of more, the saved profile holds the beginning, and the newest.
LONGEST_KEY, LONGEST_VALUE, LONGEST_FACT = 80, 200, 300
MOST_VALUES, MOST_FACTS, _MOST_TURNS = 100, 50, 20
#: The style is that of so many newest messages.
MESSAGES_COUNTED: Final = 1_000
# So many memories are looked at; the newest.
_MOST_MEMORIES = 2_000
_IDS_AT_ONCE = 500

_SAYS = (
    "id",
    "content",
    "category",
    "metadata",
    "extra",
    "confidence",
    "origin",
    "created_at",
    "expires_at",
    "user_id",
    "seq",
)
_WRITTEN = ("id", "content", "words", "created_at", "extra", "ends_with_question", "seq")


def says_something(row: Row) -> bool:
    """Whether a row is a memory that says something of its user."""
    return row["kind"] == MEMORY and row["category"] in CATEGORIES


async def said_of(
    rows: RowIndex, user_id: str
) -> tuple[list[Entry], list[Entry], list[Entry], int]:
    """What a user's memories say: preferences, profile and facts, the newest first; how many."""
    now, scope = datetime.now(timezone.utc), Scope.user(user_id)
    found = await rows.read(
        scope,
        RowFilter(kinds=(MEMORY,), categories=CATEGORIES, alive_at=now, unarchived_at=now),
        _SAYS,
        order_by="created_at",
        limit=_MOST_MEMORIES,
    )
    memories = [_Memory(row) for row in from_table(found)]
    memories.sort(key=lambda one: (one.at, one.seq), reverse=True)
    cited = {turn for one in memories if one.extracted for turn in one.turns}
    stored = await _stored(rows, scope, sorted(cited))
    standing = [one for one in memories if one.stands(stored)]
    parts: dict[str, list[Entry]] = {"preferences": [], "profile": [], "facts": []}
    for memory in standing:
        for part, entry in memory.entries():
            most = MOST_FACTS if part == "facts" else MOST_VALUES
            if len(parts[part]) < most:
                parts[part].append(entry)
    return parts["preferences"], parts["profile"], parts["facts"], len(standing)


def entries_of(row: Row) -> list[tuple[str, Entry]]:
    """What one memory says, each with the part of the profile that it belongs to."""
    return list(_Memory(row).entries())


async def style_in(rows: RowIndex, user_id: str, zone: tzinfo | None) -> Style | None:
    """How a user writes, by the user's newest messages."""
    found = await rows.read(
        Scope.user(user_id),
        RowFilter(kinds=(MESSAGE,), roles=("user",)),
        _WRITTEN,
        order_by="created_at",
        limit=MESSAGES_COUNTED,
    )

    def count() -> Style | None:
        detect, name = detector()
        # A message that several conversations share (a branch and its past) was written once.
        written = {row["id"]: row for row in from_table(found)}.values()
        return style_of(map(_said, yielding_gil(written)), detect, name, zone)

    return await asyncio.to_thread(count)


def zone_of(profile: Mapping[str, Any]) -> tzinfo | None:
    """The time zone that a profile names as "timezone" ("Europe/Berlin"); None where none."""
    name = profile.get("timezone")
    if not isinstance(name, str):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # no name of a zone, or none that is known here


class _Memory:
    """A row that says something of its user."""

    def __init__(self, row: Row) -> None:
        extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
        fields = tagged_json.loads(row["metadata"])
        self.id, self.at, self.seq = row["id"], row["created_at"], row["seq"]
        self.turns = tuple(map(str, extra.get("related", ())[:_MOST_TURNS]))
        self.extracted = row["origin"] == "extracted"
        self._row = row
        self._fields: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}

    def stands(self, stored: set[str]) -> bool:
        """Whether it still counts, where these messages are stored."""
        if not self.extracted or not self.turns:
            return True
        self.turns = tuple(one for one in self.turns if one in stored)
        return bool(self.turns)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """What it says, each with the part of the profile that it belongs to."""
        attribute, value = self._fields.get("attribute"), self._fields.get("value")
        values = list(_plain(value))
        if isinstance(attribute, str) and attribute.strip() and values and self._of_the_user():
            part = "preferences" if self._row["category"] == PREFERENCE else "profile"
            for one in values:
                yield part, self._entry(attribute.strip()[:LONGEST_KEY], one)
        else:
            yield "facts", self._entry("", self._row["content"][:LONGEST_FACT])

    def _of_the_user(self) -> bool:
        subject = self._fields.get("subject")
        if subject is None or subject == self._row["user_id"]:
            return True
        return isinstance(subject, str) and subject.strip().lower() in _THE_USER

    def _entry(self, key: str, value: Any) -> Entry:
        row = self._row
        expires = row["expires_at"] or 0
        return Entry(key, value, self.id, self.turns, self.at, row["confidence"], expires)


def _plain(value: Any) -> Iterator[str | int | float | bool]:
    """The values that a profile can hold: texts, numbers and truth values, also of a list."""
    if isinstance(value, (bool, int, float)):
        yield value
    elif isinstance(value, str):
        if value.strip():
            yield value.strip()[:LONGEST_VALUE]
    elif isinstance(value, (list, tuple)):
        for one in value[:MOST_VALUES]:
            if not isinstance(one, (list, tuple)):
                yield from _plain(one)


async def _stored(rows: RowIndex, scope: Scope, ids: Sequence[str]) -> set[str]:
    """Those of these messages that are stored."""
    found: set[str] = set()
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = tuple(ids[start : start + _IDS_AT_ONCE])
        table = await rows.read(scope, RowFilter(kinds=(MESSAGE,), ids=part), ["id"])
        found.update(table.column("id").to_pylist())
    return found


def _said(row: Row) -> Said:
    extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
    return Said(
        row["content"],
        row["words"],
        row["created_at"],
        extra.get("zones", {}).get("created_at"),
        row["ends_with_question"],
    )


def learned_from(
    before: Learned,
    said: tuple[Iterable[Entry], Iterable[Entry], Iterable[Entry], int],
    style: Style | None,
    at: datetime,
) -> Learned:
    """What is known now, with what somebody had removed still removed."""
    preferences, profile, facts, count = said
    found = Learned(
        preferences=tuple(preferences),
        profile=tuple(profile),
        facts=tuple(facts),
        style=style,
        rows=count,
        refreshed_at=(at - _EPOCH) // timedelta(microseconds=1),
        removed=before.removed,
    )
    nothing = replace(found, refreshed_at=0) == NOTHING
    return NOTHING if nothing else found


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
