"""Memories for callers without an event loop: they live in a loop in the background, in a thread.

Any thread may call, at the same time too; a call waits until its answer is there. All memories of
a process share one loop, so that one can be copied into another. The thread begins with the first
call and ends when the last memory is closed. It belongs to the process that made it: in a forked
child every call is refused, before anything is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, TypeVar

from bruno_memory_vec.errors import StoreClosedError, StoreError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.store import forgotten

T = TypeVar("T")

# Seconds that the end of the program waits for what is still being written.
_LONGEST_END: Final = 30.0
# Seconds that generators have to end by themselves once their memory is closed.
_LONGEST_STEP: Final = 1.0
_log = get_logger(__name__)


class BackgroundMemory:
    """An open memory, used from any thread of one process.

    Closing it writes what is pending. One that nobody has closed is closed when it is collected,
    or at the end of the program.

    Args:
        make: makes the memory; called in the background, at the first call.
    """

    def __init__(self, make: Callable[[], VectorMemory]) -> None:
        self._life = _Life(make)
        self._forgotten = weakref.finalize(self, _forgotten, self._life)
        self._forgotten.atexit = False  # the end of the program waits, see below

    def run(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        """Do something with the memory, and wait for it.

        What interrupts the wait, such as a KeyboardInterrupt, cancels it.

        Raises:
            StoreClosedError: it was closed.
            StoreError: this is a forked child, or the thread of the memories itself.
        """
        life = self._life
        return _waited(life.begun, lambda: life.call(work))

    def begin(self, work: Callable[[VectorMemory], Awaitable[T]]) -> Future[T]:
        """Begin to do something with the memory. Cancelling what is returned cancels it.

        Raises: as :meth:`run`.
        """
        life = self._life
        return life.begun(lambda: life.call(work))

    def iterate(self, make: Callable[[VectorMemory], AsyncGenerator[T, None]]) -> Stream[T]:
        """What an asynchronous generator of the memory yields, as a plain iterator.

        Raises: as :meth:`run`, also at each step.
        """
        return Stream(self, make)

    def close(self) -> None:
        """Write what is pending. Closing twice does nothing.

        Calls that are under way end first; iterators end.

        Raises:
            StoreError: this is the thread of the memories itself.
        """
        self._forgotten.detach()
        self._life.end()

    def __reduce__(self) -> NoReturn:
        raise StoreError(
            "a memory cannot be copied, nor sent to another process: it has files open",
            fix="Send its url, and open a memory of it there.",
        )


class Stream(Generic[T]):
    """An iterator over what comes in the background; each step waits for the next one.

    It ends when the memory is closed. Closing it, also from another thread, ends it at once; so
    does the end of a ``with``, and its being collected.
    """

    def __init__(
        self, memory: BackgroundMemory, make: Callable[[VectorMemory], AsyncGenerator[T, None]]
    ) -> None:
        self._memory = memory
        self._steps = _Steps(make)
        # A generator takes one step at a time.
        self._turn = threading.Lock()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        life, steps = self._memory._life, self._steps
        with self._turn:
            if steps.ended:
                raise StopIteration
            try:
                found = _waited(life.begun, lambda: life.step(steps))
            except StoreClosedError:
                if not steps.ended:
                    raise
                raise StopIteration from None
        if isinstance(found, _End):
            raise StopIteration
        return found

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it. Closing twice does nothing."""
        if self._steps.ended:
            return
        life = self._memory._life
        life.refuse_elsewhere()
        try:
            _waited(life.begun, self._steps.aclose)
        except StoreClosedError:
            self._steps.ended = True  # with its memory


