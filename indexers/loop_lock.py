"""A lock for an object that outlives an event loop."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType


class LoopLock:
    """An ``asyncio.Lock`` of the running loop.

    ``asyncio.Lock`` belongs to the first loop in which it was waited for. A
    memory may be used in one ``asyncio.run`` after another, whose loops follow
    each other and never run at once, so each loop has a lock of its own.
    """

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def locked(self) -> bool:
        """Whether it is held in the running loop."""
        return self._lock().locked()

    async def __aenter__(self) -> None:
        await self._lock().acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock().release()
