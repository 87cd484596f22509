"""The memory behind an adapter: opened by the adapter, or given to it open.

Frameworks call an adapter from coroutines and from plain functions, in any thread and any event
loop. A memory belongs to one event loop. So a call goes to that loop, and its caller waits here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from os import PathLike, fspath
from typing import Any, TypeAlias, TypeVar

from bruno_memory_vec.errors import InvalidInputError, StoreError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.sync.background import BackgroundMemory
from bruno_memory_vec.sync.blocking import Blocking

T = TypeVar("T")

#: What an adapter is made with: a store by its folder or URL, or an open memory.
Given: TypeAlias = "str | PathLike[str] | VectorMemory | Blocking | OpenedMemory"


class OpenedMemory:
    """A memory that is used from any thread and any event loop.

    Args:
        given: a store, which is opened at the first call and closed by :meth:`close`; or an open
            memory, a :class:`~bruno_memory_vec.VectorMemory` or a
            :class:`bruno_memory_vec.sync.Memory`, which stays its owner's to close. Several
            adapters share a store by being given the same memory.
        settings: as for :func:`~bruno_memory_vec.open_memory`; only with a store.

    Raises:
        InvalidInputError: it is neither, or a setting is not usable.
    """

    def __init__(self, given: Given, **settings: Any) -> None:
        self._memory: VectorMemory | None = None
        self._view: VectorMemory | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background: BackgroundMemory | None = None
        self._mine = False
        self._lock = threading.Lock()
        if isinstance(given, (str, PathLike)):
            # Now, so that a setting that is not usable is told where it is given.
            made = VectorMemory(fspath(given), **settings)
            self._background, self._mine = BackgroundMemory(lambda: made), True
            return
        if settings:
            raise InvalidInputError(
                next(iter(settings)),
                "is a setting of a store, and an open memory was given",
                fix="Give it to open_memory(), or give the store by its folder or URL.",
            )
        if isinstance(given, Blocking) and isinstance(given._asynchronous, VectorMemory):
            self._background, self._view = given._background, given._asynchronous
        elif isinstance(given, VectorMemory):
            self._memory = given
            self._loop = _running_loop()
        else:
            raise InvalidInputError(
                "memory",
                f"is a {type(given).__name__}",
                fix="Give a folder, the URL of a store, or what open_memory() gave.",
            )

    def run(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        """Do something with the memory and wait for it, in a plain function.

        Raises:
            StoreClosedError: the memory was closed.
            StoreError: this is the thread of the memory's own event loop.
        """
        memory, loop = self._memory, self._loop
        if memory is not None and loop is not None and loop.is_running():
            if loop is _running_loop():
                raise StoreError(
                    "a plain call would hold up the event loop that the memory is used in",
                    fix="Await the method for coroutines (such as ainvoke, aput, aget_messages), "
                    "or give the adapter the folder or URL of the store.",
                )
            return asyncio.run_coroutine_threadsafe(_awaited(work, memory), loop).result()
        return self._in_background().run(self._of_view(work))

    async def arun(self, work: Callable[[VectorMemory], Awaitable[T]]) -> T:
        """Do something with the memory, in a coroutine of any event loop.

        Raises:
            StoreClosedError: the memory was closed.
        """
        memory = self._memory
        if memory is None:
            return await asyncio.wrap_future(self._in_background().begin(self._of_view(work)))
        here = asyncio.get_running_loop()
        if self._loop is None or not self._loop.is_running():
            self._loop = here
        if self._loop is here:
            return await work(memory)
        there = asyncio.run_coroutine_threadsafe(_awaited(work, memory), self._loop)
        return await asyncio.wrap_future(there)

    def close(self) -> None:
        """Close the memory if the adapter has opened it. Closing twice does nothing."""
        if self._mine and self._background is not None:
            self._background.close()

    def _of_view(
        self, work: Callable[[VectorMemory], Awaitable[T]]
    ) -> Callable[[VectorMemory], Awaitable[T]]:
        """The work, done with the view that was given."""
        view = self._view
        return work if view is None else lambda _: work(view)

    def _in_background(self) -> BackgroundMemory:
        with self._lock:
            if self._background is None:
                memory = self._memory
                assert memory is not None
                # No event loop uses it at the moment: from now on it lives in one of its own.
                self._background, self._mine = BackgroundMemory(lambda: memory), True
                self._memory = None
            return self._background


def opened(given: Given, settings: Mapping[str, Any]) -> OpenedMemory:
    """What an adapter was given, as one that can be used from anywhere.

    Raises: as :class:`OpenedMemory`.
    """
    if isinstance(given, OpenedMemory) and not settings:
        return given
    return OpenedMemory(given, **settings)


def checked_memory(given: Any) -> VectorMemory:
    """The memory of an adapter that has coroutines only, in the event loop of its framework.

    Raises:
        InvalidInputError: it is none, or one without asyncio.
    """
    if isinstance(given, VectorMemory):
        return given
    raise InvalidInputError(
        "memory",
        f"is a {type(given).__name__}",
        fix="Give what `await open_memory(...)` gave, or VectorMemory(folder), which opens at "
        "first use.",
    )


async def _awaited(work: Callable[[VectorMemory], Awaitable[T]], memory: VectorMemory) -> T:
    return await work(memory)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
