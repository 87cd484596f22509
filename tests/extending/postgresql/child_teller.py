"""Tells a shared conversation, and one of its own, beside others: ``URL SESSIONS NAME COUNT``."""

from __future__ import annotations

import asyncio
import sys

from bruno_core.models.message import Message

from bruno_memory_vec import open_memory


async def _main(url: str, sessions: str, name: str, count: int) -> None:
    async with open_memory(url, embedder="hash", sessions=sessions) as memory:
        for number in range(count):
            said = Message(role="user", content=f"{name} says {number}")
            await memory.store_message(said, "shared", user_id="ana")
            (hit,) = await memory.recall(said.content, user_id="ana", k=1)
            assert hit.content == said.content, hit.content
            own = Message(role="user", content=f"{number}")
            await memory.store_message(own, f"of {name}", user_id=name)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
