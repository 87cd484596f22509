"""A process that stores, deletes, replaces and maintains until it is killed.

Its order names the store's "folder", the "first" number of its words and a "seed". Each word is
stored in one row. It says "now" when something is about to be deleted, replaced or erased.
"""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import Any

from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from tests.durability.child_writer import bear_children

#: How many words one process may use.
WORDS = 2_000


def word(number: int) -> str:
    """A word that nothing else has (``on_disk.WORD``)."""
    return f"zq{number:014d}"


def now() -> None:
    print("now", flush=True)


async def main(order: dict[str, Any]) -> None:
    """Open the store, and work."""
    dice = random.Random(order["seed"])
    numbers = count(order["first"])

    def fresh() -> str:
        return word(next(numbers))

    def message(**changes: Any) -> Message:
        return Message(role="user", content=f"he said {fresh()}", **changes)

    def entry(**changes: Any) -> MemoryEntry:
        about = MemoryMetadata(tags=[fresh()], category=fresh(), custom_fields={fresh(): fresh()})
        content = f"a fact {fresh()}"
        return MemoryEntry(
            user_id="ana", content=content, memory_type=MemoryType.FACT, metadata=about, **changes
        )

    memory = await open_memory(order["folder"], embedder="hash")
    for turn in range(WORDS // 40):
        said, known = [message() for _ in range(6)], [entry(), entry()]
        await memory.store_messages(said, f"talk {turn % 3}", user_id="ana")
        await memory.store_memories(known)
        await memory.save_user(UserContext(user_id="ana", preferences={"likes": fresh()}))
        await memory.get_context("ana", f"talk {turn % 3}")
        now()
        await memory.delete_messages([one.id for one in said[:2]])
        await memory.delete_memory(str(known[0].id))
        await memory.store_message(message(id=said[3].id), f"talk {turn % 3}", user_id="ana")
        await memory.store_memory(entry(id=known[1].id))
        if dice.random() < 0.4:
            await memory.clear_history(f"talk {dice.randrange(3)}")
        now()
        if dice.random() < 0.6:
            await memory.maintain()
    await asyncio.Event().wait()


if __name__ == "__main__":
    bear_children(main)
