"""What each step of a profile gains and costs: ``python -m benchmarks.retrieval.ablation``.

Every variant of a profile (a step switched off, or one that is off switched on) answers the same
questions from the same stores, one of each development corpus. A step belongs into the default only
if without it the mean is lower, and no corpus gains more than .005 of a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.corpora import Figures, add_sources, difference_table, stored
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
    Update(2, 30, 0.25, 0.65, 0.5),
    Diversity(0.1),
    Duplicates(0.98),
)


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0."""
    arguments = _arguments(argv)
    quiet_logs()
    report = {**describe(), "profile": arguments.profile, "embedder": arguments.embedder}
    report["variants"] = asyncio.run(_run(arguments))
    _screen.print(difference_table(report["variants"]))
    write_json(report, arguments.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.ablation")
    add_sources(parser)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument(
        "--variant",
        action="append",
        metavar="NAME",
        help="only these, any number of times (default: all)",
    )
    return parser.parse_args(argv)


async def _run(arguments: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    profile = load_profile(arguments.profile)
    chosen = {
        name: variant
        for name, variant in variants(profile)
        if not arguments.variant or name in (profile.name, *arguments.variant)
    }
    found: dict[str, dict[str, Figures]] = {}
    async with stored(
        arguments.sources,
        profile,
        resolve_embedder(arguments.embedder),
        questions=arguments.questions,
        say=_screen.print,
    ) as corpora:
        with Progress(console=_screen) as progress:
            task = progress.add_task("asking", total=len(chosen) * len(corpora))
            for name, variant in chosen.items():
                found[name] = {}
                for corpus in corpora:
                    found[name][corpus.name] = await corpus.figures(variant)
                    progress.advance(task)
    return found


if __name__ == "__main__":
    sys.exit(main())
