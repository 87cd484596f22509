"""What the analytics cost: ``python -m benchmarks.analytics --rows 10000 100000``.

A folder's store of so many messages in conversations of 20 turns and of one user, the worst case
for repeats; texts are made of sentences of our own samples. Each method runs in a process of its
own, which opens the store read-only: seconds, and MiB that its peak is above what the open store
took.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.apart import Apart
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.datasets import SAMPLES, load
from benchmarks.scale.machine import peak_mib, resident_mib
from bruno_memory_vec import ALL_USERS, open_memory

METHODS = ("growth", "conversations", "usage", "duplicates", "topics")
_TURNS = 20
_AT_ONCE = 2_000
#: One text in so many is said again word for word, and one in so many with another number.
_SAME, _LIKE = 50, 50


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analytics", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--store", metavar="FOLDER", help="measure this store, and fill none")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    screen = Console(stderr=True)
    figures: dict[str, Any] = {}
    for rows in [] if arguments.store else arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            place = str(Path(folder) / "store")
            asyncio.run(_fill(place, rows, arguments.embedder))
            _measure(place, arguments, figures, screen)
    if arguments.store:
        _measure(arguments.store, arguments, figures, screen)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


def _measure(
    place: str, arguments: argparse.Namespace, figures: dict[str, Any], screen: Console
) -> None:
    """Measure every method on a store, and show the figures."""
    found = {method: _measured(place, method, arguments.embedder) for method in METHODS}
    rows = found["growth"]["rows"]
    figures[str(rows)] = found
    table = Table(f"{rows:,} rows", "seconds", "CPU", "MiB more", "found")
    for method, figure in found.items():
        more = f"{figure['more_mib']:.0f}"
        spent = f"{figure['cpu_seconds']:.2f}"
        table.add_row(method, f"{figure['seconds']:.2f}", spent, more, figure["found"])
    screen.print(table)


def said(rows: int) -> list[str]:
    """So many texts, some of which repeat others; the same at every call."""
    chosen = random.Random(7)
    sentences = sorted(
        {
            sentence.strip()
            for turn in load("jsonl", SAMPLES).turns
            for sentence in turn.content.replace("\n", " ").split(". ")
            if len(sentence.split()) > 3
        }
    )
    texts: list[str] = []
    for number in range(rows):
        if number > 10 and number % _SAME == 0:
            texts.append(chosen.choice(texts))
        elif number > 10 and number % _LIKE == 1:
            texts.append(f"{chosen.choice(texts)} {number}")
        else:
            texts.append(". ".join(chosen.sample(sentences, 2 + number % 3)))
    return texts


async def _fill(place: str, rows: int, embedder: str) -> None:
    begin = datetime(2024, 1, 1, 8, tzinfo=timezone.utc)
    step = timedelta(days=700) / rows
    texts = said(rows)
    async with open_memory(place, embedder=embedder) as memory:
        waiting: list[Any] = []
        for start in range(0, rows, _TURNS):
            messages = [
                Message(
                    role=MessageRole.ASSISTANT if turn % 2 else MessageRole.USER,
                    content=texts[start + turn],
                    timestamp=begin + (start + turn) * step,
                )
                for turn in range(min(_TURNS, rows - start))
            ]
            waiting.append(memory.store_messages(messages, f"talk {start}", user_id="ana"))
            if len(waiting) * _TURNS >= _AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        for text in texts[:200]:
            await memory.recall(text[:100], user_id="ana")
        await memory.maintain()


def _measured(place: str, method: str, embedder: str) -> dict[str, Any]:
    with Apart(_Reader, place, embedder) as reader:
        figure: dict[str, Any] = reader.call("measure", method)
    return figure


class _Reader:
    def __init__(self, place: str, embedder: str) -> None:
        self._place, self._embedder = place, embedder

    async def measure(self, method: str) -> dict[str, Any]:
        """Seconds and memory of one call."""
        async with open_memory(self._place, embedder=self._embedder, read_only=True) as memory:
            if method == "topics":
                # What importing scikit-learn takes is not the method's.
                import sklearn.cluster
                import sklearn.metrics  # noqa: F401
            before = resident_mib()
            began, busy = time.perf_counter(), time.process_time()
            result = await getattr(memory.analytics, method)(ALL_USERS)
            seconds = time.perf_counter() - began
            spent = time.process_time() - busy
            return {
                "seconds": round(seconds, 3),
                # Of all threads: what it would take at most on an idle core.
                "cpu_seconds": round(spent, 3),
                "more_mib": round(max(peak_mib() - before, 0.0), 1),
                "resident_mib_before": before,
                "found": str(result).split("\n", 1)[0],
                **({"rows": result.rows} if method == "growth" else {}),
                **({"compared": result.compared} if method == "duplicates" else {}),
            }


if __name__ == "__main__":
    sys.exit(main())
