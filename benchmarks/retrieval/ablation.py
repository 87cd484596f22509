"""What each step of a profile gains and costs: ``python -m benchmarks.retrieval.ablation``.

Every variant of a profile (a step switched off, or one that is off switched on) answers the same
questions from the same store, on dev splits only: settings are chosen by this table, so the test
splits must not be looked at with it. The step `use` is off in all of them: what one variant has
recalled would move the next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.datasets import SAMPLES, Dataset, load
from benchmarks.retrieval.metrics import DEPTH, figures, ranks_of
from benchmarks.retrieval.systems import Memory, moments, turn_id
from bruno_memory_vec import Profile, load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.rankers import (
    STEPS,
    Coverage,
    Diversity,
    Duplicates,
    Feedback,
    FusionMethod,
    Learned,
    Step,
    Update,
)

_screen = Console(stderr=True)
_OTHER_FUSIONS: tuple[FusionMethod, ...] = ("rrf", "dbsf", "zscore")
# Steps that no shipped profile, or not the default one, has on.
_ADDED: tuple[Step, ...] = (
    Coverage(1.0),
    Feedback(0.3),
    Update(0.2, 0.4, 0.7),
    Diversity(0.1),
    Duplicates(0.98),
)
_SHOWN = ("recall@5", "recall@10", "ndcg@10")


def variants(profile: Profile) -> Iterator[tuple[str, Profile]]:
    """The profile, then each variant of it, by a name that says what is different."""
    yield profile.name, profile
    for step in STEPS:
        if profile.rank.get(step) is not None:
            yield f"without {step}", _without(profile, step)
    query, candidates = profile.query, profile.candidates
    yield "without phrases", replace(profile, query=replace(query, phrase_weight=0.0))
    yield "question words kept", replace(profile, query=replace(query, drop_stopwords=False))
    yield "no neighbours fetched", replace(profile, candidates=replace(candidates, neighbours_of=0))
    for size in (50, 200):
        wider = replace(candidates, lexical=size, semantic=size)
        yield f"{size} candidates a side", replace(profile, candidates=wider)
    for method in _OTHER_FUSIONS:
        fusion = replace(profile.rank.fusion, method=method)
        yield f"fusion {method}", replace(profile, rank=replace(profile.rank, fusion=fusion))
    for added in _ADDED:
        if profile.rank.get(added.name) is None:
            yield f"with {added.name}", replace(profile, rank=profile.rank.with_steps(added))


def _without(profile: Profile, step: str) -> Profile:
    rank = profile.rank
    learned = rank.get(Learned)
    if learned is not None and step != learned.name:
        # The learned ranker has no factor for what is switched off.
        factors = {signal: factor for signal, factor in learned.factors.items() if signal != step}
        rank = rank.with_steps(replace(learned, factors=factors))
    return replace(profile, rank=rank.without(step))


def main() -> int:
    """Run the command; the exit status is 0."""
    arguments = _arguments()
    quiet_logs()
    report = {**describe(), "profile": arguments.profile, "embedder": arguments.embedder}
    report["data"] = asyncio.run(_run(arguments))
    _show(report)
    write_json(report, arguments.json)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.ablation")
    parser.add_argument(
        "--data",
        action="append",
        metavar="KIND=PATH",
        help="any number of times (default: our own samples, and LoCoMo in BRUNO_EVAL_DATA)",
    )
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    if arguments.data is None:
        arguments.data = [f"jsonl={SAMPLES}"]
        if folder := os.environ.get("BRUNO_EVAL_DATA"):
            arguments.data.insert(0, f"locomo={Path(folder) / 'locomo'}")
    return arguments


async def _run(arguments: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    found = {}
    profiles = dict(variants(_without(load_profile(arguments.profile), "use")))
    with Progress(console=_screen) as progress:
        for source in arguments.data:
            kind, _, path = source.partition("=")
            data = load(kind, path, "dev")
            task = progress.add_task(data.name, total=len(profiles))
            with tempfile.TemporaryDirectory() as folder:
                system = Memory(arguments.profile, resolve_embedder(arguments.embedder))
                await system.open(Path(folder))
                await system.store(data.turns)
                found[data.name] = {}
                for name, profile in profiles.items():
                    found[data.name][name] = await _ask(system, data, profile)
                    progress.advance(task)
                await system.close()
    return found


async def _ask(system: Memory, data: Dataset, profile: Profile) -> dict[str, float]:
    last = dict(zip((turn.user_id for turn in data.turns), moments(data.turns), strict=True))
    ranks, seconds = [], []
    for question in data.questions:
        if question.category not in data.headline or not question.gold:
            continue
        now = question.asked_at or last[question.user_id] + timedelta(days=1)
        started = time.perf_counter()
        hits = await system.memory.recall(
            question.text, user_id=question.user_id, k=DEPTH, now=now, profile=profile
        )
        seconds.append(time.perf_counter() - started)
        ranks.append(ranks_of([turn_id(hit.record) for hit in hits], question.gold))
    means = {name: float(np.mean(values)) for name, values in figures(ranks).items()}
    return {
        **{name: round(means[name], 4) for name in _SHOWN},
        "p50_ms": round(float(np.median(seconds)) * 1000, 2),
    }


def _show(report: dict[str, Any]) -> None:
    for data, rows in report["data"].items():
        table = Table(title=f"{data} (dev), {report['embedder']}: difference to the first line")
        table.add_column("variant", no_wrap=True)
        base = next(iter(rows.values()))
        for name in base:
            table.add_column(name, justify="right")
        for number, (variant, values) in enumerate(rows.items()):
            cells = [
                f"{value:.3f}" if number == 0 else f"{value - base[name]:+.3f}"
                for name, value in values.items()
            ]
            table.add_row(variant, *cells)
        _screen.print(table)


if __name__ == "__main__":
    sys.exit(main())
