"""Rows for the tests of the analytics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)  # a Monday


def message(
    text: str, role: str = "user", *, minutes: float = 0, at: datetime | None = None
) -> Message:
    """A message, so many minutes after the beginning."""
    moment = (BEGIN if at is None else at) + timedelta(minutes=minutes)
    return Message(role=MessageRole(role), content=text, timestamp=moment)


def known(name: str) -> UUID:
    """An id that is the same at every call."""
    return uuid5(UUID(int=7), name)


def fact(
    text: str, user: str = "ana", *, days: float = 0, number: int | None = None
) -> MemoryEntry:
    """A memory, so many days after the beginning; its id is of its number, else of its text."""
    moment = BEGIN + timedelta(days=days)
    return MemoryEntry(
        id=known(f"{user} {text} {days}") if number is None else known(f"{user} {number}"),
        content=text,
        user_id=user,
        memory_type=MemoryType.FACT,
        created_at=moment,
        updated_at=moment,
        last_accessed=moment,
    )


async def talk(
    memory: VectorMemory, name: str, said: Sequence[tuple[str, str, float]], user: str = "ana"
) -> None:
    """Store a conversation: roles, texts, and minutes after the beginning."""
    await memory.store_messages(
        [message(text, role, minutes=minutes) for role, text, minutes in said], name, user_id=user
    )
