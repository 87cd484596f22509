"""Every way over every data set, and how long the building takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.context import latency
from benchmarks.context.counting import COUNTS, Count
from benchmarks.context.evidence import BUDGETS, shares
from benchmarks.context.ways import DEPTHS, Built, LastTurns, TopK, Way
from benchmarks.retrieval import results
from benchmarks.retrieval.asking import Asked, asked
from benchmarks.retrieval.corpora import opened, sampled
from benchmarks.retrieval.datasets import KINDS, Dataset, load
from benchmarks.retrieval.systems import Memory
from bruno_memory_vec import load_profile
from bruno_memory_vec.embedders import Embedder
from bruno_memory_vec.rankers import Profile

Say = Callable[[str], None]


def read(name: str, path: Path, split: str, questions: int | None) -> Dataset:
    """A data set with the questions that its headline figure covers.

    Args:
        name: a kind of `benchmarks.retrieval.datasets`, or any name for files of the kind "jsonl".
        path: its file or folder.
        split: "dev", "test" or "all".
        questions: so many at most, evenly spread; None for all.

    Raises:
        InvalidInputError: it cannot be read.
    """
    data = load(name if name in KINDS else "jsonl", path, split)
    return sampled(data if name in KINDS else replace(data, name=name), questions)


def without_use(profile: str) -> Profile:
    """A profile that does not count what was recalled: one question would move the next."""
    found = load_profile(profile)
    return replace(found, rank=found.rank.without("use"))


async def evidence(
    data: Dataset,
    embedders: Sequence[Embedder],
    counts: Sequence[str],
    strategies: Sequence[str],
    profile: str,
    say: Say,
) -> dict[str, Any]:
    """The shares of one data set.

    Args:
        data: texts and questions with gold.
        embedders: the first one is ours and the peers', each further one the peers' alone.
        counts: names of `COUNTS`. The first is taken for everything, the others for
            ``build_context`` and plain top-k.
        strategies: of ``build_context``.
        profile: what ours ranks by.
        say: told what is measured.

    Returns:
        ``data``, ``rows`` (a way, an embedder and a count each) and ``found``, the share of the
        gold among the best hits.
    """
    ranked, nearest = without_use(profile), without_use("semantic")
    questions = list(asked(data))
    rows: list[dict[str, Any]] = []

    async def run(way: Way, count: Count, embedder: str | None) -> None:
        say(f"{data.name}: {way.name}, {embedder or 'no embedder'}, tokens by {count.name}")
        began = time.perf_counter()
        found = await shares(way, questions, BUDGETS, count)
        seconds = round(time.perf_counter() - began, 1)
        row = {"way": way.name, "embedder": embedder, "count": count.name, "seconds": seconds}
        rows.append({**row, "budgets": found.to_dict()})

    first, *more = embedders
    async with opened([data], ranked, first) as (system,):
        plain = TopK(system.memory, ranked, "plain top-k")
        for name in counts:
            for strategy in strategies:
                for within in _where(strategy, questions):
                    way = Built(system.memory, data, strategy, ranked, within=within)
                    await run(way, COUNTS[name], first.fingerprint.name)
            await run(plain, COUNTS[name], first.fingerprint.name)
        count = COUNTS[counts[0]]
        await run(TopK(system.memory, nearest, "vectors top-k"), count, first.fingerprint.name)
        await run(LastTurns(data), count, None)
    for embedder in more:
        async with opened([data], nearest, embedder) as (other,):
            peer = TopK(other.memory, nearest, "vectors top-k")
            await run(peer, count, embedder.fingerprint.name)
    means = np.mean(plain.found, axis=0)
    return {
        "data": _about(data, questions),
        "rows": rows,
        "found": {
            str(depth): round(float(mean), 4) for depth, mean in zip(DEPTHS, means, strict=True)
        },
    }


def _where(strategy: str, questions: Sequence[Asked]) -> tuple[bool, ...]:
    """Whether a strategy is asked in a new conversation, within the last talk, or both."""
    if strategy == "sliding_window":
        return (True,)
    amid = any(one.until is not None for one in questions)
    return (False, True) if strategy == "hybrid" and amid else (False,)


async def speed(
    data: Dataset, embedder: Embedder, strategies: Sequence[str], budget: int
) -> dict[str, Any]:
    """How long ``build_context`` takes, by strategy; everything as it comes.

    Args:
        data: its user with the most turns is stored alone.
        embedder: the embedder.
        strategies: of ``build_context``.
        budget: in tokens.
    """
    one = latency.one_user(data)
    with tempfile.TemporaryDirectory() as folder:
        system = Memory("balanced", embedder)
        await system.open(Path(folder))
        try:
            await system.store(one.turns)
            questions = list(asked(one))
            found = {
                strategy: await latency.times(system.memory, questions, strategy, budget)
                for strategy in strategies
            }
        finally:
            await system.close()
    return {"data": one.name, "turns": len(one.turns), "strategies": found}


def _about(data: Dataset, questions: Sequence[Asked]) -> dict[str, Any]:
    return {
        "name": data.name,
        "digest": results.digest(data),
        "turns": len(data.turns),
        "users": len({turn.user_id for turn in data.turns}),
        "questions": len(questions),
        "categories": sorted(data.headline),
        "about": dict(data.about),
    }