def run_once(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await something in the background, without a memory, and wait for it.

    Raises:
        StoreError: this is the thread of the memories itself.
    """
    _refuse_own_thread()
    loop = _borrowed()
    try:
        return _waited(lambda run: asyncio.run_coroutine_threadsafe(run(), loop.loop), work)
    finally:
        _give_back(loop)
        if not loop.users:
            loop.thread.join(_LONGEST_END)


class _End:
    """What a step gives when there is nothing more; None may be something."""


_END: Final = _End()


class _Steps(Generic[T]):
    """An asynchronous generator, and the step that it takes now. Used in the background only."""

    def __init__(self, make: Callable[[VectorMemory], AsyncGenerator[T, None]]) -> None:
        self.make = make
        self.given: AsyncGenerator[T, None] | None = None
        self.task: asyncio.Task[Any] | None = None
        self.ended = False

    async def aclose(self) -> None:
        self.ended = True
        # One that is amid a step cannot be closed.
        while (task := self.task) is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])
        if self.given is not None:
            await self.given.aclose()


class _Life:
    """What is open of one memory. It does not refer to its :class:`BackgroundMemory`."""

    def __init__(self, make: Callable[[], VectorMemory]) -> None:
        self._make = make
        self._process = os.getpid()
        # The collector may call a user's `__del__` amid a call of the same thread.
        self._lock = threading.RLock()
        self._loop: _Loop | None = None
        self._memory: VectorMemory | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._open_steps: weakref.WeakSet[_Steps[Any]] = weakref.WeakSet()
        self._closed = False
        self._closing: Future[None] | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether this is a forked child of the process that has made it."""
        return os.getpid() != self._process

    def refuse_elsewhere(self) -> None:
        """Refuse what would wait for itself, or for a thread that is not there."""
        if self.elsewhere:
            raise StoreError(
                "the memory was opened by the process that this one was forked from",
                fix="Make a new one in this process, on a store that no other process writes.",
            )
        _refuse_own_thread()

    def begun(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin something in the background."""
        self.refuse_elsewhere()
        with self._lock:
            if self._closed:
                raise StoreClosedError("the memory was closed", fix="Make a new one.")
            if self._loop is None:
                self._loop = _borrowed()
                _open.add(self)
            return asyncio.run_coroutine_threadsafe(work(), self._loop.loop)

    async def call(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await work(self._made())
        finally:
            self._calls.discard(task)

    async def step(self, steps: _Steps[T]) -> T | _End:
        if steps.ended:
            return _END
        if steps.given is None:
            steps.given = steps.make(self._made())
            self._open_steps.add(steps)
        steps.task = asyncio.current_task()
        try:
            return await steps.given.__anext__()
        except StopAsyncIteration:
            steps.ended = True
            return _END
        except BaseException:
            steps.ended = True
            raise
        finally:
            steps.task = None

    def end(self, longest: float | None = None) -> None:
        """Close it, and wait for that; for ``longest`` seconds at most."""
        if self.elsewhere:
            return  # what is open is the parent's
        _refuse_own_thread()
        with self._lock:
            self._closed = True
            loop = self._loop
            if loop is None:
                return
            if self._closing is None:
                self._closing = asyncio.run_coroutine_threadsafe(self._close(loop), loop.loop)
        # An interrupted wait leaves it closing: a store that is closed half-way is of no use.
        self._closing.result(longest)
        if not loop.users:
            loop.thread.join(_LONGEST_END)

    def end_later(self) -> None:
        """Close it without waiting: the collector may call this at any moment, in any thread."""
        loop = self._loop
        if self._closing is None and loop is not None and not self.elsewhere:
            self._closed = True
            self._closing = asyncio.run_coroutine_threadsafe(self._close_forgotten(loop), loop.loop)
            forgotten.wait_for(self._closing)

    async def _close_forgotten(self, loop: _Loop) -> None:
        _log.warning("memory_not_closed", fix="Close it, or use `with open_memory(...)`.")
        try:
            await self._close(loop)
        except Exception as error:  # nobody waits for it
            _log.error("close_failed", error=str(error))

    async def _close(self, loop: _Loop) -> None:
        try:
            if self._calls:
                await asyncio.wait(self._calls)
            if self._memory is not None:
                await self._memory.close()
            open_steps = list(self._open_steps)
            waiting = [steps.task for steps in open_steps if steps.task is not None]
            if waiting:
                await asyncio.wait(waiting, timeout=_LONGEST_STEP)
            for steps in open_steps:
                await steps.aclose()
        finally:
            _open.discard(self)
            _give_back(loop)

    def _made(self) -> VectorMemory:
        if self._memory is None:
            self._memory = self._make()
        return self._memory


class _Loop:
    """An event loop in a thread of its own, and how many use it."""

    def __init__(self) -> None:
        self.users = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="bruno-memory-vec", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


# Every memory that is open: the end of the program closes those that nobody has closed.
_open: set[_Life] = set()
_loop: _Loop | None = None
# The collector may come amid these, too.
_loops = threading.RLock()


def _borrowed() -> _Loop:
    global _loop
    with _loops:
        if _loop is None:
            _loop = _Loop()
        _loop.users += 1
        return _loop


def _give_back(loop: _Loop) -> None:
    global _loop
    with _loops:
        loop.users -= 1
        if loop.users:
            return
        if _loop is loop:
            _loop = None
    loop.loop.call_soon_threadsafe(loop.loop.stop)


def _refuse_own_thread() -> None:
    loop = _loop
    if loop is not None and threading.current_thread() is loop.thread:
        raise StoreError(
            "the memory was called from its own thread, which would wait for itself",
            fix="Use the methods of VectorMemory there; they are coroutines.",
        )


class _Asked(Generic[T]):
    """Work in the background that somebody waits for, and may give up at any moment.

    An interrupt may come before there is a future to cancel: this is made before the work begins.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._given_up = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> T:
        """Do it."""
        self._task = asyncio.current_task()
        if self._given_up:
            raise asyncio.CancelledError
        return await self._work()

    def give_up(self) -> None:
        """Cancel it, from another thread; what has ended stays as it is."""
        self._given_up = True
        task = self._task
        if task is not None and not task.done():
            with contextlib.suppress(RuntimeError):  # its loop has been closed, and has ended it
                task.get_loop().call_soon_threadsafe(task.cancel)


def _waited(
    begin: Callable[[Callable[[], Coroutine[Any, Any, T]]], Future[T]],
    work: Callable[[], Coroutine[Any, Any, T]],
) -> T:
    """Begin work in the background and wait for it; what ends the wait cancels the work."""
    asked = _Asked(work)
    try:
        return begin(asked.run).result()
    except CancelledError as error:
        raise StoreClosedError(
            "the memory was closed while it was asked", fix="Make a new one."
        ) from error
    except BaseException:
        asked.give_up()
        raise


def _forgotten(life: _Life) -> None:
    life.end_later()


def _at_exit() -> None:
    for life in list(_open):
        try:
            life.end(_LONGEST_END)
        except Exception as error:  # the others are closed, too
            _log.error("close_failed", error=str(error))


def _after_fork_in_child() -> None:
    global _loop, _loops
    _loop, _loops = None, threading.RLock()
    _open.clear()


forgotten.before_executors_end(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
