"""A process that backs a store up, until it is killed."""

from __future__ import annotations

import time
from typing import Any

from tests.durability.child_writer import bear_children


async def main(order: dict[str, Any]) -> None:
    from bruno_memory_vec import backup_store, prune_backup
    from bruno_memory_vec.upkeep.backup import folder, making, single_file

    making.ROWS_A_CHUNK, making._ROWS_AT_ONCE, making._FEW = 4, 4, 0

    left = order["time"]

    def reached(moment: str) -> None:
        """At the moment at which it is to be killed: say so, and wait for that."""
        nonlocal left
        left -= moment == order["moment"]
        if moment == order["moment"] and not left:
            print("reached", flush=True)
            time.sleep(600)

    def told(name: str, write: Any) -> Any:
        def writes(self: Any, *arguments: Any) -> Any:
            reached(f"before {name}")
            found = write(self, *arguments)
            reached(f"after {name}")
            return found

        return writes

    for kind in (folder.FolderRepository, single_file.FileRepository):
        for name in ("write", "write_head", "keep_only"):
            setattr(kind, name, told(name, getattr(kind, name)))
    print("begun", flush=True)
    if "keep" in order:
        await prune_backup(order["target"], keep=order["keep"])
    else:
        await backup_store(order["source"], order["target"])
    print("ended", flush=True)


if __name__ == "__main__":
    bear_children(main)
