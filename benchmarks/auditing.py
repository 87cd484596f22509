"""What the audit trail costs: ``python -m benchmarks.auditing``.

A folder's store of one user. A recall of a user whose rows are in memory, and a message stored,
each without a trail, with one, and with one whose entries are chained with a key and whose ids are
hashed. The ways take turns, so that what else the machine does falls on all of them. And how long
a trail takes to be listed and verified.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.finding import texts
from benchmarks.timing import percentiles
from bruno_memory_vec import VectorMemory, open_memory

#: By name, the settings of each way.
WAYS: dict[str, dict[str, Any]] = {
    "no trail": {},
    "a trail": {"audit": True},
    "keyed, ids hashed": {
        "audit": True,
        "audit_ids": "hashed",
        "audit_key": "a secret of the auditors",
    },
}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auditing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=300, help="measured calls of each kind")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(_run(arguments.rows, arguments.calls))
    table = Table("milliseconds", "p50", "p95")
    for name, figure in figures.items():
        if "p50_ms" in figure:
            table.add_row(name, f"{figure['p50_ms']:.3f}", f"{figure['p95_ms']:.3f}")
    console = Console(stderr=True)
    console.print(table)
    read = figures["the trail"]
    console.print(
        f"{read['entries']:,} entries, {read['bytes'] / read['entries']:.0f} bytes each: listed in "
        f"{read['listed_ms']:.0f} ms, verified in {read['verified_ms']:.0f} ms"
    )
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(rows: int, calls: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    said = [Message(role=MessageRole.USER, content=one) for one in texts("ASCII", rows)]
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            memories: dict[str, VectorMemory] = {}
            for number, (name, settings) in enumerate(WAYS.items()):
                place = str(Path(folder) / f"store {number}")
                opening = open_memory(place, embedder="hash", **settings)
                memories[name] = memory = await stack.enter_async_context(opening)
                await memory.store_messages(said, "talk", user_id="ana")
                for _ in range(10):
                    await memory.recall("garden recipe", user_id="ana")
            taken: dict[str, list[float]] = {}
            ways = list(memories.items())
            for number in range(calls):
                # Who comes first has no other's background work beside it.
                ways.append(ways.pop(0))
                for name, memory in ways:
                    began = time.perf_counter()
                    await memory.recall("garden recipe", user_id="ana")
                    taken.setdefault(f"recall, {name}", []).append(time.perf_counter() - began)
                for name, memory in ways:
                    new = Message(role=MessageRole.USER, content=f"turn {number}")
                    began = time.perf_counter()
                    await memory.store_message(new, "other", user_id="ana")
                    taken.setdefault(f"store, {name}", []).append(time.perf_counter() - began)
            for name in sorted(taken):
                figures[name] = percentiles(taken[name])
            figures["the trail"] = await _read(memories["a trail"], Path(folder) / "store 1")
    return figures


async def _read(memory: VectorMemory, store: Path) -> dict[str, Any]:
    began = time.perf_counter()
    await memory.audit("ana")
    listed = time.perf_counter()
    report = await memory.verify_audit()
    assert report.ok, report
    return {
        "entries": sum(report.entries.values()),
        "bytes": sum(one.stat().st_size for one in (store / "audit").glob("*.jsonl")),
        "listed_ms": (listed - began) * 1e3,
        "verified_ms": (time.perf_counter() - listed) * 1e3,
    }


if __name__ == "__main__":
    sys.exit(main())
