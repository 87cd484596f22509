"""What metrics, spans and lines cost: ``python -m benchmarks.observing``.

A folder's store of one user: a recall of rows in memory, a message stored, a context. Each with
nothing observed, with metrics, with spans (OpenTelemetry's SDK, which throws them away), with a
line an operation (to a handler that does the same), and with all three. The ways take turns, so
that what else the machine does falls on all of them.

``--before FOLDER`` compares another checkout, nothing observed, with this one: each round is a
process of either, by turns. On a machine that does other things, too, the least median of a round
tells more than the median of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import subprocess
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
from benchmarks.timing import percentiles
from bruno_memory_vec import VectorMemory, open_memory

_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=300, help="measured calls of each kind")
    parser.add_argument("--before", metavar="FOLDER", help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=6, help="processes of each checkout")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    if arguments.one:
        taken = asyncio.run(_run({"nothing": {}}, arguments.rows, arguments.calls))
        print(json.dumps(taken["nothing"]))
        return 0
    if arguments.before:
        figures = _compared(arguments)
    else:
        found = asyncio.run(_run(_ways(), arguments.rows, arguments.calls))
        figures = {
            way: {call: percentiles(seconds) for call, seconds in calls.items()}
            for way, calls in found.items()
        }
    table = Table("p50 in ms (p95)", *next(iter(figures.values())))
    for way, calls in figures.items():
        table.add_row(way, *(_shown(figure) for figure in calls.values()))
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


def _shown(figure: dict[str, Any]) -> str:
    least = figure.get("least_median_ms")
    best = "" if least is None else f", least median of a round {least:.3f}"
    return f"{figure['p50_ms']:.3f} ({figure['p95_ms']:.3f}){best}"


def _ways() -> dict[str, dict[str, Any]]:
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    lines = logging.getLogger("bruno_memory_vec.operations")
    lines.setLevel(logging.INFO)
    lines.propagate = False
    lines.addHandler(logging.NullHandler())
    traced, lined = {"tracing": TracerProvider()}, {"operation_log": "json"}
    measured: dict[str, Any] = {"metrics": CollectorRegistry()}
    return {
        "nothing": {},
        "metrics": measured,
        "spans": traced,
        "lines": lined,
        "all three": {**measured, **traced, **lined},
    }


async def _run(
    ways: dict[str, dict[str, Any]], rows: int, calls: int
) -> dict[str, dict[str, list[float]]]:
    """By way and call, how long each took, in seconds."""
    random.seed(7)
    said = [_message() for _ in range(rows)]
    taken: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            memories: dict[str, VectorMemory] = {}
            for number, (way, settings) in enumerate(ways.items()):
                opening = open_memory(str(Path(folder) / f"store {number}"), **settings)
                memories[way] = memory = await stack.enter_async_context(opening)
                await memory.store_messages(said, "talk", user_id="ana")
                for _ in range(10):
                    await memory.recall(_sentence(), user_id="ana")
                taken[way] = {"recall": [], "store_message": [], "get_context": []}
            every = list(memories.items())
            for number in range(calls):
                for offset in range(len(every)):
                    way, memory = every[(number + offset) % len(every)]
                    await _time(taken[way]["recall"], memory.recall(_sentence(), user_id="ana"))
            for number in range(calls):
                for offset in range(len(every)):
                    way, memory = every[(number + offset) % len(every)]
                    stored = memory.store_message(_message(), "more", user_id="ana")
                    await _time(taken[way]["store_message"], stored)
                    context = memory.get_context("ana", "more")
                    await _time(taken[way]["get_context"], context)
    return taken


async def _time(seconds: list[float], call: Any) -> None:
    began = time.perf_counter()
    await call
    seconds.append(time.perf_counter() - began)


def _compared(arguments: argparse.Namespace) -> dict[str, Any]:
    """The other checkout and this one, with nothing observed, in processes that take turns."""
    here = Path(__file__).resolve().parents[1]
    folders = {"before": Path(arguments.before).resolve(), "now": here}
    taken: dict[str, dict[str, list[float]]] = {way: {} for way in folders}
    medians: dict[str, dict[str, list[float]]] = {way: {} for way in folders}
    for number in range(arguments.rounds):
        for way in list(folders)[:: 1 if number % 2 else -1]:
            command = [sys.executable, __file__, "--one", "--calls", str(arguments.calls)]
            given = {**os.environ, "PYTHONPATH": str(folders[way])}
            ran = subprocess.run(
                [*command, "--rows", str(arguments.rows)],
                env=given,
                cwd=folders[way],
                capture_output=True,
                check=True,
                text=True,
            )
            for call, seconds in json.loads(ran.stdout).items():
                taken[way].setdefault(call, []).extend(seconds)
                medians[way].setdefault(call, []).append(statistics.median(seconds))
    return {
        way: {
            call: {
                **percentiles(seconds),
                "least_median_ms": round(min(medians[way][call]) * 1000, 3),
            }
            for call, seconds in calls.items()
        }
        for way, calls in taken.items()
    }


def _message() -> Message:
    return Message(role=MessageRole.USER, content=_sentence())


def _sentence() -> str:
    return " ".join(random.choices(_WORDS, k=12))


if __name__ == "__main__":
    sys.exit(main())
