"""A memory for callers without an event loop: it lives in a loop of its own, in a thread.

Any thread may call, at the same time too; a call waits until its answer is there. The thread
belongs to the process that made it: in a forked child every call is refused, before anything is
done.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeVar

from bruno_memory_vec.errors import StoreClosedError, StoreError
from bruno_memory_vec.memory import VectorMemory

T = TypeVar("T")

# Seconds that the end of the program waits for what is still being written.
_LONGEST_END: Final = 30.0
_living: weakref.WeakSet[BackgroundMemory] = weakref.WeakSet()


class BackgroundMemory:
    """An open memory, used from any thread of one process.

    Closing it writes what is pending and ends its thread. At the end of the program those that
    nobody has closed are closed.

    Args:
        make: makes the memory; called in the thread, at the first call.
    """

    def __init__(self, make: Callable[[], VectorMemory]) -> None:
        self._make = make
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._memory: VectorMemory | None = None
        self._closed = False
        _living.add(self)

    def run(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        """Do something with the memory, and wait for it.

        Raises:
            StoreClosedError: it was closed.
            StoreError: this is a forked child, or the thread of the memory itself.
        """
        future = self.begin(work)
        try:
            return future.result()
        except CancelledError as error:
            raise StoreClosedError(
                "the memory was closed while it was asked", fix="Make a new one."
            ) from error
        except KeyboardInterrupt:
            future.cancel()
            raise

    def begin(self, work: Callable[[VectorMemory], Awaitable[T]]) -> Future[T]:
        """Begin to do something with the memory. Cancelling what is returned cancels it.

        Raises: as :meth:`run`.
        """
        if os.getpid() != self._process:
            raise StoreError(
                "the memory was opened by the process that this one was forked from",
                fix="Make a new one in this process, on a store that no other process writes.",
            )
        if threading.current_thread() is self._thread:
            raise StoreError(
                "the memory was called from its own thread, which would wait for itself",
                fix="Use the methods of VectorMemory there; they are coroutines.",
            )
        with self._lock:
            if self._closed:
                raise StoreClosedError("the memory was closed", fix="Make a new one.")
            return asyncio.run_coroutine_threadsafe(self._work(work), self._started())

    def close(self) -> None:
        """Write what is pending, and end the thread. Closing twice does nothing."""
        if os.getpid() != self._process:
            return  # what is open is the parent's
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        done: Future[None] = asyncio.run_coroutine_threadsafe(self._close(), loop)
        try:
            done.result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_LONGEST_END)

    async def _work(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        if self._memory is None:
            self._memory = self._make()
        return await work(self._memory)

    async def _close(self) -> None:
        # Calls that are under way end first.
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine and _is_call(task)]
        if others:
            await asyncio.wait(others)
        if self._memory is not None:
            await self._memory.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_run, args=(self._loop,), name="bruno-memory-vec", daemon=True
            )
            self._thread.start()
        return self._loop


def _is_call(task: asyncio.Task[Any]) -> bool:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", "") == BackgroundMemory._work.__qualname__


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@atexit.register
def _close_all() -> None:
    for one in list(_living):
        one.close()
