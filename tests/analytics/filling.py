"""Rows for the tests of the analytics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.surfaces import demo

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)  # a Monday


async def fill_demo(memory: VectorMemory) -> None:
    """Store the conversations and memories of the demo."""
    talks: dict[tuple[str, str], list[Message]] = {}
    for turn in demo.turns():
        assert turn.user_id is not None
        assert turn.conversation_id is not None
        talks.setdefault((turn.user_id, turn.conversation_id), []).append(turn.message)
    for (user, talk), messages in talks.items():
        await memory.store_messages(messages, talk, user_id=user)
    await memory.store_memories(demo.memories())


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
