"""Memories that were forgotten: Python has collected them, and nobody has closed them.

Their store is still open then: its background work runs, its engines have threads, and it holds the
folder's lock. The garbage collector would take these apart in any order, so a store whose memory is
gone is closed here, as ``close()`` would have done it: in its event loop if that runs, else in one
of its own. Whoever opens the folder again in this process waits for that (:func:`all_closed`).

Where the program ends first, the next opening does what is left, as after a kill.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread
import contextlib
import gc
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from bruno_memory_vec.errors import StoreError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.writing.visits import Visits

_log = get_logger(__name__)

# Seconds between two looks at an event loop that may end, and at closings that others wait for.
_BETWEEN_LOOKS = 0.02
# Seconds before a store is closed: `asyncio.run(main())` ends its loop right after what main holds.
_PAUSE = 0.05
# Longest wait of an opening for the closings of forgotten memories, and of the program's end.
_LONGEST_WAIT, _LONGEST_END = 60.0, 10.0


@dataclass(slots=True, eq=False)
class _Forgotten:
    """A store whose memory is gone.

    Attributes:
        close: closes it; may be called again after it was cancelled.
        visits: says which event loop has used it.
        process: the process that has opened it.
    """

    close: Callable[[], Awaitable[None]]
    visits: Visits
    process: int


# A collector may call at any moment, also amid other calls of this module or of `threading`: it
# only puts something into these. The thread takes it from there.
_waiting: queue.SimpleQueue[_Forgotten] = queue.SimpleQueue()
_open: set[object] = set()
_thread: threading.Thread | None = None


def close_if_forgotten(
    memory: object, visits: Visits, close: Callable[[], Awaitable[None]]
) -> weakref.finalize[Any, Any]:
    """Close a store when ``memory`` is collected; ``detach()`` the result once it is closed.

    Args:
        memory: what a user holds. ``close`` must not refer to it.
        visits: of the memory.
        close: closes the store; after a cancellation it is called again.
    """
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_run, name="bruno-memory-forgotten", daemon=True)
        _thread.start()
    left = _Forgotten(close, visits, os.getpid())
    finalizer = weakref.finalize(memory, _collected, left)
    finalizer.atexit = False
    return finalizer


def wait_for(closing: Future[Any]) -> None:
    """Let openings wait for a closing of somebody else's that is under way."""
    _open.add(closing)
    closing.add_done_callback(_open.discard)


async def all_closed() -> None:
    """Wait until every store whose memory is gone is closed, for a minute at most."""
    # A memory may only be referred to by a circle, for example of an exception's traceback.
    gc.collect()
    until = time.monotonic() + _LONGEST_WAIT
    while _open and time.monotonic() < until:  # noqa: ASYNC110  # other threads change it
        await asyncio.sleep(_BETWEEN_LOOKS)


def _collected(left: _Forgotten) -> None:
    if left.process == os.getpid() and not _ends():
        _open.add(left)
        _waiting.put(left)


def _ends() -> bool:
    """Whether the program ends: no thread can be started any more."""
    return sys.is_finalizing() or not threading.main_thread().is_alive()


def _run() -> None:
    while True:
        left = _waiting.get()
        _log.warning("memory_not_closed", fix="Close it, or use `async with open_memory(...)`.")
        try:
            # One for each, as one may wait for an event loop that is busy.
            threading.Thread(
                target=_close, args=(left,), name="bruno-memory-closing", daemon=True
            ).start()
        except RuntimeError:  # the program ends
            return


def _close(left: _Forgotten) -> None:
    time.sleep(_PAUSE)
    try:
        while not _ends():
            loop = left.visits.loop
            if loop is not None and loop.is_running():
                closed = _close_in(loop, left)
            else:
                closed = asyncio.run(_closed(left))
            if closed:
                return
            time.sleep(_BETWEEN_LOOKS)
    except Exception as error:
        if not _ends():
            _log.error("close_failed", error=str(error))
    finally:
        _open.discard(left)


async def _closed(left: _Forgotten) -> bool:
    """Close it in the running event loop; returns False if another one uses it."""
    try:
        left.visits.enter()
    except StoreError:
        return False
    await left.close()
    return True


def _close_in(loop: asyncio.AbstractEventLoop, left: _Forgotten) -> bool:
    """Close it in another thread's event loop; returns False if that has ended before."""
    done: Future[bool] = Future()

    def ends() -> bool:
        """Whether nobody waits for the loop's tasks any more."""
        return getattr(loop, "_asyncgens_shutdown_called", False)

    async def closing() -> bool:
        if ends():
            return False
        ended = asyncio.Event()
        until_closed = _until(ended)
        await anext(until_closed)
        try:
            return await _closed(left)
        finally:
            ended.set()
            with contextlib.suppress(RuntimeError):  # the loop's end closes it already
                await until_closed.aclose()

    def end(task: asyncio.Task[bool]) -> None:
        if task.cancelled():
            done.set_result(False)
        elif (error := task.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(task.result())

    def begin() -> None:
        if ends():  # this may be the loop's last turn, in which a new task does not take a step
            done.set_result(False)
        else:
            asyncio.ensure_future(closing()).add_done_callback(end)

    try:
        loop.call_soon_threadsafe(begin, context=Context())
    except RuntimeError:  # it was closed just now
        return False
    while not done.done() and loop.is_running() and not _ends():
        time.sleep(_BETWEEN_LOOKS)
    return done.done() and done.result()


async def _until(event: asyncio.Event) -> AsyncGenerator[None, None]:
    """Once begun, hold the end of the event loop up until ``event`` is set.

    `asyncio.run` cancels the tasks, and then waits for the ends of such generators: a task that was
    begun in between, which nothing cancels, would be left half-way.
    """
    try:
        yield
    finally:
        await event.wait()


def before_executors_end(work: Callable[[], None]) -> None:
    """Do something at the end of the program, what was asked for last first.

    It is before the executors end, without whose threads a closing fails: of Python's own calls,
    too, the one that was registered last is the first, and theirs was when their module was
    imported. ``atexit`` calls come after all of these.
    """
    assert concurrent.futures.thread.ThreadPoolExecutor is not None
    getattr(threading, "_register_atexit", atexit.register)(work)


def _at_exit() -> None:
    """Let closings that run come to their end, which is soon."""
    until = time.monotonic() + _LONGEST_END
    while _open and time.monotonic() < until:
        time.sleep(_BETWEEN_LOOKS)


def _after_fork_in_child() -> None:
    global _thread, _waiting
    _thread, _waiting = None, queue.SimpleQueue()
    _open.clear()


before_executors_end(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
