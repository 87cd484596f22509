"""Migrates a store, and is killed before its nth change of a file; an order a line.

An order is the number, "inside" or "outside", the format and the folder. Outside is all that the
migration changes but in the folder where it works: its lock, and the switch.

It stands ready with everything imported, and bears a child for each order, so that a kill costs
hardly more than the migration. What Python does to files is seen by an audit hook; what LanceDB and
Tantivy write lies between.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

from bruno_memory_vec.store.migrating import STAGING
from bruno_memory_vec.upkeep.migrations.run import migrate

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


def main() -> None:
    for line in sys.stdin:
        number, where, to, folder = line.rstrip("\n").split(" ", 3)
        child = os.fork()
        if not child:
            migrate_until(int(number), where == "inside", int(to), folder)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        print("killed" if killed else f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


def migrate_until(number: int, inside: bool, to: int, folder: str) -> None:
    """Migrate, and be killed before the change with this number."""
    done = 0
    working = f"{folder}/{STAGING}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        changes = event in _CHANGES or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if not changes:
            return
        path = str(arguments[1] if event == "os.rename" else arguments[0])
        if not path.startswith(folder) or path.startswith(working) != inside:
            return
        done += 1
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    with contextlib.suppress(BaseException):
        asyncio.run(migrate(folder, to=to, allow_loss=True))
        os._exit(0)
    os._exit(1)


if __name__ == "__main__":
    main()
