"""Visits: a memory is used by one process, and by one event loop at a time.

Its engines, locks and timers belong to the process and the event loop that made them. Each public
call enters first (:meth:`Visits.enter`). What it starts carries the visit along, in its context,
so that work which an earlier event loop has left halfway is stopped before its next change
(:func:`check_visit`), if that loop is ever resumed.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from bruno_memory_vec.errors import StoreError


@dataclass(slots=True)
class _Visit:
    """The use of a memory by one event loop.

    Attributes:
        loop: that event loop.
        over: whether another loop has used the memory since.
        writes: how many calls are writing at the moment.
    """

    loop: weakref.ref[asyncio.AbstractEventLoop]
    over: bool = False
    writes: int = 0


_current: ContextVar[_Visit | None] = ContextVar("bruno_memory_visit", default=None)
# Held while a visit begins, which two threads may try at the same moment.
_beginning = threading.Lock()


def _after_fork_in_child() -> None:
    # Another thread may have held it when the process forked, and does not exist in the child.
    global _beginning
    _beginning = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Visits:
    """Who uses a memory now: the process, and the event loop."""

    def __init__(self) -> None:
        self._process: int | None = None
        self._visit: _Visit | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that has used the memory last; None where it is gone, or none has."""
        return None if self._visit is None else self._visit.loop()

    @property
    def elsewhere(self) -> bool:
        """Whether this is another process than the one that has used the memory: a fork's child."""
        return self._process is not None and self._process != os.getpid()

    def enter(self) -> None:
        """Let a call in, or refuse it before it does anything.

        Raises:
            StoreError: this is another process than that of the first call, another event loop
                uses the memory at the moment or has left a write halfway, or there is none here.
        """
        if self._process is not None:
            refuse_after_fork(self._process)
        try:
            here = asyncio.get_running_loop()
        except RuntimeError as error:
            raise StoreError(
                "the memory was called where no event loop of asyncio runs",
                fix="Await it within asyncio.run(...).",
                cause=error,
            ) from error
        visit = self._visit
        if visit is None or visit.loop() is not here or visit.over:
            visit = self._begin(here)
        _current.set(visit)

    def _begin(self, here: asyncio.AbstractEventLoop) -> _Visit:
        with _beginning:
            former = self._visit
            loop = None if former is None else former.loop()
            if former is not None and loop is here and not former.over:
                return former
            if loop is not None and loop is not here and loop.is_running():
                raise StoreError(
                    "the memory is in use in another event loop, which is running",
                    fix="Call it in that loop, from other threads with "
                    "asyncio.run_coroutine_threadsafe(call, loop); or close it there first.",
                )
            if loop is not None and not loop.is_closed() and former is not None and former.writes:
                raise StoreError(
                    "a write was left halfway in another event loop, which does not run now",
                    fix="Run that loop until the write has ended, or close that loop.",
                )
            if former is not None:
                former.over = True
            self._process = os.getpid()
            self._visit = _Visit(weakref.ref(here))
            return self._visit


def refuse_after_fork(process: int) -> None:
    """Refuse to go on in another process than the one that opened the store.

    Raises:
        StoreError: this is another process.
    """
    if os.getpid() != process:
        raise StoreError(
            f"the store was opened in process {process} and this is {os.getpid()}: its "
            "engines do not survive a fork",
            fix="Open the memory in this process, after the fork, and none before it.",
        )


@contextmanager
def writing_here() -> Iterator[None]:
    """Something is written: until it has ended, only this event loop may use the memory.

    Otherwise the loop, resumed, would give its rows turns that another one has given meanwhile.
    """
    visit = _current.get()
    if visit is None:
        yield
        return
    visit.writes += 1
    try:
        yield
    finally:
        visit.writes -= 1


def superseded() -> bool:
    """Whether the running work was begun in an event loop that another one has replaced since."""
    visit = _current.get()
    return visit is not None and visit.over


def check_visit() -> None:
    """Stop work that was begun in an event loop that another one has replaced since.

    Raises:
        StoreError: it was.
    """
    if superseded():
        raise StoreError(
            "this call was begun in another event loop than the one that uses the memory now",
            fix="Use the memory in one event loop, or let each call end before the next loop.",
        )
