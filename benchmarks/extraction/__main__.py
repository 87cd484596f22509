"""How good the patterns of extraction are: ``python -m benchmarks.extraction``.

    python -m benchmarks.extraction
        precision and recall on our own samples, and precision on the evaluation data where
        BRUNO_EVAL_DATA names its folder

    python -m benchmarks.extraction --effect
        what stored facts do to the recall of turns, too

    python -m benchmarks.extraction --json FILE
        the figures there; - for standard output

Exit status: 0, or 1 where a fact was found that has no label: label it, then believe the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.extraction.effect import Effect, effect_of
from benchmarks.extraction.labelled import labels, sets
from benchmarks.extraction.measuring import Measured, measure
from benchmarks.retrieval.corpora import EVAL_DATA
from benchmarks.retrieval.datasets import SAMPLES, load

_screen = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    known = labels()
    measured = [measure(name, turns, known) for name, turns in sets()]
    _screen.print(_table(measured))
    _screen.print(_by_attribute(measured))
    effects = asyncio.run(_effects(arguments.questions)) if arguments.effect else []
    if effects:
        _screen.print(_effect_table(effects))
    report = {
        **describe(),
        "sets": [
            {**asdict(one), "precision": one.precision, "recall": one.recall} for one in measured
        ],
        "effects": [asdict(one) for one in effects],
    }
    write_json(report, arguments.json)
    left = sum(len(one.unlabelled) for one in measured)
    if left:
        _screen.print(f"{left} facts have no label", style="red")
    return 1 if left else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction")
    parser.add_argument("--effect", action="store_true", help="measure the recall of turns, too")
    parser.add_argument("--questions", type=int, metavar="N", help="ask so many of each at most")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    return parser.parse_args(argv)


async def _effects(questions: int | None) -> list[Effect]:
    found = [await effect_of(load("jsonl", SAMPLES), questions=questions)]
    folder = os.environ.get(EVAL_DATA)
    for kind, place, split in (("locomo", "locomo", "dev"), ("jsonl", "realmem", "all")):
        if folder and (Path(folder) / place).is_dir():
            data = load(kind, Path(folder) / place, split)
            found.append(await effect_of(data, questions=questions))
    return found


def _table(measured: Sequence[Measured]) -> Table:
    table = Table(title="facts found by the patterns")
    for name in ("set", "turns", "found", "right", "precision", "stated", "hit", "recall"):
        table.add_column(name, justify="left" if name == "set" else "right")
    for one in measured:
        table.add_row(
            one.name,
            f"{one.turns:,}",
            str(one.found),
            str(one.right),
            _share(one.precision),
            "" if one.stated is None else str(one.stated),
            "" if one.stated is None else str(one.hit),
            _share(one.recall),
        )
    right, labelled = sum(one.right for one in measured), sum(one.labelled for one in measured)
    stated = sum(one.stated or 0 for one in measured)
    hit = sum(one.hit for one in measured)
    table.add_row(
        "all",
        f"{sum(one.turns for one in measured):,}",
        str(sum(one.found for one in measured)),
        str(right),
        _share(right / labelled if labelled else None),
        str(stated),
        str(hit),
        _share(hit / stated if stated else None),
    )
    return table


def _by_attribute(measured: Sequence[Measured]) -> Table:
    table = Table(title="by attribute")
    for name in ("attribute", "labelled", "right", "precision"):
        table.add_column(name, justify="left" if name == "attribute" else "right")
    counts: dict[str, list[int]] = {}
    for one in measured:
        for attribute, (right, labelled) in one.by_attribute.items():
            both = counts.setdefault(attribute, [0, 0])
            both[0] += right
            both[1] += labelled
    for attribute, (right, labelled) in sorted(counts.items(), key=lambda item: -item[1][1]):
        table.add_row(attribute, str(labelled), str(right), _share(right / labelled))
    return table


def _effect_table(effects: Sequence[Effect]) -> Table:
    table = Table(title="recall@10 of turns, without and with facts among the rows")
    for name in ("set", "questions", "facts", "facts in the ten", "without", "with", "messages"):
        table.add_column(name, justify="left" if name == "set" else "right")
    for one in effects:
        table.add_row(
            one.name,
            str(one.questions),
            str(one.facts),
            f"{one.shown:.2f}",
            _share(one.before),
            _share(one.after),
            _share(one.messages),
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
