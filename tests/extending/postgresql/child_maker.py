"""Makes a store, with others at the same time, and adds ten rows: ``URL FIRST_SEQ``."""

from __future__ import annotations

import asyncio
import sys

from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.testing.rows import message, table
from tests.extending.postgresql.stores import open_index

_DIMENSION = 16


async def _main(url: str, first: int) -> None:
    index = await open_index(url, _DIMENSION)
    rows = [message(seq, f"hello {seq}") for seq in range(first, first + 10)]
    await index.upsert(table(rows, _DIMENSION), all_new=True)
    print(await index.count(EVERYONE, RowFilter()))
    await index.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
