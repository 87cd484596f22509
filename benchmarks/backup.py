"""What exports and backups cost: ``python -m benchmarks.backup``.

A store of some users in a folder, with the default embedder's dimension: rows a second of an
export in each format, of the first backup, of an incremental one after some changes, of a check, a
restore and a pruning, and how large the files are.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from bruno_memory_vec import (
    VectorMemory,
    open_memory,
    prune_backup,
    restore_backup,
    verify_backup,
)

_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()
_USERS = 20
_A_CALL = 1_000


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--changes", type=int, default=100, help="between two backups")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            _run(Path(folder), arguments.rows, arguments.changes, arguments.embedder)
        )
    table = Table("", "seconds", "rows/s", "MiB")
    for name, figure in figures.items():
        rate = f"{figure['rows_per_second']:,.0f}" if figure["rows_per_second"] else ""
        table.add_row(name, f"{figure['seconds']:.2f}", rate, f"{figure['bytes'] / 2**20:.1f}")
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(folder: Path, rows: int, changes: int, embedder: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}

    async def timed(name: str, work: Callable[[], Awaitable[Any]], count: int = rows) -> Any:
        started = time.perf_counter()
        report = await work()
        seconds = time.perf_counter() - started
        figures[name] = {
            "seconds": seconds,
            "rows_per_second": count / seconds if count else None,
            "bytes": getattr(report, "bytes_written", getattr(report, "bytes", 0)),
            "waited": getattr(report, "waited", None),
        }
        return report

    chosen = random.Random(7)
    async with open_memory(str(folder / "store"), embedder=embedder) as memory:
        await _fill(memory, rows, chosen)
        for name, file in (
            ("export, jsonl", "a.jsonl"),
            ("export, csv", "a.csv"),
            ("export, parquet", "a.parquet"),
            ("export, markdown", "a.md"),
        ):
            await timed(name, lambda file=file: memory.export(folder / file))  # type: ignore[misc]
        await timed(
            "export, jsonl with vectors",
            lambda: memory.export(folder / "v.jsonl", vectors=True),
        )
        await timed("first backup", lambda: memory.backup(folder / "backup"))
        await timed("backup, nothing changed", lambda: memory.backup(folder / "backup"), 0)
        await _change(memory, changes, chosen)
        await timed(f"backup after {changes} changes", lambda: memory.backup(folder / "backup"), 0)
    await timed("check", lambda: verify_backup(folder / "backup"))
    await timed("restore", lambda: restore_backup(folder / "backup", folder / "restored"))
    await timed("prune to one point", lambda: prune_backup(folder / "backup", keep=1), 0)
    async with open_memory(str(folder / "other"), embedder=embedder) as other:
        await timed("import of jsonl with vectors", lambda: other.import_export(folder / "v.jsonl"))
    return figures


async def _fill(memory: VectorMemory, rows: int, chosen: random.Random) -> None:
    for start in range(0, rows, _A_CALL):
        user = f"user-{start // _A_CALL % _USERS}"
        messages = [_message(chosen) for _ in range(min(_A_CALL, rows - start))]
        await memory.store_messages(messages, f"{user}-{start}", user_id=user)


async def _change(memory: VectorMemory, changes: int, chosen: random.Random) -> None:
    """A third new, a third stored again, a third deleted."""
    talk = "user-0-0"
    turns = await memory.read_turns(talk, limit=changes)
    third = changes // 3
    await memory.store_messages([_message(chosen) for _ in range(third)], talk)
    again = [turn.message.model_copy(update={"content": "said anew"}) for turn in turns[:third]]
    await memory.store_messages(again, talk)
    gone = [turn.message.id for turn in turns[third : 2 * third + changes % 3]]
    await memory.delete_messages(gone, talk)


def _message(chosen: random.Random) -> Message:
    text = " ".join(chosen.choices(_WORDS, k=chosen.randint(8, 40)))
    return Message(role=MessageRole.USER, content=text)


if __name__ == "__main__":
    sys.exit(main())
