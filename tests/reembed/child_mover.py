"""A process that moves a store from one embedder to the other and back, until it is killed.

As ``tests/durability/child_writer.py``. With "load" in its order, the process has the store open
and writes to it meanwhile; else it runs the command's coroutine, beside nothing.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.durability.child_writer import Load, bear_children


def near_its_end(_: str, done: int, total: int) -> None:
    if done == total:
        print("near", flush=True)


async def beside_a_load(order: dict[str, Any], embedders: list[Any]) -> None:
    from bruno_memory_vec import open_memory

    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    memory = await open_memory(order["folder"], embedder=embedders[0])
    print("open", flush=True)
    load = asyncio.create_task(Load(memory, log, order).run())
    while not load.done():
        for embedder in (*embedders[1:], embedders[0]):
            await memory.reembed(embedder, near_its_end)
            print("moved", flush=True)
    await load


async def alone(order: dict[str, Any], embedders: list[Any]) -> None:
    from bruno_memory_vec.upkeep.reembedding.run import reembed

    print("open", flush=True)
    while True:
        for embedder in (*embedders[1:], embedders[0]):
            await reembed(order["folder"], embedder, progress=near_its_end)
            print("moved", flush=True)


async def main(order: dict[str, Any]) -> None:
    from bruno_memory_vec.embedders.hashing import HashEmbedder

    work = beside_a_load if order["load"] else alone
    await work(order, [HashEmbedder(dimension) for dimension in order["dimensions"]])


if __name__ == "__main__":
    bear_children(main)
