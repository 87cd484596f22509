"""How long the inspector's pages take: ``python -m benchmarks.inspector``.

A folder's store of many users, of whom one has half of all rows. Each page is asked for as a
browser does, without the network: once when nothing is in memory yet, then some times more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.finding import texts
from benchmarks.timing import percentiles
from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.surfaces.inspector import routes_of

_TURNS = 50
_BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
_LARGE = "large"
_ASKED = "garden recipe"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspector", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=50, help="beside the one with half of all")
    parser.add_argument("--calls", type=int, default=20, help="measured calls of each page")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(_run(arguments.rows, arguments.users, arguments.calls))
    table = Table("page", "first, ms", "p50, ms", "p95, ms", "KB")
    for name, one in figures.items():
        kilobytes = f"{one['bytes'] / 1024:.0f}"
        table.add_row(
            name, *(f"{one[key]:.0f}" for key in ("first_ms", "p50_ms", "p95_ms")), kilobytes
        )
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(rows: int, users: int, calls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        async with open_memory(store) as memory:
            await _fill(memory, rows, users)
            await memory.maintain()
        async with open_memory(store) as memory:
            return await _asked(memory, rows, calls)


async def _fill(memory: VectorMemory, rows: int, users: int) -> None:
    for user, count in [
        (_LARGE, rows // 2),
        *((f"user {n}", rows // 2 // users) for n in range(users)),
    ]:
        said = _messages(user, count)
        talks = [said[first : first + _TURNS] for first in range(0, count, _TURNS)]
        for first in range(0, len(talks), 40):
            await asyncio.gather(
                *(
                    memory.store_messages(talk, f"{user} {first + n}", user_id=user)
                    for n, talk in enumerate(talks[first : first + 40])
                )
            )
    entries = [
        MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id=_LARGE)
        for text in texts("ASCII", 1_000)
    ]
    await memory.store_memories(entries)


def _messages(user: str, count: int) -> list[Message]:
    roles = (MessageRole.USER, MessageRole.ASSISTANT)
    return [
        Message(role=roles[n % 2], content=text, timestamp=_BEGIN + timedelta(minutes=10 * n))
        for n, text in enumerate(texts("ASCII", count))
    ]


async def _asked(memory: VectorMemory, rows: int, calls: int) -> dict[str, Any]:
    transport = httpx.ASGITransport(app=Starlette(routes=routes_of(memory)))
    figures: dict[str, Any] = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
        for name, page in _pages(rows):
            taken = []
            for _ in range(calls + 1):
                began = time.perf_counter()
                answer = await browser.get(f"/inspector{page}")
                taken.append(time.perf_counter() - began)
                answer.raise_for_status()
            figures[name] = {
                "first_ms": taken[0] * 1e3,
                **percentiles(taken[1:]),
                "bytes": len(answer.content),
            }
    return figures


def _pages(rows: int) -> Iterator[tuple[str, str]]:
    def of(path: str, **query: object) -> str:
        return f"{path}?{urlencode({'user': _LARGE, **query})}"

    yield "users", "/users"
    yield "overview", of("/")
    yield "ask", of("/ask", q=_ASKED)
    yield "compare, three profiles", of("/compare", q=_ASKED)
    yield "prompt", of("/context", q=_ASKED)
    yield "conversations", of("/conversations")
    yield "conversations, searched", of("/conversations", q=_ASKED)
    yield "conversation, 50 turns", of("/conversation", id=f"{_LARGE} 3")
    yield "memories", of("/memories")
    yield "facts", of("/facts")
    yield "insight", of("/insight")
    yield "health", "/health"


if __name__ == "__main__":
    sys.exit(main())
