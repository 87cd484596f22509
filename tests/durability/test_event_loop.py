"""The event loop goes on while the memory works.

Nothing of ours computes on the loop's thread for 20 ms in one piece, on a machine of usual speed.
That is measured in the thread's own time, so a busy machine does not change it. A call that
blocks, or that keeps the interpreter to itself, shows by the clock, less the time in which the
thread waited for a core: for what is left of a busy machine the bound is wide. What the silences
are on a quiet machine, ``python -m benchmarks.speed`` measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from tests.durability.heartbeat import Heartbeat, longest_silence
from tests.durability.support import message

pytestmark = pytest.mark.slow


def slowness() -> float:
    """How much slower Python runs on this machine; at least 1.

    1 is where 50,000 additions take 2.5 ms.
    """
    best = inf
    for _ in range(5):
        began, total = time.thread_time(), 0
        for number in range(50_000):
            total += number
        best = min(best, time.thread_time() - began)
    return max(1.0, best / 0.0025)


HELD = 0.020
SILENT = 0.100
_ATTEMPTS = 6
_MANY = 10_000
_WORDS = "harbour violin recipe mountain invoice garden lecture ferry window letter".split()

Work = Callable[[VectorMemory, list[Any]], Awaitable[object]]


def many(count: int = _MANY) -> list[Any]:
    return [
        message(f"{_WORDS[n % 10]} {_WORDS[n // 10 % 10]} number {n}, which was said on a Sunday")
        for n in range(count)
    ]


def is_within(heart: Heartbeat, slow: float) -> bool:
    return heart.held < HELD * slow and heart.gap < SILENT


async def holds_the_loop(attempt: Callable[[], Awaitable[Heartbeat]]) -> bool:
    """Whether each of some measurements is beyond the bounds.

    Another process may take the machine during one or two; a call that holds the loop does so in
    each. How slow the machine is changes, too, while others work on it, so that is measured before
    and after each attempt.
    """
    for _ in range(_ATTEMPTS):
        slow = slowness()
        heart = await attempt()
        slow = max(slow, slowness())
        held, silent = heart.held * 1000, heart.gap * 1000
        print(f"held {held:.1f} ms, silent {silent:.1f} ms, {slow:.1f} times as slow")
        if is_within(heart, slow):
            return False
    return True


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "store"), recall_in_context=False) as opened:
        await opened.store_message(message("hello"), "warm", user_id="ana")
        await opened.recall("hello", user_id="ana")
        yield opened


async def _store_many(memory: VectorMemory, given: list[Any]) -> None:
    await memory.store_messages(given, "long", user_id="ana")


async def _store_again(memory: VectorMemory, full: list[Any]) -> None:
    await memory.store_messages(full, "full", user_id="ana")


async def _store_at_once(memory: VectorMemory, given: list[Any]) -> None:
    await asyncio.gather(
        *(memory.store_message(m, f"c{n % 50}", user_id="ana") for n, m in enumerate(given[:1000]))
    )


async def _first_recall(memory: VectorMemory, given: list[Any]) -> None:
    await memory.store_messages(given, "fresh", user_id="ana")
    await memory.recall("the violin in the garden", user_id="ana")


async def _recall(memory: VectorMemory, _: list[Any]) -> None:
    for k in (10, 100, 1000):
        await memory.recall("the violin in the garden on a Sunday", user_id="ana", k=k)


async def _retrieve(memory: VectorMemory, _: list[Any]) -> None:
    assert len(await memory.retrieve_messages("full")) == _MANY


async def _statistics(memory: VectorMemory, _: list[Any]) -> None:
    await memory.get_statistics("ana")


async def _maintain(memory: VectorMemory, _: list[Any]) -> None:
    for n in range(60):
        await memory.store_message(message(f"one more {n}"), "full", user_id="ana")
    await memory.maintain()


async def _huge_message(memory: VectorMemory, _: list[Any]) -> None:
    await memory.store_message(message("long letter " * 90_000), "huge", user_id="ana")


async def _huge_context(memory: VectorMemory, _: list[Any]) -> None:
    for n in range(5):
        await memory.store_message(message(f"letter {n} " + "x " * 500_000), "huge", user_id="ana")
    await memory.get_context("ana", "huge")


async def _huge_question(memory: VectorMemory, _: list[Any]) -> None:
    await memory.recall("what about the long letter " * 40_000, user_id="ana")


async def _clear(memory: VectorMemory, _: list[Any]) -> None:
    await memory.clear_history("full")


async def _contexts(memory: VectorMemory, _: list[Any]) -> None:
    for n in range(200):
        await memory.get_context("ana", f"other {n}")


async def _health(memory: VectorMemory, _: list[Any]) -> None:
    await memory.health()


@pytest.mark.parametrize(
    "work",
    [
        _store_many,
        _store_again,
        _store_at_once,
        _first_recall,
        _recall,
        _retrieve,
        _statistics,
        _maintain,
        _huge_message,
        _huge_context,
        _huge_question,
        _clear,
        _contexts,
        _health,
    ],
    ids=lambda work: work.__name__.strip("_"),
)
async def test_the_loop_goes_on(memory: VectorMemory, work: Work) -> None:
    full = many() if work in _NEED_FULL else []

    async def attempt() -> Heartbeat:
        if full:
            await memory.store_messages(full, "full", user_id="ana")
        given = full or many()
        await memory.maintain()  # what the last attempt left to do is not this one's
        return await longest_silence(lambda: work(memory, given))

    assert not await holds_the_loop(attempt)


_NEED_FULL = {_store_again, _recall, _retrieve, _statistics, _clear}


@pytest.mark.parametrize("lost", ["nothing", "lexical", "sessions"])
async def test_the_loop_goes_on_while_a_store_is_opened_and_closed(
    tmp_path: Path, lost: str
) -> None:
    """With the lexical index or the sessions gone, they are made anew from 10,000 rows."""
    folder = tmp_path / "store"
    async with open_memory(str(folder)) as memory:
        for n in range(10):
            await memory.store_messages(many(1000), f"c{n}", user_id="ana")

    async def attempt() -> Heartbeat:
        if lost == "lexical":
            (folder / "lexical" / "meta.json").write_text("damaged")
        for file in folder.glob("sessions.sqlite*"):
            if lost == "sessions":
                file.unlink()

        given = many(500)

        async def work() -> None:
            async with open_memory(str(folder)) as memory:
                await memory.store_messages(given, "more", user_id="ana")

        return await longest_silence(work)

    assert not await holds_the_loop(attempt)


async def test_what_holds_the_loop_is_seen() -> None:
    """The measure itself, by faults that it is there to find."""

    async def computing() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 2 * HELD:
            pass

    async def blocking() -> None:
        time.sleep(1.5 * SILENT)  # noqa: ASYNC251  (the fault)

    async def in_a_thread() -> None:
        await asyncio.to_thread(time.sleep, 1.5 * SILENT)

    assert await holds_the_loop(lambda: longest_silence(computing))
    assert await holds_the_loop(lambda: longest_silence(blocking))
    assert not await holds_the_loop(lambda: longest_silence(in_a_thread))
