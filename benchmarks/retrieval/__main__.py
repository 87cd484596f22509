"""How well memory finds what answers a question: ``python -m benchmarks.retrieval``.

    python -m benchmarks.retrieval
        our own samples, and the development corpora where BRUNO_EVAL_DATA names their folder

    python -m benchmarks.retrieval --dataset locomo --path DIR --profile balanced --json -
        one data set, one profile, the figures on standard output

    python -m benchmarks.retrieval --data locomo=DIR --data beir=DIR --profile balanced \\
        --profile rrf --embedder static --embedder minilm=DIR --peer chroma --split test \\
        --out benchmarks/results --plots
        a matrix: a file a run, a table, plots; what is there already is not run again

    python -m benchmarks.retrieval --url 'qdrant://127.0.0.1:6333/{name}' --sessions redis://...
        another engine: each run has a store of its own

Exit status: 0, 1 where a run failed or there was nothing to run, 2 for a wrong option.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich.console import Console

from benchmarks import address, peers
from benchmarks.environment import quiet_logs
from benchmarks.progress import bars
from benchmarks.retrieval import plots, results, tables
from benchmarks.retrieval.corpora import EVAL_DATA, development_corpora, source
from benchmarks.retrieval.datasets import KINDS, SPLITS
from benchmarks.retrieval.matrix import (
    Outcome,
    ReusingEmbedder,
    entries,
    named_embedder,
    run_matrix,
)
from bruno_memory_vec.embedders import Embedder
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.recall.profiles import load_profile

_TABLE = "retrieval.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    # Standard output is for the figures alone.
    screen = Console(stderr=True)
    try:
        outcome = asyncio.run(_run(arguments, screen))
        if arguments.plots and outcome.reports:
            files = plots.draw(outcome.reports, arguments.out)
            _say(screen, f"plots: {', '.join(file.name for file in files)}")
    except BrunoError as error:
        screen.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 1
    _show(outcome, arguments)
    if not outcome.reports and not outcome.failed:
        screen.print("error: there was nothing to run", style="red")
    return 0 if outcome.reports and not outcome.failed else 1


async def _run(arguments: argparse.Namespace, screen: Console) -> Outcome:
    if arguments.plots:
        plots.require()
        if arguments.out is None:
            raise InvalidInputError("plots", "have no folder", fix="Name it with --out.")
    for profile in arguments.profile:
        load_profile(profile)
    elsewhere = arguments.url or arguments.sessions
    where = address.chosen(arguments) if elsewhere else None
    rows = entries(arguments.profile, _peers(arguments.peer), _embedders(arguments), where)
    with bars(screen) as progress:
        tasks: dict[tuple[str, str], Any] = {}

        def advance(run: str, work: str, done: int, total: int) -> None:
            if (run, work) not in tasks:
                tasks[run, work] = progress.add_task(f"{run}: {work}", total=total)
            progress.update(tasks[run, work], completed=done)

        return await run_matrix(
            _sources(arguments),
            rows,
            split=arguments.split,
            out=arguments.out,
            again=arguments.again,
            store=arguments.store,
            say=lambda line: _say(progress.console, line),
            advance=advance,
        )


def _show(outcome: Outcome, arguments: argparse.Namespace) -> None:
    if not outcome.reports:
        return
    table = tables.markdown(outcome.reports)
    report = ",\n".join(results.dumps(report).strip() for report in outcome.reports)
    if len(outcome.reports) > 1:
        report = f'{{"runs": [\n{report}\n]}}'
    if arguments.json == "-":
        sys.stdout.write(report + "\n")
        sys.stderr.write(table + "\n")
    else:
        sys.stdout.write(table + "\n")
        if arguments.json:
            Path(arguments.json).write_text(report + "\n", encoding="utf-8")
    if arguments.out is not None:
        first = outcome.reports[0]
        head = (
            f"# Retrieval\n\nCommit {first['commit']}, {first['cores']} cores, "
            f"Python {first['python']}. `{results.origin()['command']}`\n\n"
        )
        (arguments.out / _TABLE).write_text(head + table + "\n", encoding="utf-8")


def _say(screen: Console, line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)


def _sources(arguments: argparse.Namespace) -> list[tuple[str, Path]]:
    sources: list[tuple[str, Path]] = list(arguments.data)
    folder = os.environ.get(EVAL_DATA)
    if arguments.dataset or arguments.path:
        kind = arguments.dataset or "locomo"
        path = arguments.path or (Path(folder) / kind if folder else None)
        if path is None:
            raise InvalidInputError("path", "is not given", fix=f"Use --path, or set {EVAL_DATA}.")
        sources.append((kind, path))
    return sources or development_corpora()


def _embedders(arguments: argparse.Namespace) -> list[Embedder]:
    found = [named_embedder(spec) for spec in arguments.embedder]
    return [ReusingEmbedder(one) for one in found] if arguments.reuse_vectors else found


def _peers(chosen: Sequence[str]) -> list[str]:
    return list(peers.names()) if "all" in chosen else list(dict.fromkeys(chosen))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        action="append",
        default=[],
        type=source,
        metavar="KIND=PATH",
        help=f"a data set, any number of times; KIND is one of {', '.join(KINDS)}",
    )
    add("--dataset", choices=list(KINDS), help="the kind of the one data set in --path")
    add("--path", type=Path, help="its file or folder (default: a folder in BRUNO_EVAL_DATA)")
    add("--split", choices=SPLITS, default="all", help="the part to choose by, or to check on")
    add(
        "--profile",
        action="append",
        metavar="NAME|FILE.toml",
        help='any number of times; "none" for peers alone (default: balanced)',
    )
    add(
        "--embedder",
        action="append",
        metavar="NAME|[NAME=]FOLDER",
        help="any number of times; a folder holds a sentence-transformers model (default: static)",
    )
    add(
        "--peer",
        action="append",
        default=[],
        choices=["all", *peers.names()],
        metavar="NAME",
        help=f"any number of times: all, {', '.join(peers.names())}",
    )
    add("--out", type=Path, metavar="DIR", help="write a report a run and the table there")
    add("--again", action="store_true", help="run also what is in --out already")
    add("--plots", action="store_true", help="draw the figures into --out")
    add(
        "--reuse-vectors",
        action="store_true",
        help="embed each text once for all runs; index times of later runs leave it out",
    )
    add("--store", type=Path, metavar="DIR", help="keep the stores there")
    add("--json", metavar="FILE", help="write the reports there; - for standard output")
    address.add_options(parser)
    arguments = parser.parse_args(argv)
    chosen = arguments.profile or ["balanced"]
    arguments.profile = [profile for profile in dict.fromkeys(chosen) if profile != "none"]
    arguments.embedder = list(dict.fromkeys(arguments.embedder or ["static"]))
    return arguments


if __name__ == "__main__":
    sys.exit(main())
