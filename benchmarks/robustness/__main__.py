"""What is left when things go wrong: ``python -m benchmarks.robustness --json - --table FILE``.

Each store gets three treatments in folders of its own: its writer is killed again and again while
it writes row by row; several processes write to it at once; and one file of its indexes at a time
is cut in half. Another process then opens what is left, and counts. All are given the same rows
and vectors.

Exit status: 0, 2 for a wrong option. What a store loses is a figure, and no failure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.peers.base import versions
from benchmarks.robustness import stores
from benchmarks.robustness.table import as_markdown
from benchmarks.robustness.treatments import kill_while_writing, truncate_indexes, write_at_once


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    screen = Console(stderr=True)
    report: dict[str, Any] = {**describe(), "rows": arguments.rows, "stores": {}}
    for name in arguments.store or stores.names():
        try:
            report["stores"][name] = _treat(name, arguments, screen)
        except Exception as error:  # a peer that cannot even be filled
            report["stores"][name] = {"failed": f"{type(error).__name__}: {error}"}
            screen.print(f"{name}: {error}", style="red", markup=False)
        table = as_markdown(report)
        if arguments.table:
            arguments.table.write_text(table, encoding="utf-8")
        if arguments.json and arguments.json != "-":
            write_json(report, arguments.json)
    (sys.stderr if arguments.json == "-" else sys.stdout).write(table)
    if arguments.json == "-":
        write_json(report, "-")
    return 0


def _treat(name: str, arguments: argparse.Namespace, screen: Console) -> dict[str, Any]:
    peer = stores.make(name)
    done: dict[str, Any] = {"versions": versions(*peer.packages), "note": stores.TARGETS[name].note}
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as temporary:
        folders = [Path(temporary) / part for part in ("kills", "at-once", "indexes")]
        for folder in folders:
            folder.mkdir()
        screen.print(f"{name}: {arguments.kills} kills", markup=False)
        kills = kill_while_writing(name, folders[0], arguments.kills, arguments.seed)
        screen.print(f"{name}: {arguments.writers} writers at once", markup=False)
        contest = write_at_once(name, folders[1], arguments.writers, arguments.rows)
        screen.print(f"{name}: files of its indexes cut in half", markup=False)
        cut = truncate_indexes(name, folders[2], arguments.indexed, arguments.files)
    return {**done, "kills": asdict(kills), "at_once": asdict(contest), "indexes": asdict(cut)}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument(
        "--store", action="append", choices=stores.names(), help="several times; default: all"
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=100, help="of each writer")
    # Chroma writes its index to a file from 1,000 rows on.
    parser.add_argument("--indexed", type=int, default=2_000, help="rows before a file is cut")
    parser.add_argument("--files", type=int, help="how many files, the largest; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--json", metavar="FILE", help="a file, or - for standard output")
    parser.add_argument("--table", type=Path, metavar="FILE", help="the table as Markdown")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
