"""What exact phrases and timelines cost: ``python -m benchmarks.finding``.

A store of one user for each kind of text: of ASCII, with accents, in Chinese. A third of a percent
of the rows hold the phrase. Median and 95th percentile, with the rows in memory and from LanceDB.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.metrics import percentiles
from bruno_memory_vec import VectorMemory, open_memory

_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()
_CHARACTERS = 200
_EVERY = 300
#: By kind of text: what is put into every row, and the phrase of some.
KINDS = {
    "ASCII": ("", "E_CONN: timeout"),
    "accents": (" caf\u00e9", "Stra\u00dfe 7: na\u00efve"),
    "Chinese": (None, "\u5317\u4eac\u5de5\u4f5c"),
}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finding", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=20, help="measured calls of each kind")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(_run(arguments.rows, arguments.calls))
    table = Table("milliseconds", "p50", "p95")
    for name, figure in figures.items():
        table.add_row(name, f"{figure['p50_ms']:.1f}", f"{figure['p95_ms']:.1f}")
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


def texts(kind: str, count: int) -> list[str]:
    """Texts of a kind, some of which hold its phrase."""
    chosen = random.Random(7)
    ending, phrase = KINDS[kind]
    found = []
    for row in range(count):
        if ending is None:
            text = "".join(chr(chosen.randint(0x4E00, 0x7FFF)) for _ in range(_CHARACTERS // 2))
        else:
            text = " ".join(chosen.choices(_WORDS, k=_CHARACTERS // 7)) + ending
        found.append(f"{text} {phrase}" if row % _EVERY == 0 else text)
    return found


async def _run(rows: int, calls: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind, (_, phrase) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            async with open_memory(str(Path(folder) / "store"), embedder="hash") as memory:
                await _fill(memory, texts(kind, rows))
                await memory.recall("hotel", user_id="ana")

                async def exact(memory: VectorMemory, query: str = "", text: str = phrase) -> None:
                    found = await memory.recall(query, user_id="ana", exact=text)
                    assert len(found) == min(10, -(-rows // _EVERY))

                first = await _timed(lambda: exact(memory), 1)
                figures[f"exact, {kind}, the first"] = first
                figures[f"exact, {kind}"] = await _timed(lambda: exact(memory), calls)
                asked = await _timed(lambda: exact(memory, "garden recipe"), calls)
                figures[f"exact and a question, {kind}"] = asked
                if kind == "ASCII":
                    page = await _timed(lambda: memory.timeline("ana", limit=20), calls)
                    figures["timeline, a page of 20"] = page
            cold = open_memory(str(Path(folder) / "store"), embedder="hash", recall_cache_mb=0)
            async with cold as memory:
                engine = await _timed(lambda: exact(memory), calls)
                figures[f"exact, {kind}, from LanceDB"] = engine
    return figures


async def _fill(memory: VectorMemory, said: Sequence[str]) -> None:
    for at in range(0, len(said), 1_000):
        messages = [Message(role=MessageRole.USER, content=one) for one in said[at : at + 1_000]]
        await memory.store_messages(messages, "talk", user_id="ana")


async def _timed(call: Callable[[], Awaitable[Any]], calls: int) -> dict[str, float]:
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return percentiles(took)


if __name__ == "__main__":
    sys.exit(main())
