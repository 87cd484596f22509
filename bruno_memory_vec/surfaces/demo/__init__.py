"""A year of invented conversations to try the memory on.

Two users, ``ana`` and ``ben``, talk with an assistant from September 2025 to September 2026.
Some facts are said once in passing, some are corrected later (a flat, a dentist, a training
plan), and some answers need the turn beside them. The text was written for this package.

Three files lie next to this module: ``conversations.jsonl`` (what ``bruno-memory-vec ingest``
reads), ``questions.json`` (questions with the turn that answers each) and ``memories.json``
(facts as an application would store them).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any
from uuid import UUID, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.portability import Turn, read

__all__ = ["Question", "memories", "questions", "turns"]

_NAMESPACE = UUID("0f9d2a51-6c1e-5b7a-9a43-5d1c2f6b8e70")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a user's past and where its answer lies.

    Attributes:
        user_id: whose memory is asked.
        question: the question, often in other words than the answering turn.
        answer: the expected answer, short.
        conversation_id: the conversation that holds the answer.
        turn: 0-based position, in that conversation, of a turn that answers it.
    """

    user_id: str
    question: str
    answer: str
    conversation_id: str
    turn: int


def turns() -> list[Turn]:
    """Return every message of the demo, oldest conversation first.

    Ids are the same at every call, so storing the demo twice stores it once.

    Raises:
        ValueError: the installed data file is damaged.
    """
    found: list[Turn] = []
    for item in read(io.BytesIO(_data("conversations.jsonl")), format="jsonl"):
        if not isinstance(item, Turn):
            raise ValueError(f"demo/conversations.jsonl line {item.line}: {item.problem}")
        found.append(item)
    return found


def questions() -> list[Question]:
    """Return the questions with their answers."""
    return [Question(**row) for row in _rows("questions.json")]


def memories() -> list[MemoryEntry]:
    """Return facts about both users as bruno-core entries, with the same ids at every call."""
    return [_memory(row) for row in _rows("memories.json")]


def _memory(row: dict[str, Any]) -> MemoryEntry:
    created = datetime.fromisoformat(row["created_at"])
    return MemoryEntry(
        id=uuid5(_NAMESPACE, f"{row['user_id']}\n{row['content']}"),
        user_id=row["user_id"],
        content=row["content"],
        memory_type=MemoryType(row["memory_type"]),
        metadata=MemoryMetadata(
            source="demo",
            category=row["category"],
            tags=row["tags"],
            importance=row["importance"],
        ),
        created_at=created,
        updated_at=created,
        last_accessed=created,
    )


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(_data(name))
    return rows


def _data(name: str) -> bytes:
    return resources.files(__name__).joinpath(name).read_bytes()
