"""The queue in front of the writer: bounded, and users take turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.writing import queue as write_queue
from bruno_memory_vec.writing.commit import prepare
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.queue import Prepared, Request, WriteQueue


def request(rows: int, text: str = "x", user: str = "ana") -> Request:
    content: list[Any] = [{"content": text, "user_id": user}] * rows
    return Request(content, asyncio.get_running_loop().create_future())


def prepared() -> Prepared:
    """What a request of no rows would bring along."""
    table = row_schema(1).empty_table()
    return Prepared(prepare([], KnownIds()), table, HashEmbedder())


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


def of_several(*users: str) -> Request:
    """A request of a row of each user."""
    rows: list[Any] = [{"content": "x", "user_id": user} for user in users]
    return Request(rows, asyncio.get_running_loop().create_future())


async def test_users_take_turns() -> None:
    queue = WriteQueue()
    ana = [request(2) for _ in range(4)]
    ben, cem = request(2, user="ben"), request(2, user="cem")
    for one in (*ana[:4], ben):
        await queue.put(one)
    waits = await put(queue, cem)
    assert queue.waiting == 1
    taken = queue.take()
    assert taken == [ana[0], ben]
    queue.finished(taken)
    await asyncio.gather(*waits)
    # Who was served longest ago is served first.
    assert queue.take() == [ana[1], cem]
    assert queue.take() == [ana[2], ana[3]]


async def test_who_waits_for_room_is_let_in_by_turns() -> None:
    queue = WriteQueue()
    first, *ana = (request(4) for _ in range(4))
    ben = request(4, user="ben")
    for one in (first, ana[0]):
        await queue.put(one)
    await put(queue, ana[1], ana[2], ben)
    assert queue.waiting == 3
    taken = queue.take()
    queue.finished(taken)
    assert queue.waiting == 2
    assert queue.take() == [ana[0]]
    queue.finished([ana[0]])
    assert queue.waiting == 1
    assert {queue.take()[0], queue.take()[0]} == {ana[1], ben}


async def test_what_is_several_users_keeps_its_order_with_each() -> None:
    queue = WriteQueue()
    before, both, after = request(1), of_several("ana", "ben"), request(1, user="ben")
    other = request(1, user="cem")
    for one in (before, both, after, other):
        await queue.put(one)
    order = []
    while queue:
        order += queue.take()
    assert sorted(order.index(one) for one in (before, both, after)) == [
        order.index(one) for one in (before, both, after)
    ]
    assert len(order) == 4


async def test_a_large_request_lets_small_ones_by_until_it_is_embedded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "_LARGE_ROWS", 4)
    queue = WriteQueue()
    large, behind, ben = request(50), request(1), request(1, user="ben")
    for one in (large, behind, ben):
        await queue.put(one)
    assert queue.waiting == 0  # a large one takes no room from small ones
    assert queue.to_prepare() == [large]
    # Not the small one of the same user: the order of a user's calls is kept.
    assert queue.take() == [ben]
    assert queue.take() == []
    waits = asyncio.ensure_future(queue.changed())
    await asyncio.sleep(0)
    queue.prepared(large, prepared())
    await waits
    assert queue.take() == [large]
    assert queue.take() == [behind]


async def test_small_and_large_commits_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "_LARGE_ROWS", 2)
    queue = WriteQueue()
    large = [request(3, user=f"large {n}") for n in range(2)]
    small = [request(2, user=f"small {n}") for n in range(4)]
    for one in (*large, *small):
        await queue.put(one)
    for one in large:
        queue.prepared(one, prepared())
    # The oldest is a large one.
    assert queue.take() == large[:1]
    assert queue.take() == small[:2]
    await queue.put(request(1, user="small 4"))
    assert queue.take() == large[1:]
    assert {one.users[0] for one in queue.take()} == {"small 2", "small 3"}


async def test_a_large_request_does_not_overtake_what_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "_LARGE_ROWS", 2)
    queue = WriteQueue()
    first, second = request(1, user="ben"), request(1, user="cem")
    large, third = request(3), request(1, user="ben")
    await queue.put(first)
    assert queue.take() == [first]
    for one in (second, large, third):
        await queue.put(one)
    queue.prepared(large, prepared())
    assert queue.take() == [second, third]
    assert queue.take() == [large]
