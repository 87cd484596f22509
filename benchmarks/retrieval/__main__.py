"""The command: ``python -m benchmarks.retrieval --dataset locomo --path DIR --json -``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.locomo import load
from benchmarks.retrieval.run import run_locomo

_SPLITS = {"all": slice(None), "dev": slice(0, 5), "test": slice(5, 10)}
_NAMES = {
    "1": "1 multi-hop",
    "2": "2 temporal",
    "3": "3 open-domain",
    "4": "4 single-hop",
    "5": "5 adversarial",
}
# Short, so that the table fits eighty columns.
_HEADS = {
    "questions": "n",
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@20": "R@20",
    "ndcg@10": "nDCG@10",
    "mrr": "MRR",
}
# Standard output is for the figures alone.
_screen = Console(stderr=True)


def main() -> int:
    """Run the command; the exit status is 0, or 1 for an error."""
    arguments = _arguments()
    quiet_logs()
    try:
        report = {**describe(), **asyncio.run(_run(arguments))}
    except BrunoError as error:
        _screen.print(f"[red]error:[/red] {error}", highlight=False)
        return 1
    _show(report)
    write_json(report, arguments.json)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--dataset", choices=["locomo"], default="locomo")
    parser.add_argument(
        "--path",
        type=Path,
        default=Path(os.environ.get("BRUNO_EVAL_DATA", "../shared/data")) / "locomo",
        help="the folder that holds the data (default: BRUNO_EVAL_DATA/locomo)",
    )
    parser.add_argument("--split", choices=list(_SPLITS), default="all")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--store", type=Path, help="keep the store in this folder")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    data = load(arguments.path, _SPLITS[arguments.split])
    with tempfile.TemporaryDirectory() as folder, Progress(console=_screen) as progress:
        tasks: dict[str, Any] = {}

        def advance(work: str, done: int, total: int) -> None:
            if work not in tasks:
                tasks[work] = progress.add_task(work, total=total)
            progress.update(tasks[work], completed=done)

        report = await run_locomo(
            data,
            arguments.store or Path(folder) / "store",
            profile=arguments.profile,
            embedder=arguments.embedder,
            advance=advance,
        )
    return {"dataset": "locomo", "split": arguments.split, **report}


def _show(report: dict[str, Any]) -> None:
    table = Table(
        title=f"LoCoMo ({report['split']}), {report['profile']}, {report['embedder']}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    whole = report["categories_1_4"]
    table.add_column("categories", no_wrap=True)
    for name in whole:
        table.add_column(_HEADS.get(name, name), justify="right", no_wrap=True)
    rows = {_NAMES.get(c, c): figures for c, figures in report["by_category"].items()}
    for label, figures in {
        **rows,
        "1-4": whole,
        "1-4, audited": report["categories_1_4_audited_gold"],
    }.items():
        cells = [
            f"{value:.3f}" if isinstance(value, float) else str(value) for value in figures.values()
        ]
        table.add_row(label, *cells)
    _screen.print(table)
    latency = report["latency"]
    _screen.print(
        f"recall p50 {latency['p50_ms']:.1f} ms, p95 {latency['p95_ms']:.1f} ms over "
        f"{latency['recalls']} questions; stored {report['turns']} turns at "
        f"{report['turns_per_s']}/s"
    )


if __name__ == "__main__":
    sys.exit(main())
