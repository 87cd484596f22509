"""A process that opens a store of an older format, until it is killed.

It imports everything, says "ready", and waits for one line of JSON: the folder, how many rows the
upgrade writes at once, and after how many it is to stand still (null: never). It says "at" and how
far the upgrade has come each time it hears of it, and "open" at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


async def main(order: dict[str, Any]) -> None:
    from bruno_memory_vec import open_memory
    from bruno_memory_vec.upkeep import upgrade

    upgrade._ROWS_A_COMMIT = order["rows_a_commit"]

    def told(work: str, done: int, total: int) -> None:
        print(f"at {done}" if work == "upgrading the store" else work, flush=True)
        if order["stand_still_at"] is not None and done >= order["stand_still_at"]:
            time.sleep(600)

    async with open_memory(order["folder"], embedder="hash", progress=told):
        print("open", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    import lancedb
    import lancedb.index
    import lancedb.query  # noqa: F401
    import tantivy  # noqa: F401

    print("ready", flush=True)
    line = sys.stdin.readline()
    if line:
        asyncio.run(main(json.loads(line)))
