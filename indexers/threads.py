"""Python work in threads that does not hold up the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Above this many rows LanceDB's own Python work would hold the event loop for too long.
_ROWS_ON_THE_LOOP = 64


def in_breaths(items: Iterable[T], each: int = 64) -> Iterator[T]:
    """The items, with a pause after every ``each`` in which another thread may run.

    A thread that waits for the interpreter gets it after 5 ms at best
    (``sys.getswitchinterval``), and two busy threads may pass it to each other
    first. One that gives it up by itself lets the event loop go on at once.
    """
    for number, item in enumerate(items, 1):
        yield item
        if number % each == 0:
            time.sleep(0)


async def off_loop(rows: int, call: Callable[[], Awaitable[T]]) -> T:
    """Run a call about this many rows; a big one on a loop of its own in a thread."""
    if rows <= _ROWS_ON_THE_LOOP:
        return await call()

    async def run() -> T:
        return await call()

    return await asyncio.to_thread(lambda: asyncio.run(run()))
