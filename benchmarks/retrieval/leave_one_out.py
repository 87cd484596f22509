"""Settings that hold on a corpus nobody tuned on: ``python -m benchmarks.retrieval.leave_one_out``.

For each development corpus in turn, settings are chosen on all the others and reported on that one.
Choosing is a walk through the choices below: of each, the value with the best mean over the corpora
(of recall@10 and nDCG@10) is kept, the values before it staying as they are. What the left-out
figures lose against figures that were chosen on all corpora is what choosing on a corpus flatters
it by.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.corpora import (
    CHOSEN_BY,
    EVAL_DATA,
    Corpus,
    Figures,
    add_sources,
    development_corpora,
    difference_table,
    stored,
)
from bruno_memory_vec import Profile, load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.errors import InvalidInputError

_screen = Console(stderr=True)
# A smaller gain of the mean is noise, and the value that is there stays.
_GAIN = 0.0005

Change = Callable[[Profile], Profile]


def choices(profile: Profile) -> Iterator[tuple[str, dict[str, Change]]]:
    """What is chosen, in this order: its name, and the profile's change for each other value."""
    for path, values in _VALUES:
        found = {str(value): change for value, change in _changes(profile, path, values)}
        if found:
            yield path, found


# Round numbers on both sides of what is shipped. 0 switches a step off.
_VALUES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("statement.weight", (0, 0.3)),
    ("length.weight", (0, 0.3, 0.6)),
    ("answers.weight", (0, 0.3, 0.6)),
    ("speaker.weight", (0.2, 0.4, 0.6)),
    ("fusion.semantic_weight", (0.2, 0.3, 0.4)),
    ("neighbours.weight", (0.15, 0.25, 0.4)),
    ("conversation.weight", (0.2, 0.4, 0.6)),
    ("day.weight", (0, 0.15, 0.3, 0.4)),
    ("opening.weight", (0, 0.1, 0.2, 0.3)),
    ("time_named.weight", (0.4, 0.8, 1.2)),
    ("time_named.after_days", (1, 3, 7)),
    ("time_mention.weight", (0, 0.3)),
    ("query.phrase_weight", (0, 0.3, 0.5)),
)


def _changes(
    profile: Profile, path: str, values: Sequence[float]
) -> Iterator[tuple[float, Change]]:
    table, _, key = path.partition(".")
    for value in values:
        if table == "query":
            yield value, lambda one, v=value: replace(one, query=replace(one.query, **{key: v}))
        elif table == "fusion":
            yield value, lambda one, v=value: _fused(one, key, v)
        elif profile.rank.get(table) is not None:
            yield value, lambda one, v=value: _stepped(profile, one, table, key, v)


def _fused(profile: Profile, key: str, value: float) -> Profile:
    fusion: Any = replace(profile.rank.fusion, **{key: value})
    return replace(profile, rank=replace(profile.rank, fusion=fusion))


def _stepped(shipped: Profile, profile: Profile, step: str, key: str, value: float) -> Profile:
    """The profile with a step's value; the step's other values are those of the shipped one."""
    if value == 0:
        return replace(profile, rank=profile.rank.without(step))
    before: Any = profile.rank.get(step) or shipped.rank.get(step)
    return replace(profile, rank=profile.rank.with_steps(replace(before, **{key: value})))


async def choose(start: Profile, corpora: Sequence[Corpus]) -> tuple[Profile, dict[str, str]]:
    """The best settings on some corpora, and which values differ from ``start``'s."""
    best, score = start, await _score(start, corpora)
    kept: dict[str, str] = {}
    for name, changes in choices(start):
        before = best
        for value, change in changes.items():
            tried = change(before)
            reached = await _score(tried, corpora)
            if reached > score + _GAIN:
                best, score, kept[name] = tried, reached, value
    return best, kept


async def _score(profile: Profile, corpora: Sequence[Corpus]) -> float:
    found = [await corpus.figures(profile) for corpus in corpora]
    return sum(one[figure] for one in found for figure in CHOSEN_BY) / len(CHOSEN_BY) / len(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.leave_one_out")
    add_sources(parser)
    parser.add_argument("--profile", default="balanced", help="where the walk begins")
    arguments = parser.parse_args(argv)
    quiet_logs()
    report = {**describe(), "profile": arguments.profile, "embedder": arguments.embedder}
    report |= asyncio.run(_run(arguments))
    _screen.print(difference_table(report["figures"]))
    _screen.print(_chosen(report["chosen"]))
    write_json(report, arguments.json)
    return 0


async def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    start = load_profile(arguments.profile)
    sources = arguments.sources or development_corpora()
    if len(sources) < 2:
        fix = f"Name two or more with --data, or a folder of corpora in {EVAL_DATA}."
        raise InvalidInputError("data", "is one corpus", fix=fix)
    async with stored(
        sources,
        start,
        resolve_embedder(arguments.embedder),
        questions=arguments.questions,
        say=_screen.print,
    ) as corpora:
        shipped = {corpus.name: await corpus.figures(start) for corpus in corpora}
        left_out: dict[str, Figures] = {}
        chosen: dict[str, dict[str, str]] = {}
        for corpus in corpora:
            others = [one for one in corpora if one is not corpus]
            best, chosen[f"without {corpus.name}"] = await choose(start, others)
            left_out[corpus.name] = await corpus.figures(best)
            _screen.print(f"{corpus.name}: chosen on {len(others)} others")
        best, chosen["on all"] = await choose(start, corpora)
        on_all = {corpus.name: await corpus.figures(best) for corpus in corpora}
    figures = {arguments.profile: shipped, "chosen without it": left_out, "chosen on all": on_all}
    return {"figures": figures, "chosen": chosen}


def _chosen(chosen: dict[str, dict[str, str]]) -> Table:
    table = Table(title="values that were chosen in place of the profile's")
    table.add_column("corpora", no_wrap=True)
    table.add_column("values")
    for name, values in chosen.items():
        table.add_row(name, ", ".join(f"{key} {value}" for key, value in values.items()) or "none")
    return table


if __name__ == "__main__":
    sys.exit(main())
