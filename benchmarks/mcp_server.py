"""What the MCP server costs: ``python -m benchmarks.mcp_server``.

From the start of the process to its first word and to the first answer of a tool, and a call of
``recall``, through each transport and without one. The store has one user's messages; the client is
that of the package ``mcp``. Medians, as the first start reads files from the disk. Processor time
is less disturbed by what else runs on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from mcp import Client, StdioServerParameters
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.metrics import percentiles
from bruno_memory_vec import open_memory

_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()
_USER = "ana"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp_server", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--starts", type=int, default=5, help="processes that are started")
    parser.add_argument("--calls", type=int, default=100, help="measured calls of each kind")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    figures = asyncio.run(_run(arguments.rows, arguments.starts, arguments.calls))
    table = Table("milliseconds", "p50", "p95")
    for name, figure in figures.items():
        table.add_row(name, f"{figure['p50_ms']:.1f}", f"{figure['p95_ms']:.1f}")
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(rows: int, starts: int, calls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        chosen = random.Random(7)
        said = [
            Message(role=MessageRole.USER, content=" ".join(chosen.choices(_WORDS, k=20)))
            for _ in range(rows)
        ]
        async with open_memory(store) as memory:
            await memory.store_messages(said, "talk", user_id=_USER)
        words, answers, used = [], [], []
        for _ in range(starts):
            before = _children_used()
            first, answered = await _start(store)
            words.append(first)
            answers.append(answered)
            used.append(_children_used() - before)
        figures = {
            "start to first word, stdio": percentiles(words),
            "start to first answer, stdio": percentiles(answers),
            "processor time of that process": percentiles(used),
        }
        questions = [" ".join(chosen.choices(_WORDS, k=4)) for _ in range(calls)]
        async with open_memory(store) as memory:
            ana = memory.for_user(_USER)
            await ana.recall(questions[0], k=5)
            took = []
            for one in questions:
                began = time.perf_counter()
                await ana.recall(one, k=5)
                took.append(time.perf_counter() - began)
            figures["recall, the library"] = percentiles(took)
        async with Client(_server(store)) as client:
            figures["recall, stdio"] = percentiles(await _calls(client, questions))
        async with _over_http(store) as url, Client(url) as client:
            figures["recall, HTTP"] = percentiles(await _calls(client, questions))
        return {name: _milliseconds(figure) for name, figure in figures.items()}


def _milliseconds(figure: Any) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in dict(figure).items()}


def _children_used() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _start(store: str) -> tuple[float, float]:
    """Seconds from the start of a process to its first word, and to the first answer of a tool."""
    began = time.perf_counter()
    async with Client(_server(store)) as client:
        first = time.perf_counter() - began
        done = await client.call_tool("recall", {"query": "hotel garden"})
        assert not done.is_error
        return first, time.perf_counter() - began


async def _calls(client: Client, questions: Sequence[str]) -> list[float]:
    await client.call_tool("recall", {"query": questions[0]})
    took = []
    for one in questions:
        began = time.perf_counter()
        done = await client.call_tool("recall", {"query": one})
        took.append(time.perf_counter() - began)
        assert not done.is_error
    return took


def _arguments(store: str) -> list[str]:
    return ["-m", "bruno_memory_vec", "mcp", "--store", store, "--user", _USER]


def _server(store: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable, args=_arguments(store), env=dict(os.environ)
    )


@contextlib.asynccontextmanager
async def _over_http(store: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_arguments(store), "--http", "--port", "0", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = b""
        while not lines.endswith(b"}\n"):
            lines += await process.stdout.readline()
        yield str(json.loads(lines)["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


if __name__ == "__main__":
    sys.exit(main())
