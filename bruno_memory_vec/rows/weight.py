"""How much work a caller's values are: what is heavy is worked on in a thread, not on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain, islice
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T")

#: In characters: some milliseconds of checking and writing as JSON.
HEAVY = 20_000
# An item of a container costs as much as so many characters of a text.
_AN_ITEM = 8


def weight(*values: Any, most: int = HEAVY) -> int:
    """About how many characters values are; the count stops at ``most``.

    Texts count with their length, containers with what is in them, models with their fields. It
    takes time in proportion to ``most`` and not to the values, whatever they are.
    """
    total = 0
    waiting: list[Any] = list(islice(values, most // _AN_ITEM + 1))
    while waiting and total < most:
        value = waiting.pop()
        total += _AN_ITEM
        if isinstance(value, (str, bytes, bytearray)):
            total += len(value)
        elif isinstance(value, int):
            total += value.bit_length() // 4
        elif isinstance(value, BaseModel):
            waiting.extend(value.__dict__.values())
        elif isinstance(value, (dict, list, tuple, set, frozenset)):
            room = (most - total) // _AN_ITEM + 1
            held = chain(value, value.values()) if isinstance(value, dict) else value
            if len(value) >= room:
                return most  # more items than that count
            waiting.extend(islice(held, 2 * room))
    return min(total, most)


def is_heavy(*values: Any) -> bool:
    """Whether work on these values would hold the event loop."""
    return weight(*values, most=HEAVY) >= HEAVY


async def in_thread_if(heavy: bool, work: Callable[[], T]) -> T:
    """Do pure Python work; in a thread if it is heavy."""
    return await asyncio.to_thread(work) if heavy else work()
