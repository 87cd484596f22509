"""How long the event loop stood still, and what the threads were doing then."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable

_BEAT = 0.001


class Heartbeat:
    """Beats in the running loop while it is entered, and keeps its longest silences, in seconds.

    ``gap`` is by the clock, less the time in which the loop's thread could have run and got no core
    (where the kernel tells it). ``held`` is what the loop's own thread computed in one silence.
    Neither grows much where other processes have the machine.

    The garbage collector is off meanwhile: how long it stops the loop depends on
    everything the process ever made, and not on the code under test. Nor is the loop's thread
    traced for coverage, which makes short functions take three times as long.

    Args:
        name_after: with a number of seconds, a thread notes the stacks of a silence that long.
    """

    def __init__(self, name_after: float | None = None) -> None:
        self.gap = 0.0
        self.held = 0.0
        self.beats = 0
        self.stacks: list[str] = []
        self._name_after = name_after
        self._last = 0.0
        self._over = threading.Event()

    async def __aenter__(self) -> Heartbeat:
        gc.collect()
        gc.disable()
        self._trace = sys.gettrace()
        sys.settrace(None)
        self._loop_thread = threading.get_ident()
        self._last = time.perf_counter()
        self._task = asyncio.create_task(self._beat())
        await asyncio.sleep(0)
        if self._name_after is not None:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(2 * _BEAT)  # a silence at the very end counts too
        self._over.set()
        self._task.cancel()
        await asyncio.wait([self._task])
        sys.settrace(self._trace)
        gc.enable()

    async def _beat(self) -> None:
        with _Queue() as queue:
            computed, queued = time.thread_time(), queue.seconds()
            while True:
                await asyncio.sleep(_BEAT)
                now, computed_now, queued_now = (
                    time.perf_counter(),
                    time.thread_time(),
                    queue.seconds(),
                )
                self.gap = max(self.gap, now - self._last - (queued_now - queued))
                self.held = max(self.held, computed_now - computed)
                self._last, computed, queued = now, computed_now, queued_now
                self.beats += 1

    def _watch(self) -> None:
        assert self._name_after is not None
        noted = 0.0
        while not self._over.wait(0.002):
            last = self._last
            if time.perf_counter() - last > self._name_after and last != noted:
                noted = last
                self.stacks.append(self._describe())

    def _describe(self) -> str:
        """What each thread is at. One that holds the interpreter is seen just after its call."""
        parts = []
        for number, frame in sys._current_frames().items():
            if number != threading.get_ident():
                name = "loop" if number == self._loop_thread else "other thread"
                parts.append(f"{name}:\n" + "".join(traceback.format_stack(frame)[-5:]))
        return "".join(parts)


class _Queue:
    """How long the calling thread has waited for a core, all together; 0 where nobody counts it."""

    def __enter__(self) -> _Queue:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def seconds(self) -> float:
        if self._file < 0:
            return 0.0
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9


async def longest_silence(work: Callable[[], Awaitable[object]]) -> Heartbeat:
    """The heartbeat of the event loop while ``work`` runs."""
    async with Heartbeat() as heart:
        await work()
    return heart
