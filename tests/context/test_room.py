"""How the room in a context is used: what is shown first, and how much is left."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory
from bruno_memory_vec.context.found import Found

START = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)


def recalled(words: int, score: float | None) -> Found:
    return Found("recalled", "message", "1", " ".join(["word"] * words), "user", score=score)


def test_a_long_text_has_to_score_more() -> None:
    assert recalled(10, 1.0).worth == recalled(50, 1.0).worth == 1.0
    assert recalled(200, 1.0).worth == pytest.approx(4**-0.3)
    assert recalled(10, 0.9).worth > recalled(200, 1.0).worth > recalled(10, 0.5).worth
    assert recalled(10, None).worth == 0


async def test_no_line_more_would_fit() -> None:
    async with open_memory("memory://") as memory:
        turns = [
            Message(
                role=MessageRole.USER,
                content=f"Boiler number {number} was repaired today.",
                timestamp=START + timedelta(minutes=number),
            )
            for number in range(60)
        ]
        await memory.store_messages(turns, "c1", user_id="ana")
        built = await memory.build_context(
            "boiler repaired?",
            user_id="ana",
            budget=200,
            count_tokens=lambda text: len(text.split()),
            now=START + timedelta(days=1),
        )
    report = built.report
    assert report.left_out
    # A line: its mark, who spoke, and six words.
    assert 200 - 8 < report.tokens <= 200


async def test_what_is_pinned_may_be_longer_than_its_share() -> None:
    text = "Allergic to hazelnut and birch, peanut is fine. " * 5
    async with open_memory("memory://") as memory:
        note = Message(role=MessageRole.USER, content=text, timestamp=START)
        await memory.store_messages(
            [note, Message(role=MessageRole.USER, content="It rained.", timestamp=START)],
            "c1",
            user_id="ana",
        )
        await memory.pin(note.id)
        built = await memory.build_context(
            "What shall I bake?",
            user_id="ana",
            budget=150,
            count_tokens=lambda text: len(text.split()),
        )
    # It is over a quarter of the budget, and a fifth is for what is pinned.
    (pinned,) = (item for item in built.report.items if item.source == "pinned")
    assert pinned.id == str(note.id)
    assert pinned.tokens > 40
    assert pinned.whole
