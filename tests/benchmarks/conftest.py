"""Small data sets in each form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> Write:
    """Writes objects as JSON Lines."""

    def write(name: str, *entries: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_json(tmp_path: Path) -> Write:
    """Writes one JSON document."""

    def write(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

    return write


def turn(name: str, user: str, content: str, at: str, conversation: str = "c1") -> dict[str, Any]:
    return {
        "type": "turn",
        "id": name,
        "user_id": user,
        "conversation_id": f"{user}-{conversation}",
        "role": "user",
        "content": content,
        "at": at,
    }


def question(name: str, user: str, text: str, gold: list[str], **more: Any) -> dict[str, Any]:
    return {
        "type": "question",
        "id": name,
        "user_id": user,
        "question": text,
        "gold": gold,
        **more,
    }


@pytest.fixture
def tiny(write_lines: Write) -> Path:
    """Two users, who have the same turn ids; one question whose gold replaced an older turn."""
    return write_lines(
        "tiny.jsonl",
        turn("t1", "ana", "I live in Lisbon, near the river.", "2026-01-01T10:00:00Z"),
        turn("t2", "ana", "My dog is called Biscuit.", "2026-01-01T10:01:00Z"),
        turn("t3", "ana", "I live in Porto since spring.", "2026-04-01T10:00:00Z", "c2"),
        turn("t1", "ben", "My cat is called Pepper.", "2026-02-01T10:00:00Z"),
        turn("t2", "ben", "I teach chemistry at a school.", "2026-02-01T10:01:00Z"),
        question(
            "q1",
            "ana",
            "Where do I live in spring?",
            ["t3"],
            older=["t1"],
            category="update",
            split="dev",
            asked_at="2026-06-01T09:00:00Z",
        ),
        question("q2", "ana", "What is my dog called?", ["t2"], category="fact", split="dev"),
        question("q3", "ben", "What do I teach?", ["t2"], category="fact", split="test"),
    )
