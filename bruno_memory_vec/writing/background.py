"""Background work, and when logged rows are flushed to the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.observability.observer import Observer
from bruno_memory_vec.writing.visits import superseded

__all__ = ["Background", "runs", "to_its_end"]

_log = get_logger(__name__)


def runs(task: asyncio.Future[Any] | None) -> bool:
    """Whether a task is running in this event loop; a task of an ended loop never runs again."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def _is_the_programs_end(error: Exception) -> bool:
    """Whether work stopped because the program exits without ``close()``.

    That is no failure: the next opening does what is left. asyncio and ``concurrent.futures``
    show it only by the text of their error.
    """
    return isinstance(error, RuntimeError) and "shutdown" in str(error)


class Background:
    """Starts work, one of each name at a time, and keeps its failures for ``health()``."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, tuple[asyncio.TimerHandle, asyncio.AbstractEventLoop]] = {}
        self._closed = False
        #: Failures of background work, by the name of the work. Empty is healthy.
        self.problems: dict[str, str] = {}
        #: Called with the problems when they have changed, to keep them for other processes.
        self.keep: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
        #: Measures and traces the work; None where nobody wants that.
        self.observer: Observer | None = None

    def failed(self, name: str, error: Exception) -> None:
        """Remember a failure of work of this name, and log it."""
        self.problems[name] = str(error)
        _log.error("background_work_failed", work=name, error=str(error))

    async def tell(self) -> None:
        """Call :attr:`keep` with the current problems."""
        if self.keep is not None:
            await self.keep(self.problems)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin work, unless work of this name is running."""
        if self._closed or superseded() or runs(self._tasks.get(name)):
            return

        async def run() -> None:
            before = dict(self.problems)
            try:
                if self.observer is None:
                    await work()
                else:
                    with self.observer.background(name):
                        await work()
            except Exception as error:
                if _is_the_programs_end(error):
                    return
                self.failed(name, error)
            else:
                self.problems.pop(name, None)
            if self.problems != before:
                await self.tell()

        self._tasks[name] = asyncio.create_task(run(), name=f"bruno-memory: {name}")

    def start_later(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin work after some seconds, unless work of this name is scheduled already."""
        loop = asyncio.get_running_loop()
        former, its_loop = self._timers.get(name, (None, None))
        if its_loop is loop:
            return
        if former is not None:
            former.cancel()  # of another event loop, which does not run while this one does

        def ring() -> None:
            if self._timers.get(name) is mine:
                del self._timers[name]
            self.start(name, work)

        mine = self._timers[name] = (loop.call_later(seconds, ring), loop)

    def refuse(self) -> None:
        """Start no more work."""
        self._closed = True
        for timer, _ in self._timers.values():
            timer.cancel()

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """The running tasks."""
        return [task for task in self._tasks.values() if runs(task)]


#: The name of the work, as ``health()`` gives it.
FLUSH = "bring logged rows to the engine"

# When to flush, in seconds: after the last write; at the latest, after the oldest write that is not
# flushed; after a failed flush.
PAUSE, LONGEST, AGAIN = 1.0, 2.0, 5.0


class Flushing:
    """Flushes an index in the background, some time after a write.

    Args:
        background: runs the flushes.
        flush: flushes the logged rows to the engine.
        flushed: called after each successful flush.
    """

    def __init__(
        self,
        background: Background,
        flush: Callable[[], Awaitable[None]],
        flushed: Callable[[], None],
    ) -> None:
        self._background = background
        self._flush = flush
        self._flushed = flushed
        self._newest = 0.0
        # When the oldest row that is not flushed was logged (loop time); 0 where there is none.
        self._oldest = 0.0

    def written(self) -> None:
        """Note that something was written now."""
        self._newest = time.monotonic()
        self._oldest = self._oldest or self._newest
        self._background.start_later(PAUSE, FLUSH, self._run)

    async def _run(self) -> None:
        now = time.monotonic()
        waited = now - self._oldest if self._oldest else 0.0
        left = min(PAUSE - (now - self._newest), LONGEST - waited)
        if left > 0:
            self._background.start_later(left, FLUSH, self._run)
            return
        self._oldest = 0.0
        try:
            await self._flush()
        except EngineError:
            self._background.start_later(AGAIN, FLUSH, self._run)
            raise
        if self._oldest:
            # Rows were written during the flush, and their own timer may have found it running.
            self._background.start_later(PAUSE, FLUSH, self._run)
        self._flushed()
