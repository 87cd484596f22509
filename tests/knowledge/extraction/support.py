"""Turns and messages for these tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import NAMESPACE_URL, uuid5

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.knowledge.extraction.candidate import SourceTurn

START = datetime(2026, 3, 1, 9, 0, tzinfo=timezone.utc)


def said(text: str, *, role: str = "user", turn: int = 0, speaker: str | None = None) -> SourceTurn:
    """A turn, a minute after the one before."""
    at = int(START.timestamp() + 60 * turn) * 1_000_000
    id_ = str(uuid5(NAMESPACE_URL, f"{turn}"))
    return SourceTurn(id_, "talk", turn, role, text, at, speaker)


def message(text: str, minute: int = 0, role: str = "user") -> Message:
    """A message with an id and a time of its own for each minute."""
    return Message(
        id=uuid5(NAMESPACE_URL, f"message {minute}"),
        role=MessageRole(role),
        content=text,
        timestamp=START + timedelta(minutes=minute),
    )
