"""Writes to two stores, one with fsync=True, and logs each acknowledgement and what it had made.

Started with the folder of the stores and a log. A line of the log is "ack NUMBER" when a call has
returned, then JSON: the operation, what the store holds now, and the files of the rows that are new
since the one before. These files are copied, too: they never change, and clean-up removes them. The
files of the log grow, and are copied at each acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.lance import upkeep as lance_upkeep
from bruno_memory_vec.indexers.lance.upkeep import Upkeep
from bruno_memory_vec.indexers.lance.write_ahead_log import segments
from bruno_memory_vec.indexers.schema import LOG
from bruno_memory_vec.writing import background as flushing
from tests.durability.support import message, rows_of

# So that versions are removed within the test, but none of the upkeep that removes them.
_KEPT = 3.0
lance_upkeep._KEEP_VERSIONS = timedelta(seconds=_KEPT)
# Logged rows reach LanceDB with what needs them there, and not beside some other work.
flushing.PAUSE = flushing.LONGEST = 600.0

_KNOWN = UUID(int=7)
_FACT = UUID(int=8)


def works(memory: Any) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    """Every kind of write, with the name that the log gives it."""

    async def once(text: str) -> None:
        await memory.store_message(message(text), "talk", user_id="ana")

    async def known(text: str) -> None:
        await memory.store_message(message(text, id=_KNOWN), "talk", user_id="ana")

    async def bulk() -> None:
        messages = [message(f"bulk {number}") for number in range(200)]
        await memory.store_messages(messages, "bulk", user_id="ana")

    async def fact() -> None:
        kind = MemoryType.FACT
        entry = MemoryEntry(id=_FACT, content="a fact", memory_type=kind, user_id="ana")
        await memory.store_memory(entry)

    async def upkeep() -> None:
        await asyncio.sleep(_KEPT)
        await memory.maintain()

    return [
        *((f"store one {number}", lambda number=number: once(f"one {number}")) for number in "123"),
        ("store known", lambda: known("old words")),
        ("replace", lambda: known("new words")),
        ("bulk", bulk),
        ("remember", fact),
        ("session", lambda: memory.create_session("ana")),
        ("count uses", lambda: memory.recall("one 1", user_id="ana")),
        ("maintain", upkeep),
        ("store one 4", lambda: once("one 4")),
        ("forget", lambda: memory.delete_memory(str(_FACT))),
        ("clear", lambda: memory.clear_history("bulk", keep_system_messages=False)),
        ("maintain", upkeep),
    ]


def files(rows: Path) -> set[str]:
    return {str(path.relative_to(rows)) for path in rows.rglob("*") if path.is_file()}


async def main(folder: Path, log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number, prune = 0, Upkeep._prune

    def keep(kind: str, made: Iterable[str]) -> None:
        """Copy files that may be removed later."""
        for file in made:
            if not file.startswith(LOG):
                copy = folder / "kept" / kind / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / kind / "rows" / file, copy)

    async def kept_before_pruned(self: Upkeep, table: Any) -> None:
        # Erasing removes at once what it has just made, for all that a power cut would find it.
        rows = Path(self._path)
        keep(rows.parent.name, files(rows))
        await prune(self, table)

    Upkeep._prune = kept_before_pruned  # type: ignore[method-assign]

    async def acknowledged(memory: Any, kind: str, name: str, before: set[str]) -> set[str]:
        nonlocal number
        number += 1
        os.write(handle, f"ack {number}\n".encode())
        now = files(folder / kind / "rows")
        made = sorted(now - before)
        for path in segments(folder / kind / "rows" / LOG):
            copy = folder / "kept-log" / kind / path.name / str(number)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        keep(kind, made)
        holds = sorted(row["content"] for row in await rows_of(memory))
        line = {"ack": number, "store": kind, "work": name, "made": made, "holds": holds}
        os.write(handle, (json.dumps(line) + "\n").encode())
        return now

    for kind in ("plain", "durable"):
        store = str(folder / kind)
        async with open_memory(store, embedder="hash", fsync=kind == "durable") as memory:
            held = await acknowledged(memory, kind, "open", set())
            for name, work in works(memory):
                await work()
                held = await acknowledged(memory, kind, name, held)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
