"""Exports of chats that are written, ingested and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message

from bruno_memory_vec.memory import VectorMemory


def said(content: str, conversation: str = "trip", **more: Any) -> dict[str, Any]:
    """A line of our JSONL."""
    row = {"conversation_id": conversation, "user_id": "ana", "role": "user", "content": content}
    return {**row, **more}


def export(path: Path, rows: Iterable[dict[str, Any]], more: str = "") -> Path:
    """Write lines to a file."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + more, encoding="utf-8")
    return path


def chat(path: Path, *contents: str, **more: Any) -> Path:
    """Write a chat that has no name but its file's."""
    roles = ("user", "assistant")
    messages = [
        {"role": roles[at % 2], "content": content, **more} for at, content in enumerate(contents)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"messages": messages}), encoding="utf-8")
    return path


async def stored(memory: VectorMemory, conversation: str = "trip") -> list[Message]:
    """The messages of a conversation, in its order."""
    return [turn.message for turn in await memory.read_turns(conversation)]


async def contents(memory: VectorMemory, conversation: str = "trip") -> list[str]:
    """Their texts."""
    return [message.content for message in await stored(memory, conversation)]
