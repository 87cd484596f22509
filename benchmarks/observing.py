"""What metrics, spans and lines cost: ``python -m benchmarks.observing``.

A folder's store of one user: a recall of rows in memory, a message stored, a context. Each with
nothing observed, with metrics, with spans (OpenTelemetry's SDK, which throws them away), with a
line an operation (to a handler that does the same), and with all three. The ways take turns, so
that what else the machine does falls on all of them.

``--before FOLDER`` compares another checkout, nothing observed, with this one: each round is a
process of either, by turns. Behind the time on the clock is the processor time of the event loop's
thread, which other processes do not disturb.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.timing import percentiles
from bruno_memory_vec import VectorMemory, open_memory

#: How long a call took, and how much processor time of the event loop's thread, in seconds. What
#: observes works there, and other processes do not disturb it.
Taken = tuple[float, float]

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
            way: {call: _figures(taken) for call, taken in calls.items()}
            for way, calls in found.items()
        }
    title = "p50 in ms (p95); p50 of the event loop's thread"
    table = Table("", *next(iter(figures.values())), title=title)
    for way, calls in figures.items():
        table.add_row(way, *(_shown(figure) for figure in calls.values()))
    Console(stderr=True).print(table)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


def _figures(taken: Sequence[Taken]) -> dict[str, Any]:
    loop = percentiles([used for _, used in taken])
    return {
        **percentiles([seconds for seconds, _ in taken]),
        "loop_p50_ms": loop["p50_ms"],
    }


def _shown(figure: dict[str, Any]) -> str:
    return f"{figure['p50_ms']:.3f} ({figure['p95_ms']:.3f}); {figure['loop_p50_ms']:.3f}"


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
) -> dict[str, dict[str, list[Taken]]]:
    """By way and call, how long each took, in seconds."""
    random.seed(7)
    said = [_message() for _ in range(rows)]
    taken: dict[str, dict[str, list[Taken]]] = {}
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


async def _time(taken: list[Taken], call: Any) -> None:
    used, began = time.thread_time(), time.perf_counter()
    await call
    taken.append((time.perf_counter() - began, time.thread_time() - used))


def _compared(arguments: argparse.Namespace) -> dict[str, Any]:
    """The other checkout and this one, with nothing observed, in processes that take turns."""
    here = Path(__file__).resolve().parents[1]
    folders = {"before": Path(arguments.before).resolve(), "now": here}
    taken: dict[str, dict[str, list[Taken]]] = {way: {} for way in folders}
    for number in range(arguments.rounds):
        for way in list(folders)[:: 1 if number % 2 else -1]:
            command = [sys.executable, __file__, "--one", "--calls", str(arguments.calls)]
            ran = subprocess.run(
                [*command, "--rows", str(arguments.rows)],
                env={**os.environ, "PYTHONPATH": str(folders[way])},
                cwd=folders[way],
                capture_output=True,
                check=True,
                text=True,
            )
            for call, found in json.loads(ran.stdout).items():
                taken[way].setdefault(call, []).extend(map(tuple, found))
    return {
        way: {call: _figures(one) for call, one in calls.items()} for way, calls in taken.items()
    }


def _message() -> Message:
    return Message(role=MessageRole.USER, content=_sentence())


def _sentence() -> str:
    return " ".join(random.choices(_WORDS, k=12))


if __name__ == "__main__":
    sys.exit(main())
