"""What encryption at rest costs, and whether it finds the same.

``python -m benchmarks.encryption --json -``

Two stores are filled with the same rows through the public API, a plain one and one with a key.
Then each is asked the same questions: the hits are compared one by one, and the times of first and
of further recalls, of writes and of opening, in turns, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks import keyed_index
from benchmarks.environment import describe, quiet_logs, write_json
from bruno_memory_vec import VectorMemory, open_memory

_screen = Console(stderr=True)
_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour "
    "morning winter blue small quiet broken early happy green open never always maybe together"
).split()
_NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
FORMS = ("plain", "encrypted")
# The words of so many rows are made in the background; until then another index answers.
_WORDS_MADE_S = 3.0


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encryption", description=__doc__)
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--messages", type=int, default=1000, help="of each user")
    parser.add_argument("--questions", type=int, default=100, help="of warm recalls, of each form")
    parser.add_argument("--rounds", type=int, default=5, help="of openings and first recalls")
    parser.add_argument("--writes", type=int, default=100, help="single messages, of each form")
    parser.add_argument("--embedder", default="static")
    parser.add_argument(
        "--keyed", action="store_true", help="what a keyed index saves (benchmarks/keyed_index.py)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    if arguments.keyed:
        figures = asyncio.run(keyed_index.figures_of(arguments, _sentence))
        keyed_index.show(figures)
    else:
        figures = asyncio.run(_run(arguments))
        _show(figures)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


async def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    key = os.urandom(32)
    with tempfile.TemporaryDirectory() as above:
        folders = {form: Path(above) / form for form in FORMS}
        keys: dict[str, dict[str, Any]] = {"plain": {}, "encrypted": {"key": key}}

        async def opened(form: str, **settings: Any) -> VectorMemory:
            return await open_memory(
                folders[form], embedder=arguments.embedder, **keys[form], **settings
            )

        for form in FORMS:
            memory = await opened(form)
            await _fill(memory, arguments)
            await memory.maintain()
            await memory.close()
        figures: dict[str, Any] = {
            "bytes": {form: _size(folder) for form, folder in folders.items()},
            "identical": await _compare(opened, arguments),
            "open_ms": {form: [] for form in FORMS},
            "first_recall_ms": {form: [] for form in FORMS},
            "first_recall_without_user_files_ms": {form: [] for form in FORMS},
        }
        # The first opening has no files of users, and its closing writes that of who asked.
        for form in FORMS:
            await _first(opened, form, None)
        for _ in range(arguments.rounds):
            for form in FORMS:
                await _first(opened, form, figures)
        for _ in range(arguments.rounds):
            for form in FORMS:
                await _first(opened, form, figures, user_files=False)
        figures["warm_recall_ms"] = await _warm(opened, arguments)
        figures["write_ms"] = await _writes(opened, arguments)
    for name, told in list(figures.items()):
        if isinstance(told, dict) and isinstance(told.get("plain"), list):
            figures[name] = {form: round(statistics.median(told[form]), 3) for form in FORMS}
            figures[name]["times"] = round(figures[name]["encrypted"] / figures[name]["plain"], 3)
    return figures


async def _fill(memory: VectorMemory, arguments: argparse.Namespace) -> None:
    random.seed(7)
    for user in range(arguments.users):
        said = [
            Message(
                id=UUID(int=user * 10**6 + number),
                role=MessageRole.USER if number % 2 else MessageRole.ASSISTANT,
                content=_sentence(),
                timestamp=_NOW + timedelta(minutes=number),
            )
            for number in range(arguments.messages)
        ]
        for start in range(0, len(said), 50):
            await memory.store_messages(
                said[start : start + 50], f"talk-{user}-{start}", user_id=f"user-{user}"
            )


async def _compare(opened: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask both the same questions, of users whose rows are held: which hits and scores differ."""
    random.seed(11)
    asked = [
        (f"user-{number % arguments.users}", _sentence()) for number in range(arguments.questions)
    ]
    found: dict[str, list[list[tuple[str, float]]]] = {}
    for form in FORMS:
        memory = await opened(form, user_files=False)
        for user in range(arguments.users):
            # One hit, as the first answer, by another index, may count the use of another row.
            await memory.recall("hotel", user_id=f"user-{user}", now=_NOW, k=1)
        await asyncio.sleep(_WORDS_MADE_S)
        found[form] = [
            [
                (hit.content, round(hit.score, 4))
                for hit in await memory.recall(question, user_id=user, now=_NOW, k=10)
            ]
            for user, question in asked
        ]
        await memory.close()
    pairs = list(zip(found["plain"], found["encrypted"], strict=True))
    texts = [([text for text, _ in one], [text for text, _ in other]) for one, other in pairs]
    return {
        "questions": len(pairs),
        "same_hits_in_order": sum(one == other for one, other in texts),
        "same_hits": sum(set(one) == set(other) for one, other in texts),
        "same_scores": sum(one == other for one, other in pairs),
    }


async def _first(opened: Any, form: str, figures: dict[str, Any] | None, **settings: Any) -> None:
    began = time.perf_counter()
    memory = await opened(form, **settings)
    took = (time.perf_counter() - began) * 1000
    began = time.perf_counter()
    await memory.recall(_sentence(), user_id="user-0", now=_NOW)
    first = (time.perf_counter() - began) * 1000
    await memory.close()
    if figures is None:
        return
    if settings:
        figures["first_recall_without_user_files_ms"][form].append(first)
    else:
        figures["open_ms"][form].append(took)
        figures["first_recall_ms"][form].append(first)


async def _warm(opened: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    memories = {form: await opened(form) for form in FORMS}
    taken: dict[str, Any] = {form: [] for form in FORMS}
    for memory in memories.values():
        for _ in range(5):
            await memory.recall(_sentence(), user_id="user-0", now=_NOW)
        await asyncio.sleep(0.5)
    for _ in range(arguments.questions):
        question = _sentence()
        for form, memory in memories.items():
            began = time.perf_counter()
            await memory.recall(question, user_id="user-0", now=_NOW)
            taken[form].append((time.perf_counter() - began) * 1000)
    for memory in memories.values():
        await memory.close()
    return taken


async def _writes(opened: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    memories = {form: await opened(form) for form in FORMS}
    taken: dict[str, Any] = {form: [] for form in FORMS}
    for number in range(arguments.writes):
        content = _sentence()
        for form, memory in memories.items():
            message = Message(role=MessageRole.USER, content=content, timestamp=_NOW)
            began = time.perf_counter()
            await memory.store_message(message, f"more-{number % 5}", user_id="user-0")
            taken[form].append((time.perf_counter() - began) * 1000)
    for memory in memories.values():
        await memory.close()
    return taken


def _sentence() -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(8, 30)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _show(figures: dict[str, Any]) -> None:
    table = Table("", *FORMS, "times")
    for name, told in figures.items():
        if "plain" in told:
            times = told.get("times", round(told["encrypted"] / told["plain"], 3))
            table.add_row(name, *(f"{told[form]:,}" for form in FORMS), f"{times}")
    _screen.print(table)
    _screen.print(figures["identical"])


if __name__ == "__main__":
    sys.exit(main())
