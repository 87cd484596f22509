"""What forgetting a user costs: ``python -m benchmarks.erasing``.

A folder's store of several users with as many rows each. One after the other is forgotten; each
erasure rewrites the files of the store, searches every byte of them and keeps a receipt. Beside it
a deletion of all rows of a user with ``maintain()``, which erases as well and verifies the store.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.finding import texts
from bruno_memory_vec import VectorMemory, open_memory


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.erasing", description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000, help="of each user")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(_run(arguments.users, arguments.rows))
    table = Table("seconds", *figures["seconds"])
    table.add_row("", *(f"{seconds:.2f}" for seconds in figures["seconds"].values()))
    console = Console(stderr=True)
    console.print(table)
    console.print(f"searched {figures['files']:,} files, {figures['bytes'] / 2**20:.1f} MiB")
    if arguments.json:
        write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(users: int, rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        async with open_memory(str(Path(place) / "store")) as memory:
            said = texts("ASCII", users * rows)
            for user in range(users):
                part = said[user * rows : (user + 1) * rows]
                messages = [Message(role=MessageRole.USER, content=text) for text in part]
                await memory.store_messages(messages, f"talk {user}", user_id=_name(user))
            await memory.maintain()
            seconds: dict[str, float] = {}
            began = time.perf_counter()
            await memory.forget_user(_name(0), dry_run=True)
            seconds["dry run"] = time.perf_counter() - began
            began = time.perf_counter()
            receipt = await memory.forget_user(_name(0))
            seconds["forget a user"] = time.perf_counter() - began
            assert receipt.ok, receipt
            began = time.perf_counter()
            await memory.forget_user("nobody at all")
            seconds["forget nobody"] = time.perf_counter() - began
            began = time.perf_counter()
            await memory.remains(_name(1), stored=False)
            seconds["look for remains"] = time.perf_counter() - began
            seconds["delete and maintain"] = await _deleted(memory, 1)
    return {"seconds": seconds, "files": receipt.check["files"], "bytes": receipt.check["bytes"]}


async def _deleted(memory: VectorMemory, user: int) -> float:
    began = time.perf_counter()
    await memory.clear_history(f"talk {user}", keep_system_messages=False)
    assert (await memory.maintain()).ok
    return time.perf_counter() - began


def _name(user: int) -> str:
    return f"user number {user:06}"


if __name__ == "__main__":
    sys.exit(main())
