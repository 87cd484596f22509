"""Two processes that store the same message or memory at the same moment: none sees the other's."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
import pytest
from bruno_core.models.memory import MemoryQuery

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.testing.memory_suite import noted
from tests.durability.support import message
from tests.sessions.test_mending import SharedRows, memory_at, shown

pytestmark = pytest.mark.redis_server


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, store_name: str) -> SharedRows:
    rows = SharedRows(store_name)
    monkeypatch.setattr("bruno_memory_vec.store.store.deployment_of", lambda url: rows)
    return rows


def meet(rows: Any) -> None:
    """Let the next two upserts wait for each other; then the smaller ``seq`` is stored first."""
    inner, arrived = rows.upsert, list[int]()
    both, first = asyncio.Event(), asyncio.Event()

    async def upsert(table: pa.Table, *, all_new: bool) -> None:
        seq = table.column("seq")[0].as_py()
        arrived.append(seq)
        if len(arrived) == 2:
            both.set()
        await both.wait()
        if seq != min(arrived):
            await first.wait()
        await inner(table, all_new=all_new)
        first.set()

    rows.upsert = upsert


async def sound(*memories: VectorMemory) -> None:
    for memory in memories:
        assert (await memory.maintain()).problems == ()
        assert (await memory.health())["problems"] == {}


async def test_the_same_message(shared: SharedRows, redis_url: str) -> None:
    async with memory_at(redis_url) as one, memory_at(redis_url) as other:
        same = message("the red boat")
        await one.connect()
        await other.connect()
        meet(shared.rows)
        await asyncio.gather(
            one.store_message(same, "talk", user_id="ana"),
            other.store_message(same, "talk", user_id="ana"),
        )
        for memory in (one, other):
            assert await shown(memory) == ["the red boat"]
            assert [hit.content for hit in await memory.recall("boat", user_id="ana")] == [
                "the red boat"
            ]
        await sound(one, other)
        del shared.rows.upsert
        await one.store_message(message("and a green one"), "talk", user_id="ana")
        assert await shown(other) == ["the red boat", "and a green one"]


async def test_the_same_memory(shared: SharedRows, redis_url: str) -> None:
    async with memory_at(redis_url) as one, memory_at(redis_url) as other:
        same = noted("Ana likes tea")
        await one.connect()
        await other.connect()
        meet(shared.rows)
        await asyncio.gather(one.store_memory(same), other.store_memory(same))
        assert len(await other.retrieve_memories(MemoryQuery(user_id="ana"))) == 1
        await sound(one, other)
