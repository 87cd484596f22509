"""A process that does one kind of work to a store until it is killed.

As ``tests/durability/child_writer.py``. "work" in its order names the kind. It says "now" when that
begins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.durability.child_writer import bear_children, open_load
from tests.reembed import child_mover


def now() -> None:
    print("now", flush=True)


async def write(order: dict[str, Any]) -> None:
    """A mix of everything."""
    load = await open_load(order)
    now()
    await load.run()


async def maintain(order: dict[str, Any]) -> None:
    """Compaction and the refreshing of indexes, beside writes."""
    load = await open_load(order)

    async def store() -> None:
        while True:
            await load.random.choice((load.one, load.several, load.again, load.memory_))()

    storing = asyncio.create_task(store())
    while not storing.done():
        now()
        await load.maintain()
        await asyncio.sleep(0.05)
    await storing


async def delete(order: dict[str, Any]) -> None:
    """Conversations and memories that come and go; another conversation is written to meanwhile."""
    load = await open_load(order)
    while True:
        await load.bulk()
        await load.memory_()
        user, conversation = load.place()
        await load.memory.get_context(user, conversation)
        other = next(o for o in order["users"] if o != user)
        now()
        await asyncio.gather(
            load.clear_one(user, conversation, keep=load.random.random() < 0.5),
            load.put([load.message()], other, f"{other}-0", single=True),
        )
        await load.forget()


async def index(order: dict[str, Any]) -> None:
    """Opening makes the indexes that are not there."""
    now()
    load = await open_load(order)
    await load.run()


_WORKS = {work.__name__: work for work in (write, maintain, delete, index)}


async def main(order: dict[str, Any]) -> None:
    await (_WORKS.get(order["work"]) or child_mover.main)(order)


if __name__ == "__main__":
    bear_children(main)
