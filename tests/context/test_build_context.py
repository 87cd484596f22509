"""``build_context``: what goes in, in which order, and what its report says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest
import pytest_asyncio
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError

START = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)
NOW = START + timedelta(days=30)


def said(role: str, content: str, day: int = 0, minute: int = 0) -> Message:
    at = START + timedelta(days=day, minutes=minute)
    return Message(role=MessageRole(role), content=content, timestamp=at)


@pytest_asyncio.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://") as opened:
        old = [
            said("system", "You are a kind assistant."),
            said("user", "The boiler was repaired for 386 euros.", 0, 1),
            said("assistant", "That is a lot for a boiler.", 0, 2),
            said("user", "My cat is called Mina.", 0, 3),
        ]
        await opened.store_messages(old, "old", user_id="ana")
        new = [
            said("system", "Answer in one sentence.", 20),
            said("user", "What should I cook today?", 20, 1),
            said("assistant", "A risotto, perhaps.", 20, 2),
        ]
        await opened.store_messages(new, "new", user_id="ana")
        await opened.store_messages(
            [said("user", "My boiler was repaired for 999 euros.")], "his", user_id="ben"
        )
        yield opened


async def test_the_parts_of_a_prompt(memory: VectorMemory) -> None:
    built = await memory.build_context(
        "What did the boiler cost?", user_id="ana", conversation_id="new", budget=400, now=NOW
    )
    first, block, *recent, question = built.messages
    assert (first.role, first.content) == (MessageRole.SYSTEM, "Answer in one sentence.")
    assert block.role is MessageRole.SYSTEM
    assert 'user: "The boiler was repaired for 386 euros."' in block.content
    assert "2024-05-06:" in block.content
    assert [one.content for one in recent] == ["What should I cook today?", "A risotto, perhaps."]
    assert (question.role, question.content) == (MessageRole.USER, "What did the boiler cost?")
    assert "999" not in built.text
    assert "You are a kind assistant." not in built.text
    report = built.report
    assert report.tokens <= report.budget == 400
    assert report.items[0].source == "system"
    assert report.items[-1].source == "question"
    cited = next(item for item in report.items if "386" in item.text)
    assert cited.cite is not None
    assert report.cited(f"[{cited.cite}]") == cited
    assert f'[{cited.cite}] user: "The boiler' in block.content
    hits = await memory.recall("What did the boiler cost?", user_id="ana", k=1)
    assert (cited.id, cited.conversation_id, cited.turn) == (hits[0].id, "old", 1)
    assert "recalled" in str(report)
    assert "386" in report._repr_html_()


async def test_what_does_not_fit_is_named(memory: VectorMemory) -> None:
    built = await memory.build_context(
        "boiler", user_id="ana", conversation_id="new", budget=30, now=NOW
    )
    assert built.messages[-1].content == "boiler"
    assert built.report.tokens <= 30
    assert "budget" in {one.reason for one in built.report.left_out}


async def test_a_question_longer_than_the_budget_is_refused(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match="budget"):
        await memory.build_context("boiler " * 100, user_id="ana", budget=50)


async def test_an_unknown_strategy_is_refused(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match="hybrid, sliding_window, semantic, importance"):
        await memory.build_context("boiler", user_id="ana", strategy="best")
