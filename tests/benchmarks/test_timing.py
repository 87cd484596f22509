"""How the benchmarks time calls: which calls they make, and what they make of the durations."""

from __future__ import annotations

import asyncio
import time

import pytest

from benchmarks.timing import LEAST, Timed, at_rest, percentiles, rate, rated, timed, together


def test_percentiles_by_nearest_rank() -> None:
    figures = percentiles([n / 1000 for n in range(200, 0, -1)])
    assert figures == {"p50_ms": 100.0, "p95_ms": 190.0, "p99_ms": 198.0, "calls": 200}
    assert percentiles([0.25])["p99_ms"] == 250.0


async def test_every_call_is_made_once_and_in_order() -> None:
    made: list[int] = []

    async def call(number: int) -> None:
        made.append(number)

    found = await timed([lambda number=number: call(number) for number in range(30)])
    assert made == list(range(30))
    assert len(found.seconds) == len(found.used) == 30
    assert found.left == 0.0


async def test_slow_calls_are_cut_but_not_all_of_them() -> None:
    async def call() -> None:
        await asyncio.sleep(0)

    assert len((await timed([call] * 100, budget_s=0)).seconds) == LEAST


def test_processor_time_counts_what_was_left_to_the_background() -> None:
    found = Timed([0.004, 0.002], [0.001, 0.003], left=0.006)
    assert found.figures() == {
        "p50_ms": 2.0,
        "p95_ms": 4.0,
        "p99_ms": 4.0,
        "mean_ms": 3.0,
        "calls": 2,
        "cpu_p50_ms": 1.0,
        "cpu_ms": 5.0,
    }


async def test_the_background_is_waited_for() -> None:
    ended = asyncio.Event()

    async def busy() -> None:
        for _ in range(5):
            began = time.process_time()
            while time.process_time() - began < 0.02:
                pass
            await asyncio.sleep(0.02)
        ended.set()

    task = asyncio.create_task(busy())
    assert await at_rest() >= 0.08
    assert ended.is_set()
    await task


async def test_callers_run_beside_each_other_and_each_in_order() -> None:
    made: list[tuple[str, int]] = []

    async def call(who: str, number: int) -> None:
        await asyncio.sleep(0)
        made.append((who, number))

    found = await together([[lambda who=who, n=n: call(who, n) for n in range(3)] for who in "ab"])
    assert [n for who, n in made if who == "a"] == [0, 1, 2]
    assert [who for who, _ in made] == ["a", "b"] * 3
    assert (found["callers"], found["messages"], found["calls"]) == (2, 6, 6)


async def test_a_rate_is_of_messages() -> None:
    async def work() -> None:
        await asyncio.sleep(0.01)

    found = await rate(50, work)
    assert found["messages"] == 50
    assert 0 < found["messages_per_s"] <= 5_000
    assert rated(50, 0.5) == {"messages_per_s": 100, "seconds": 0.5, "messages": 50}
    assert rated(50, 0.5, 0.1)["cpu_ms"] == pytest.approx(2.0)
