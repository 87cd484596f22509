"""``recall(as_of=...)``: the answer as it was at an earlier time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError

MARCH = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
APRIL, MAY = MARCH + timedelta(days=31), MARCH + timedelta(days=61)


@pytest.fixture(params=["memory://", "folder"])
async def memory(request: Any, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = "memory://" if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url) as opened:
        yield opened


async def said(memory: VectorMemory, text: str, at: datetime, talk: str = "", **more: Any) -> None:
    naive = at.astimezone(timezone.utc).replace(tzinfo=None)
    message = Message(role="user", content=text, timestamp=naive, **more)
    await memory.store_message(message, talk or f"{at:%B}", user_id="ana")


async def texts(memory: VectorMemory, question: str, **how: Any) -> list[str]:
    hits = await memory.recall(question, **{"user_id": "ana", **how})
    return [hit.content for hit in hits]


async def test_what_was_created_later_is_not_seen(memory: VectorMemory) -> None:
    await said(memory, "I live in Lisbon.", MARCH)
    await said(memory, "We moved, I live in Porto.", MAY)
    question = "Where do I live?"
    assert len(await texts(memory, question)) == 2
    for view in (memory, memory.for_user("ana")):
        assert await texts(view, question, as_of=APRIL) == ["I live in Lisbon."]
    assert await texts(memory, question, as_of=APRIL, user_id=ALL_USERS) == ["I live in Lisbon."]
    assert len(await texts(memory, question, as_of=MAY)) == 2
    assert await texts(memory, question, as_of=MARCH - timedelta(microseconds=1)) == []


async def test_no_later_turn_comes_in_from_beside(memory: VectorMemory) -> None:
    await said(memory, "Where did I put the violin?", MARCH, "one talk")
    await said(memory, "Oh, under the bed.", MAY, "one talk")
    assert "Oh, under the bed." in await texts(memory, "violin")
    assert await texts(memory, "violin", as_of=APRIL) == ["Where did I put the violin?"]


async def test_a_copy_that_was_made_later_hides_nothing(memory: VectorMemory) -> None:
    one = UUID(int=1)
    await said(memory, "The violin is under the bed.", MARCH, "a", id=one)
    await said(memory, "The violin is under the bed.", MAY, "b", id=one)
    (hit,) = await memory.recall("violin", user_id="ana", as_of=APRIL)
    assert hit.conversation_id == "a"


async def test_days_and_ages_count_from_then(memory: VectorMemory) -> None:
    for at in (MARCH - timedelta(days=1), APRIL - timedelta(days=1)):
        await said(memory, f"The violin lesson of {at:%B}.", at)
    question = "What about the violin lesson yesterday?"
    for then, month in ((MARCH, "February"), (APRIL, "March")):
        best = (await memory.recall(question, user_id="ana", as_of=then))[0]
        assert month in best.content
        assert best.signals["time_named"] > 0
        now = (await memory.recall(question, user_id="ana", now=then, until=then))[0]
        assert best.signals == pytest.approx(now.signals)


async def test_what_was_recalled_since_does_not_count(memory: VectorMemory) -> None:
    await said(memory, "The violin is under the bed.", MARCH)
    fresh = (await memory.recall("violin", user_id="ana", as_of=APRIL))[0].signals["use"]
    for _ in range(5):
        await memory.recall("violin", user_id="ana")
    used = (await memory.recall("violin", user_id="ana"))[0]
    assert used.signals["use"] > fresh
    for _ in range(2):
        then = (await memory.recall("violin", user_id="ana", as_of=APRIL))[0]
        assert then.signals["use"] == fresh
        await memory.maintain()  # now the uses are written


async def test_such_a_recall_is_no_use(memory: VectorMemory) -> None:
    at = MARCH.replace(tzinfo=None)
    entry = MemoryEntry(
        content="Ana plays the violin.", memory_type=MemoryType.FACT, user_id="ana", created_at=at
    )
    await memory.store_memory(entry)
    for how in ({}, {"as_of": APRIL}, {"as_of": APRIL}):
        assert await texts(memory, "violin", **how) == ["Ana plays the violin."]
    await memory.maintain()
    stored = await memory.get_memory(entry.id)
    assert stored is not None
    assert stored.metadata.access_count == 1


async def test_a_memory_that_was_replaced_since_is_seen_as_it_is_now(memory: VectorMemory) -> None:
    at = MARCH.replace(tzinfo=None)
    entry = MemoryEntry(
        content="Ana plays the violin.", memory_type=MemoryType.FACT, user_id="ana", created_at=at
    )
    await memory.store_memory(entry)
    await memory.store_memory(entry.model_copy(update={"content": "Ana plays the cello."}))
    assert await texts(memory, "What does Ana play?", as_of=APRIL) == ["Ana plays the cello."]


async def test_now_and_as_of_contradict_each_other(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match="as_of") as refused:
        await memory.recall("violin", user_id="ana", now=MAY, as_of=APRIL)
    assert refused.value.fix
