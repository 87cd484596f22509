"""A process that compresses a store until it is killed. Its order is a line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def compress(order: dict[str, Any]) -> None:
    from bruno_memory_vec import open_memory

    async with open_memory(order["folder"]) as memory:
        print("begun", flush=True)
        await memory.compress("ana", policy=order["policy"])
        # Killed only after it has ended, it shows nothing wrong.
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(compress(json.loads(sys.stdin.readline())))
