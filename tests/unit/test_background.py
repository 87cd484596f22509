"""Work in the background: one of each name, at its time, its failures kept.

Time is the event loop's own here, and goes on when nothing else is to be done.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.writing import background as flushing
from bruno_memory_vec.writing.background import FLUSH, Background, Flushing, runs


class Clock(asyncio.SelectorEventLoop):
    """A loop that does not wait: where all sleep, it is at once the time when the first wakes."""

    now = 1_000.0
    # How much passes between two looks at the clock.
    tick = 1e-6

    def time(self) -> float:
        self.now += self.tick
        return self.now

    def _run_once(self) -> None:
        timers = self._scheduled  # type: ignore[attr-defined]
        times = [timer.when() for timer in timers if not timer.cancelled()]
        if times and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(times))
        super()._run_once()  # type: ignore[misc]


def timed(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in a loop that does not wait."""

    @functools.wraps(test)
    def run(*given: Any, **named: Any) -> None:
        loop = Clock()
        try:
            loop.run_until_complete(test(*given, **named))
        finally:
            loop.close()

    return run


class Work:
    """Work that waits until it is let go, and then fails or not."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.fails: str | None = None

    async def __call__(self) -> None:
        self.begun += 1
        await self.gate.wait()
        if self.fails is not None:
            raise EngineError("test", "work", self.fails, fix="None.")


async def ended(background: Background) -> None:
    """Until nothing runs any more."""
    while background.under_way:
        await asyncio.wait(background.under_way)


async def test_one_of_a_name_at_a_time() -> None:
    background, work, other = Background(), Work(), Work()
    for _ in range(3):
        background.start("work", work)
    background.start("other", other)
    await asyncio.sleep(0)
    assert (work.begun, other.begun, len(background.under_way)) == (1, 1, 2)
    work.gate.set()
    other.gate.set()
    await ended(background)
    background.start("work", work)
    await ended(background)
    assert work.begun == 2


async def test_failures_are_kept_until_the_work_succeeds_and_told_when_they_change() -> None:
    background, work = Background(), Work()
    told: list[dict[str, str]] = []

    async def keep(problems: Mapping[str, str]) -> None:
        told.append(dict(problems))

    background.keep = keep
    work.gate.set()
    for fails, holds in (("one", True), ("one", True), ("two", True), (None, False), (None, False)):
        work.fails = fails
        background.start("work", work)
        await ended(background)
        assert ("work" in background.problems) == holds
        assert fails is None or fails in background.problems["work"]
    assert [list(one) for one in told] == [["work"], ["work"], []]
    # Others' problems are not touched.
    background.failed("other", ValueError("three"))
    assert background.problems == {"other": "three"}
    background.start("work", work)
    await ended(background)
    assert background.problems == {"other": "three"}
    await background.tell()
    assert told[-1] == {"other": "three"}
    background.keep = None
    await background.tell()
    assert len(told) == 4


@timed
async def test_later_means_once_and_not_now() -> None:
    background, work = Background(), Work()
    work.gate.set()
    background.start_later(2.0, "work", work)
    await asyncio.sleep(1.0)
    # It keeps the time that was arranged first.
    background.start_later(5.0, "work", work)
    background.start_later(0.0, "work", work)
    await asyncio.sleep(0.9)
    assert work.begun == 0
    await asyncio.sleep(0.2)
    assert work.begun == 1
    await asyncio.sleep(10.0)
    assert work.begun == 1
    # That time is over: it can be arranged again.
    background.start_later(1.0, "work", work)
    await asyncio.sleep(1.1)
    assert work.begun == 2


@timed
async def test_work_that_arranges_itself_again_where_the_clock_is_coarse() -> None:
    """On Windows it moves every 16 ms, and asyncio lets a timer ring that much too soon."""
    loop, background, begun = asyncio.get_running_loop(), Background(), []
    loop.tick = 0.0  # type: ignore[attr-defined]

    async def work() -> None:
        begun.append(loop.time())
        background.start_later(1.0, "work", work)

    background.start_later(1.0, "work", work)
    await asyncio.sleep(5.5)
    background.refuse()
    assert len(begun) == 5


@timed
async def test_nothing_begins_after_the_end() -> None:
    background, work = Background(), Work()
    work.gate.set()
    background.start_later(1.0, "later", work)
    background.refuse()
    background.start("now", work)
    background.start_later(0.0, "later still", work)
    await asyncio.sleep(5.0)
    assert work.begun == 0
    assert background.under_way == []


def test_what_an_earlier_loop_left_runs_no_more() -> None:
    background, begun = Background(), []

    async def work() -> None:
        begun.append(True)
        await asyncio.sleep(60)

    async def first() -> None:
        assert not runs(None)
        background.start("work", work)
        background.start_later(60.0, "later", work)
        await asyncio.sleep(0)
        (task,) = background.under_way
        assert runs(task)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not runs(task)

    async def second() -> None:
        assert background.under_way == []
        background.start("work", work)
        # The timer of a loop that is closed never rings.
        background.start_later(0.0, "later", work)
        while len(background.under_way) < 2:  # noqa: ASYNC110  # it has no event for it
            await asyncio.sleep(0)
        for task in background.under_way:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(first())
    asyncio.run(second())
    assert len(begun) == 3


# Flushing


class Flushes:
    """A flushing, and when it has flushed: in seconds since this was made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.get_running_loop()
        patch.setattr(flushing.time, "monotonic", self.loop.time)
        self.began = self.loop.time()
        self.background = Background()
        self.flushed: list[float] = []
        self.told: list[float] = []
        self.fails: list[Exception] = []
        self.takes = 0.0
        self.of = Flushing(self.background, self._flush, lambda: self.told.append(self.now))

    @property
    def now(self) -> float:
        return round(self.loop.time() - self.began, 3)

    async def _flush(self) -> None:
        self.flushed.append(self.now)
        await asyncio.sleep(self.takes)
        if self.fails:
            raise self.fails.pop(0)

    async def write_every(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.of.written()
            await asyncio.sleep(seconds)


@timed
async def test_after_a_pause_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Flushes(monkeypatch)
    await made.write_every(0.5, 3)
    assert made.flushed == []
    await asyncio.sleep(20.0)
    assert made.flushed == made.told == [2.0], "the last came at 1.0, and nothing came since"
    made.of.written()
    await asyncio.sleep(20.0)
    assert made.flushed == made.told == [2.0, 22.5]
    assert made.background.problems == {}


@timed
async def test_rows_that_have_waited_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is written to all the time."""
    made = Flushes(monkeypatch)
    await made.write_every(0.25, 40)
    assert made.flushed[0] == 2.0
    gaps = [later - sooner for sooner, later in zip(made.flushed, made.flushed[1:], strict=False)]
    assert len(gaps) == 4
    assert all(2.0 <= gap <= 2.5 for gap in gaps), made.flushed


@timed
async def test_what_comes_while_it_flushes_is_flushed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Flushes(monkeypatch)
    made.takes = 4.0
    made.of.written()
    await asyncio.sleep(1.5)
    assert made.flushed == [1.0]
    # Its own timer finds the flush under way.
    made.of.written()
    await asyncio.sleep(20.0)
    assert made.flushed == [1.0, 6.0]
    assert made.told == [5.0, 10.0]


@timed
async def test_a_flush_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Flushes(monkeypatch)
    made.fails = [EngineError("test", "flush", "as asked", fix="None.") for _ in range(2)]
    made.of.written()
    await asyncio.sleep(3.0)
    assert (made.flushed, made.told) == ([1.0], [])
    assert "as asked" in made.background.problems[FLUSH]
    await asyncio.sleep(20.0)
    assert (made.flushed, made.told) == ([1.0, 6.0, 11.0], [11.0])
    assert made.background.problems == {}


@timed
async def test_what_is_no_engines_failure_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fault of ours, which another attempt would not mend."""
    made = Flushes(monkeypatch)
    made.fails = [ZeroDivisionError("a fault of ours")]
    made.of.written()
    await asyncio.sleep(20.0)
    assert (made.flushed, made.told) == ([1.0], [])
    assert made.background.problems == {FLUSH: "a fault of ours"}
