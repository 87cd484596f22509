"""Rows as the pages show them: hits of one conversation, of some ids, of a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message

from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.rows.checks import shown, uuids

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory

_MICROSECOND = timedelta(microseconds=1)


async def row_of(memory: VectorMemory, user_id: str, row_id: str) -> Hit:
    """A user's message or memory by its id, with all that a hit says of it.

    Raises:
        NotFoundError: the user has none with this id.
    """
    found = await rows_of(memory, user_id, [row_id])
    if not found:
        raise NotFoundError(
            f"{shown(user_id)} has no message or memory {shown(row_id)}",
            fix="It may have been forgotten. Look in the conversations, or ask for it.",
        )
    return found[0]


async def rows_of(memory: VectorMemory, user_id: str, ids: Sequence[str | UUID]) -> list[Hit]:
    """A user's rows by their ids, those that there are, in that order.

    Raises:
        InvalidInputError: an id is no UUID.
    """
    hits = []
    for one in uuids("id", [str(given) for given in ids]):
        # Of a space the memory has to be told whose rows are meant.
        record: Message | MemoryEntry | None = await memory.get_message(one, user_id=user_id)
        record = await memory.get_memory(one, user_id=user_id) if record is None else record
        if record is None:
            continue
        at = time_of(record)
        near = await memory.timeline(
            user_id,
            since=at,
            until=at + _MICROSECOND,
            include_expired=True,
            include_archived=True,
            limit=None,
        )
        hits += [hit for hit in near if hit.id == one][:1]
    return hits


async def marks_of(
    memory: VectorMemory, user_id: str, talk: str, messages: Iterable[Message]
) -> dict[str, Hit]:
    """The hits of some messages of a conversation by their ids: pinned, archived, where from."""
    times = [time_of(message) for message in messages]
    if not times:
        return {}
    hits = await memory.timeline(
        user_id,
        since=min(times),
        until=max(times) + _MICROSECOND,
        conversation_id=talk,
        kinds="message",
        include_archived=True,
        limit=None,
    )
    return {hit.id: hit for hit in hits}


def time_of(record: Message | MemoryEntry) -> datetime:
    """When a row was said or stored, UTC (timezone-aware)."""
    at: datetime = record.timestamp if isinstance(record, Message) else record.created_at
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def importance_of(hit: Hit) -> float:
    """The importance of a row, 0..1; that of a message without one is 0.5."""
    if isinstance(hit.record, Message):
        value = hit.record.metadata.get("importance", 0.5)
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return min(1.0, max(0.0, float(value))) if plain else 0.5
    return float(hit.record.metadata.importance)
