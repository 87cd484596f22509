"""Compression by itself: it blocks nobody, resumes, tells what fails, and ends in time."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bruno_core.events import EventBus, EventType

from bruno_memory_vec import CompressionPolicy, VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, StoreClosedError
from tests.compression.support import archived, check_each_once, check_whole, turns
from tests.scripted_llm import Hang, ScriptedLLM

OFTEN = CompressionPolicy(background=True, every=timedelta(milliseconds=20), keep_newest=10)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds; only a hang takes long."""
    for _ in range(3000):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it has not happened")


async def compressed(memory: VectorMemory, user: str, count: int) -> None:
    async def done() -> bool:
        return sum((await archived(memory, user)).values()) == count

    await until(done)


async def test_many_conversations_are_compressed_as_they_grow() -> None:
    async with open_memory("memory://", compression=OFTEN) as memory:
        for number in range(3):
            await memory.store_messages(turns(30, seed=number), f"talk-{number}", user_id="ana")
            await memory.store_messages(turns(30, seed=number), f"his-{number}", user_id="ben")
        await compressed(memory, "ana", 3 * 20)
        await compressed(memory, "ben", 3 * 20)
        await memory.store_messages(turns(20, seed=9), "talk-0", user_id="ana")
        await compressed(memory, "ana", 4 * 20)
        await check_each_once(memory, "ana")
        assert (await memory.health())["problems"] == {}


async def test_nothing_happens_without_a_policy_that_asks_for_it() -> None:
    quiet = OFTEN.model_copy(update={"background": False})
    async with open_memory("memory://", compression=quiet) as memory:
        await memory.store_messages(turns(40), "talk", user_id="ana")
        await asyncio.sleep(0.2)
        assert not any((await archived(memory, "ana")).values())
        # It is the policy of a call that names none.
        assert (await memory.compress("ana")).turns == 30


async def test_stores_and_recalls_do_not_wait_for_a_slow_model() -> None:
    hang = Hang()
    policy = OFTEN.model_copy(update={"timeout": 3600.0})
    async with open_memory("memory://", llm=ScriptedLLM(hang), compression=policy) as memory:
        await memory.store_messages(turns(40), "talk", user_id="ana")
        await asyncio.wait_for(hang.waits.wait(), 60)
        for number in range(20):
            await memory.store_message(turns(1, seed=number)[0], "talk", user_id="ana")
            assert await memory.recall("the piano in Porto", user_id="ana")
        assert not hang.stopped
        began = time.monotonic()
    # Closed with the request under way, which was told to stop.
    assert hang.stopped
    assert time.monotonic() - began < 30


async def test_a_model_that_does_not_stop_holds_up_no_closing() -> None:
    hang = Hang(stubborn=True)
    policy = OFTEN.model_copy(update={"timeout": 3600.0})
    memory = await open_memory("memory://", llm=ScriptedLLM(hang), compression=policy)
    await memory.store_messages(turns(40), "talk", user_id="ana")
    await asyncio.wait_for(hang.waits.wait(), 60)
    await asyncio.wait_for(memory.close(), 60)
    with pytest.raises(StoreClosedError):
        await memory.recall("anything", user_id="ana")


async def test_it_resumes_at_the_next_opening(tmp_path: Path) -> None:
    said = turns(70)
    hang = Hang()
    folder = str(tmp_path)
    slow = OFTEN.model_copy(update={"timeout": 3600.0})
    async with open_memory(folder, llm=ScriptedLLM(hang), compression=slow) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await asyncio.wait_for(hang.waits.wait(), 60)
    async with open_memory(folder, compression=OFTEN) as memory:
        # Without anything stored since.
        await compressed(memory, "ana", 60)
        await check_whole(memory, "ana", {"talk": said})


async def test_failures_are_in_health_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_memory("memory://", compression=OFTEN) as memory:
        writer = await memory._handle.writer()
        with monkeypatch.context() as patch:

            async def full(*given: Any, **named: Any) -> Any:
                raise EngineError("rows", "write", "the disk is full", fix="Make room.")

            patch.setattr(writer, "rewrite", full)
            await memory.store_messages(turns(40), "talk", user_id="ana")

            async def told() -> bool:
                return "compress conversations" in (await memory.health())["problems"]

            await until(told)
            health = await memory.health()
            assert health["status"] == "degraded"
            assert "the disk is full" in health["problems"]["compress conversations"]

        async def mended() -> bool:
            return (await memory.health())["status"] == "ok"

        await until(mended)
        await compressed(memory, "ana", 30)
        await check_each_once(memory, "ana")


async def test_a_compression_is_told_on_the_bus() -> None:
    bus = EventBus()
    told: list[Any] = []

    async def hear(event: Any) -> None:
        told.append(event)

    bus.subscribe(EventType.COMPRESSION_TRIGGERED, hear)
    async with open_memory("memory://", events=bus) as memory:
        await memory.store_messages(turns(40), "talk", user_id="ana")
        await memory.compress("ana", dry_run=True)
        await memory.compress("ana")
    (event,) = told
    assert event.data["user_id"] == "ana"
    assert event.data["conversation_id"] == "talk"
    assert event.data["turns"] == 20


async def test_a_forgotten_memory_is_collected(tmp_path: Path) -> None:
    memory = await open_memory(str(tmp_path), compression=OFTEN)
    await memory.store_messages(turns(40), "talk", user_id="ana")
    await compressed(memory, "ana", 30)
    lazy = weakref.ref(memory._lazy)
    del memory

    async def gone() -> bool:
        gc.collect()
        return lazy() is None

    await until(gone)
    # Its folder is free again.
    async with open_memory(str(tmp_path)) as again:
        assert sum((await archived(again, "ana")).values()) == 30


async def test_two_compressions_at_once_and_stores_amid_them() -> None:
    said = turns(120)
    llm = ScriptedLLM(
        lambda messages: "\n".join(messages[-1].content.splitlines()[::2][:5]), seconds=0.01
    )
    async with open_memory("memory://", llm=llm) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        more = turns(30, seed=7)

        async def store_more() -> None:
            for message in more:
                await memory.store_message(message, "talk", user_id="ana")

        view = memory.for_user("ana")
        reports = await asyncio.gather(
            memory.compress("ana"), view.compress(), memory.compress("ana"), store_more()
        )
        assert sum(one.turns for one in reports[:3]) >= 100
        assert all(one.ok for one in reports[:3])
        await check_each_once(memory, "ana")
        await check_whole(memory, "ana", {"talk": [*said, *more]})
        state = await archived(memory, "ana")
        assert all(state[str(one.id)] for one in said[:100])
