"""Are facts in the middle of long messages found? ``python -m benchmarks.retrieval.buried``.

50 facts, each within 200 or 400 words about something else, in a talk of 386 turns (`cases`), asked
with the profile as it is and without its step ``passages``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.buried.cases import buried, facts
from benchmarks.retrieval.datasets import Dataset
from benchmarks.retrieval.metrics import DEPTH
from benchmarks.retrieval.systems import Memory, moments, turn_id
from bruno_memory_vec import Profile, load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder

# Of a passage that shows a fact, the share of the fact's words that stand in it.
_SHOWN = 0.7


async def measure(profile: str, embedder: str, folder: Path) -> dict[str, Any]:
    """How well the facts are found, by variant of the profile and by the messages' length.

    Args:
        profile: a profile's name, or the path of a TOML file.
        embedder: an embedder's name.
        folder: an empty one, for the store.
    """
    data = buried()
    system = Memory(profile, resolve_embedder(embedder))
    await system.open(folder)
    try:
        await system.store(data.turns)
        # What one variant recalls must not move the next.
        whole = _without(load_profile(profile), "use")
        variants = {
            whole.name: whole,
            f"{whole.name} without passages": _without(whole, "passages"),
        }
        return {name: await _ask(system, data, one) for name, one in variants.items()}
    finally:
        await system.close()


def _without(profile: Profile, step: str) -> Profile:
    return replace(profile, rank=profile.rank.without(step))


async def _ask(system: Memory, data: Dataset, profile: Profile) -> dict[str, dict[str, float]]:
    now = max(moments(data.turns)) + timedelta(days=1)
    told = {fact.id: fact.text for fact in facts()}
    ranks: dict[str, list[float]] = {"all": []}
    shown: dict[str, list[bool]] = {"all": []}
    milliseconds: list[float] = []
    for question in data.questions:
        began = time.perf_counter()
        hits = await system.memory.recall(
            question.text, user_id=question.user_id, k=DEPTH, now=now, profile=profile
        )
        milliseconds.append(1000 * (time.perf_counter() - began))
        place = [turn_id(hit.record) for hit in hits].index
        try:
            at = place(question.gold[0])
        except ValueError:
            at = DEPTH
        for group in ("all", question.category):
            ranks.setdefault(group, []).append(at + 1)
            if at < 10:
                passage = hits[at].passage
                fact = told[question.gold[0]]
                has_it = passage is not None and _tells(passage.of(hits[at].content), fact)
                shown.setdefault(group, []).append(has_it)
    return {
        group: {
            "in the first 10": float(np.mean(np.array(found) <= 10)),
            "in the first 3": float(np.mean(np.array(found) <= 3)),
            "median rank": float(np.median(found)),
            "passage shown": float(np.mean(shown.get(group, [False]))),
            "p50 ms": round(float(np.median(milliseconds)), 2),
        }
        for group, found in ranks.items()
    }


def _tells(passage: str, fact: str) -> bool:
    words = fact.split()
    held = set(passage.split())
    return sum(word in held for word in words) >= _SHOWN * len(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.buried")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args(argv)
    quiet_logs()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(arguments.profile, arguments.embedder, Path(folder)))
    _show(found)
    write_json({**describe(), "embedder": arguments.embedder, "buried": found}, arguments.json)
    return 0


def _show(found: dict[str, Any]) -> None:
    table = Table(title="facts within long messages, by the messages' words")
    rows = [(name, group, values) for name, part in found.items() for group, values in part.items()]
    for column in ("variant", "words", *rows[0][2]):
        table.add_column(column)
    for name, group, values in rows:
        table.add_row(name, group, *(f"{value:g}" for value in values.values()))
    Console(stderr=True).print(table)


if __name__ == "__main__":
    sys.exit(main())
