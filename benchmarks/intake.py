"""What taking in an export takes: ``python -m benchmarks.intake [--mib 50] [--out FILE]``.

An export as ChatGPT's is made, and taken in three times: into a new store, again as it is, and
again after a fiftieth of its messages were edited and as many added. Each is a process of its own,
so its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from bruno_core.models.message import Message

from benchmarks.apart import Apart
from benchmarks.environment import describe, write_json
from benchmarks.scale.machine import peak_mib, resident_mib
from benchmarks.scale.words import make_words
from bruno_memory_vec import open_memory

_SEED = 18
_WORDS = 20_000
_BEGAN = 1_700_000_000
# Said before by somebody else, so that what any store reads once is not the ingest's.
_FIRST = "I moved to Lisbon last spring, and I like the tea house in Alfama very much"
# Seconds in which what learns about users in the background has read its model, too.
_MODELS_READ = 4


class Taking:
    """One ingest, in its own process."""

    def __init__(self, store: str, embedder: str) -> None:
        self._store = store
        self._embedder = embedder

    async def ingest(self, file: str) -> dict[str, Any]:
        """Take the export in, and say what that took."""
        async with open_memory(self._store, embedder=self._embedder) as memory:
            # A store in use: it has read its models.
            await memory.store_message(Message(role="user", content=_FIRST), "first", user_id="bo")
            await memory.recall(_FIRST, user_id="bo")
            await asyncio.sleep(_MODELS_READ)
            before = resident_mib()
            started = time.perf_counter()
            report = await memory.ingest(file, user_id="ana")
            seconds = time.perf_counter() - started
            peak = peak_mib()
        return {
            "messages": report.messages,
            "added": report.added,
            "edited": report.edited,
            "unchanged": report.unchanged,
            "seconds": round(seconds, 2),
            "messages_per_second": round(report.messages / seconds),
            "storing_seconds": round(report.storing_seconds, 2),
            "resident_mib_before": round(before),
            "peak_mib": round(peak),
            "peak_mib_closed": round(peak_mib()),
        }


def export(path: Path, size: int, changed: bool) -> None:
    """Write an export of about ``size`` bytes; the ``changed`` one has edits and additions."""
    chance = random.Random(_SEED)
    words = list(make_words(_SEED).types[:_WORDS])
    written = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        number = 0
        while written < size:
            text = json.dumps(_chat(number, chance, words, changed))
            file.write((",\n" if number else "") + text)
            written += len(text)
            number += 1
        file.write("]")


def _chat(number: int, chance: random.Random, words: list[str], changed: bool) -> dict[str, Any]:
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    before = "root"
    for at in range(chance.randint(4, 40)):
        # The same numbers are drawn for both, so that all else is the same.
        count = chance.randint(5, 120) if at % 2 else chance.randint(3, 40)
        said = " ".join(chance.choices(words, k=count))
        drawn = chance.random()
        what = drawn if changed else 1.0
        times = [at] if what > 0.04 or what < 0.02 else [at, at + 0.5]
        for place in times:
            key = str(UUID(int=number * 1_000_000 + int(place * 10)))
            text = f"{said} edited" if what < 0.02 or place != at else said
            mapping[key] = _node(key, before, text, _BEGAN + number * 3_600 + place * 30, at % 2)
            before = key
    return {
        "title": f"Chat {number}",
        "create_time": _BEGAN + number * 3_600,
        "mapping": mapping,
        "current_node": before,
        "conversation_id": str(UUID(int=number)),
    }


def _node(key: str, parent: str, text: str, moment: float, answer: int) -> dict[str, Any]:
    return {
        "id": key,
        "parent": parent,
        "message": {
            "id": key,
            "author": {"role": "assistant" if answer else "user"},
            "create_time": moment,
            "content": {"content_type": "text", "parts": [text]},
            "metadata": {"model_slug": "gpt-4o", "request_id": key[:18], "citations": []},
        },
    }


def measure(mib: int, embedder: str) -> dict[str, Any]:
    """The figures of the three ingests."""
    with tempfile.TemporaryDirectory() as folder:
        plain, changed = Path(folder, "conversations.json"), Path(folder, "changed.json")
        export(plain, mib * 2**20, changed=False)
        export(changed, mib * 2**20, changed=True)
        rounds = {}
        for name, file in (("first", plain), ("again", plain), ("changed", changed)):
            with Apart(Taking, str(Path(folder, "store")), embedder) as taking:
                rounds[name] = taking.call("ingest", str(file))
            show(name, rounds[name])
        size = plain.stat().st_size
    return {**describe(), "export_mib": round(size / 2**20, 1), "ingests": rounds}


def show(name: str, taken: dict[str, Any]) -> None:
    """Print the figures of one ingest."""
    grown = taken["peak_mib"] - taken["resident_mib_before"]
    print(
        f"{name:8} {taken['messages']:8,} messages, "
        f"{taken['messages_per_second']:7,} a second, "
        f"{taken['added']:,} added, {taken['edited']:,} edited, "
        f"peak {taken['peak_mib']} MiB, {grown} more than before, "
        f"{taken['peak_mib_closed']} with closing",
        flush=True,
    )


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=50, help="the size of the export")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--out", help="a file for the figures as JSON; - for standard output")
    arguments = parser.parse_args()
    report = measure(arguments.mib, arguments.embedder)
    write_json(report, arguments.out)


if __name__ == "__main__":
    main()
