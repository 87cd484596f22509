"""Rows about users, and a wait for what is learned of them in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole


def fact(
    content: str,
    attribute: str | None = None,
    value: Any = None,
    *,
    user: str = "ana",
    category: str = "fact",
    cites: list[UUID] | None = None,
    at: datetime | None = None,
    **fields: Any,
) -> MemoryEntry:
    """A memory that says something of a user, as extraction writes it."""
    named = {} if attribute is None else {"subject": "user", "attribute": attribute, "value": value}
    return MemoryEntry(
        content=content,
        memory_type=MemoryType.FACT,
        user_id=user,
        metadata=MemoryMetadata(
            category=category, related_memories=cites or [], custom_fields={**named, **fields}
        ),
        **({} if at is None else {"created_at": at}),
    )


def preference(content: str, attribute: str, value: Any, **more: Any) -> MemoryEntry:
    """As :func:`fact`, of a preference."""
    return fact(content, attribute, value, category="preference", **more)


def said(content: str, **more: Any) -> Message:
    """A message of the user's."""
    return Message(role=MessageRole.USER, content=content, **more)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; a hang ends with the test's time."""
    while not await holds():  # noqa: ASYNC110  # there is no event for what a process has saved
        await asyncio.sleep(0.02)
