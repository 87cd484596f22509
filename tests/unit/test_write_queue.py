"""The queue in front of the writer: bounded, and first come, first served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bruno_memory_vec.writing import queue as write_queue
from bruno_memory_vec.writing.queue import Request, WriteQueue


def request(rows: int, text: str = "x") -> Request:
    content: list[Any] = [{"content": text}] * rows
    return Request(content, asyncio.get_running_loop().create_future())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_ROWS", 10)
    monkeypatch.setattr(write_queue, "QUEUE_CHARACTERS", 100)
    monkeypatch.setattr(write_queue, "_BATCH_ROWS", 4)


async def put(queue: WriteQueue, *requests: Request) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(queue.put(one)) for one in requests]
    await asyncio.sleep(0)
    return tasks


async def test_a_commit_takes_what_fits_in_the_order_of_coming() -> None:
    queue = WriteQueue()
    asked = [request(n) for n in (3, 1, 2, 9)]
    tasks = await put(queue, *asked)
    assert [len(queue), queue.waiting, queue.rows] == [3, 1, 6]
    assert queue.take() == asked[:2]
    assert queue.take() == asked[2:3]
    assert queue.waiting == 1  # 6 rows are still in work
    queue.finished(asked[:3])
    assert [len(queue), queue.waiting, queue.rows] == [1, 0, 9]
    assert queue.take() == asked[3:]
    queue.finished(asked[3:])
    assert queue.rows == 0
    await asyncio.gather(*tasks)


async def test_nobody_is_overtaken() -> None:
    queue = WriteQueue()
    first, large, small_one = request(8), request(9), request(1)
    await put(queue, first, large, small_one)
    assert queue.waiting == 2  # the small one would fit, and came later
    queue.take()
    queue.finished([first])
    assert queue.take() == [large]
    assert queue.waiting == 0
    assert queue.take() == [small_one]


async def test_long_texts_count_too() -> None:
    queue = WriteQueue()
    await put(queue, request(1, "x" * 60), request(1, "x" * 60))
    assert (len(queue), queue.waiting) == (1, 1)


async def test_what_is_larger_than_the_queue_enters_when_it_is_empty() -> None:
    queue = WriteQueue()
    await put(queue, request(50))
    assert (len(queue), queue.waiting) == (1, 0)


async def test_a_caller_that_is_cancelled_while_it_waits_has_queued_nothing() -> None:
    queue = WriteQueue()
    first, second, third = request(8), request(9), request(2)
    tasks = await put(queue, first, second, third)
    tasks[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # The one behind it fits beside the first.
    assert (len(queue), queue.waiting, queue.rows) == (2, 0, 10)
    assert [queue.take(), queue.take()] == [[first], [third]]


async def test_what_nobody_waits_for_is_left_out() -> None:
    queue = WriteQueue()
    first, second = request(3), request(3)
    await put(queue, first, second)
    first.done.cancel()
    assert queue.take() == [second]
    assert queue.rows == 3


async def test_giving_up_empties_it() -> None:
    queue = WriteQueue()
    asked = [request(8), request(8)]
    tasks = await put(queue, *asked)
    assert queue.give_up() == asked
    assert (len(queue), queue.waiting, queue.rows) == (0, 0, 0)
    await asyncio.gather(*tasks)
