"""Writes rows by ones, flushing now and then; says each ``seq`` that was acknowledged.

Started with the folder of the rows, it begins when it hears a line, and ends when it hears another.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.schema import LOG, row_schema
from bruno_memory_vec.testing.rows import message, table

DIMENSION = 8


async def main(folder: Path) -> None:
    inner = await LanceIndex.open(str(folder), DIMENSION)
    index = WriteAheadLogIndex(inner, folder / LOG, row_schema(DIMENSION))
    await index.replay()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    dice, seq = random.Random(1), 0
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    flushing: asyncio.Task[None] | None = None
    while not told.done():
        await index.upsert(table([message(seq, f"number {seq}")], DIMENSION), all_new=True)
        print(seq, flush=True)
        seq += 1
        if dice.random() < 0.1 and (flushing is None or flushing.done()):
            flushing = asyncio.create_task(index.flush())
        await asyncio.sleep(dice.choice((0, 0, 0.001, 0.02)))
    if flushing is not None:
        await flushing
    await index.close()
    print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
