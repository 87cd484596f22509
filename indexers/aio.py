"""Helpers for asyncio: locks across loops, work in threads, and writes that must not be cancelled
halfway."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

# Above this many rows LanceDB's own Python work would hold the event loop for too long.
_ROWS_ON_THE_LOOP = 64


class LoopSemaphore:
    """An ``asyncio.Semaphore`` of the running loop, see :class:`LoopLock`.

    Args:
        count: how many may hold it at the same time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )

        self._holders = _Holders()

    def _semaphore(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        found = self._held.get(loop)
        if found is None:
            found = self._held[loop] = asyncio.Semaphore(self._count)
        return found

    async def __aenter__(self) -> None:
        await self._semaphore().acquire()
        self._holders.add()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holders.remove(kind):
            self._semaphore().release()


class LoopLock:
    """An ``asyncio.Lock`` of the running loop.

    ``asyncio.Lock`` belongs to the first loop in which it was waited for. A memory may be used
    in one ``asyncio.run`` after another. Their loops never run at the same time, so a lock for
    each loop is enough.
    """

    def __init__(self) -> None:
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )
        self._holders = _Holders()

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def locked(self) -> bool:
        """Whether it is held in the running loop."""
        return self._lock().locked()

    async def __aenter__(self) -> None:
        await self._lock().acquire()
        self._holders.add()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holders.remove(kind):
            self._lock().release()


class _Holders:
    """Which tasks of each event loop hold a lock.

    A coroutine whose loop was closed amid its work is ended by the garbage collector, maybe while
    another loop runs. It may not release what a task of that loop holds.
    """

    def __init__(self) -> None:
        self._tasks: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, list[weakref.ref[asyncio.Task[Any]]]
        ] = weakref.WeakKeyDictionary()

    def add(self) -> None:
        """The current task holds it from now on."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.setdefault(asyncio.get_running_loop(), []).append(weakref.ref(task))

    def remove(self, kind: type[BaseException] | None) -> bool:
        """Whether it is to be released; ``kind`` of what ends the block.

        The collector ends a coroutine by GeneratorExit, when its task is gone already.
        """
        collected = kind is GeneratorExit
        try:
            tasks = self._tasks.get(asyncio.get_running_loop(), [])
        except RuntimeError:  # none runs: its own has ended
            return False
        task = None if collected else asyncio.current_task()
        for holder in tasks:
            if holder() is task:
                tasks.remove(holder)
                return True
        return False


async def to_its_end(write: Coroutine[Any, Any, T]) -> T:
    """Await an engine's write; on cancellation, wait for the write to end and then raise.

    Otherwise its rows could be committed after the next batch has looked for them,
    and a turn be given twice.
    """
    task = asyncio.ensure_future(write)
    # A program that ends may cancel everything in asyncio.all_tasks(). That must not cancel the
    # write itself, because LanceDB may commit it all the same, some milliseconds later.
    asyncio._unregister_task(task)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from task.exception()
    return task.result()


def without_waiting(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits. Any thread may call this.

    Raises:
        RuntimeError: the coroutine waits for something.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError(f"{work!r} waits")


def yielding_gil(items: Iterable[T], each: int = 64) -> Iterator[T]:
    """The items; after every ``each`` of them, other threads get a chance to run.

    Python takes the interpreter lock from a busy thread only after 5 ms
    (``sys.getswitchinterval``), and two busy threads may pass it to each other first. A thread
    that releases the lock itself lets the event loop continue at once.
    """
    for number, item in enumerate(items, 1):
        yield item
        if number % each == 0:
            time.sleep(0)


async def on_own_loop(rows: int, call: Callable[[], Awaitable[T]]) -> T:
    """Run a call about this many rows; a large one runs on its own event loop in a thread."""
    if rows <= _ROWS_ON_THE_LOOP:
        return await call()

    async def run() -> T:
        return await call()

    return await asyncio.to_thread(lambda: _on_a_loop(run()))


def _on_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop, which may be impossible: a loop opens some files."""
    try:
        return asyncio.run(work)
    finally:
        work.close()


class Outliving:
    """Calls that a later event loop can wait for, after the loop that made them has ended.

    LanceDB goes on adding rows when the event loop that asked for it has ended. A later
    loop has to wait for it; else it would not find the rows, and add them again.
    """

    def __init__(self) -> None:
        self._under_way: dict[Future[Any], asyncio.AbstractEventLoop] = {}

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, on its own event loop in a thread."""
        future: Future[T] = Future()
        # From now on it cannot be cancelled.
        future.set_running_or_notify_cancel()
        self._under_way[future] = asyncio.get_running_loop()
        future.add_done_callback(self._under_way.pop)

        async def run() -> T:
            return await call()

        def work() -> None:
            try:
                result = _on_a_loop(run())
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, name="bruno-memory-outliving").start()
        return await asyncio.wrap_future(future)

    async def ended(self, *, here: bool = False) -> None:
        """Wait for the calls of earlier loops that are still running; with ``here``, for all."""
        now = asyncio.get_running_loop()
        left = [future for future, loop in list(self._under_way.items()) if here or loop is not now]
        if left:
            await asyncio.wait([asyncio.wrap_future(future) for future in left])
