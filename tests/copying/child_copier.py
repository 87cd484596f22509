"""A process that copies a store in small commits, until it is killed."""

from __future__ import annotations

from typing import Any

from tests.durability.child_writer import bear_children


def told(work: str, done: int, _: int) -> None:
    print(f"{work} {done}", flush=True)


async def main(order: dict[str, Any]) -> None:
    from bruno_memory_vec.upkeep.copying import moving
    from bruno_memory_vec.upkeep.copying.run import copy_store

    moving.ROWS_AT_ONCE = order["rows"]
    print("begun", flush=True)
    await copy_store(order["source"], order["target"], progress=told)


if __name__ == "__main__":
    bear_children(main)
