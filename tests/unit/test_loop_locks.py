"""Locks across event loops: what a closed loop has left does not release another loop's lock."""

from __future__ import annotations

import asyncio
import gc

import pytest

from bruno_memory_vec.indexers.aio import LoopLock, LoopSemaphore


@pytest.mark.parametrize("lock", [LoopLock(), LoopSemaphore(1)], ids=["lock", "semaphore"])
def test_what_is_collected_later_releases_no_lock_of_another_loop(
    lock: LoopLock | LoopSemaphore,
) -> None:
    async def hold() -> None:
        async with lock:
            await asyncio.get_running_loop().create_future()

    async def begin() -> None:
        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        assert not task.done()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(begin())
    first.close()
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with lock:
            entered.append(number)
            await asyncio.sleep(0.01)

    async def collect_amid() -> None:
        one = asyncio.create_task(enter(1))
        await asyncio.sleep(0)
        two = asyncio.create_task(enter(2))
        gc.collect()  # ends what the first loop has left
        await asyncio.sleep(0)
        assert entered == [1], "the second waits for the first"
        await asyncio.gather(one, two)
        assert entered == [1, 2]

    second.run_until_complete(collect_amid())
    second.close()


async def test_a_task_may_hold_several_and_a_cancelled_one_releases_its_own() -> None:
    lock, other = LoopLock(), LoopSemaphore(2)

    async def hold() -> None:
        async with other, other, lock:
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0)
    assert lock.locked()
    task.cancel()
    await asyncio.wait([task])
    assert not lock.locked()

    async def enter() -> None:
        async with lock, other, other:
            pass

    await asyncio.wait_for(enter(), 5)
