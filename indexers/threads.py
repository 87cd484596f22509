"""Python work in threads that does not hold up the event loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


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
