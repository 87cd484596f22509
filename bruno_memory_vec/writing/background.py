"""Work that no caller waits for, and when logged rows go to the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.logs import get_logger

__all__ = ["Background", "runs", "to_its_end"]

_log = get_logger(__name__)


def runs(task: asyncio.Future[Any] | None) -> bool:
    """Whether a task is under way; one of an earlier event loop never will be again."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def _is_the_programs_end(error: Exception) -> bool:
    """Whether work stopped because the program ends without ``close()``, and its threads with it.

    No failure: the next opening does what is left. asyncio and ``concurrent.futures`` give no
    other sign than this text.
    """
    return isinstance(error, RuntimeError) and "shutdown" in str(error)


class Background:
    """Starts work, one of each name at a time, and keeps its failures for ``health()``."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, tuple[asyncio.TimerHandle, asyncio.AbstractEventLoop]] = {}
        self._closed = False
        #: What went wrong out of a caller's sight, by the name of the work. Empty is healthy.
        self.problems: dict[str, str] = {}
        #: Told of the problems where they have changed, to keep them for other processes.
        self.keep: Callable[[Mapping[str, str]], Awaitable[None]] | None = None

    def failed(self, name: str, error: Exception) -> None:
        """Remember a failure of work of this name, and log it."""
        self.problems[name] = str(error)
        _log.error("background_work_failed", work=name, error=str(error))

    async def tell(self) -> None:
        """Let the problems be kept as they are now."""
        if self.keep is not None:
            await self.keep(self.problems)

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin work, unless work of this name is under way."""
        if self._closed or runs(self._tasks.get(name)):
            return

        async def run() -> None:
            before = dict(self.problems)
            try:
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
        """Begin work in a while, unless that is arranged already."""
        loop = asyncio.get_running_loop()
        _, its_loop = self._timers.get(name, (None, None))
        if its_loop is loop:
            return

        def ring() -> None:
            del self._timers[name]
            self.start(name, work)

        self._timers[name] = (loop.call_later(seconds, ring), loop)

    def refuse(self) -> None:
        """Start nothing more."""
        self._closed = True
        for timer, _ in self._timers.values():
            timer.cancel()

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """The tasks that run now."""
        return [task for task in self._tasks.values() if runs(task)]


#: The name of the work, as ``health()`` gives it.
FLUSH = "bring logged rows to the engine"

# In seconds: since the last write, since the first that the engine does not have, and after a
# failure.
PAUSE, LONGEST, AGAIN = 1.0, 2.0, 5.0


class Flushing:
    """Flushes an index in the background, some time after it was written to.

    Args:
        background: does the work.
        flush: brings what is logged to the engine.
        flushed: called after each flush that succeeded.
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
        # When rows were first logged since the engine had all of them; 0 for none.
        self._oldest = 0.0

    def written(self) -> None:
        """Something was written now."""
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
            # It came while that ran, and its own timer may have found it running.
            self._background.start_later(PAUSE, FLUSH, self._run)
        self._flushed()
