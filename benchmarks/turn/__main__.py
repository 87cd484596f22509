"""A turn of an assistant, by size of the store: ``python -m benchmarks.turn --no-peers``.

For each size a filled store of each system is made once and kept (``--cache``), and a copy of it
is measured. Each system has a process of its own; the operations are measured in turn, every
system one after the other, in several rounds, of which the median counts. Wall time and processor
time: on a shared machine the second says more.

What has been measured is written even where a later part fails. Exit status: 0, 1 where something
failed, 2 for a wrong option. A missed target is no failure.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich.console import Console

from benchmarks.apart import ApartError
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.progress import bars
from benchmarks.scale.__main__ import cache_folder, count
from benchmarks.scale.child import ChildError
from benchmarks.scale.curves import Settings
from benchmarks.turn import plots, tables
from benchmarks.turn.operations import ONCE, OPERATIONS
from benchmarks.turn.rounds import measure
from benchmarks.turn.running import Plan
from benchmarks.turn.systems import LIMIT, OURS, systems
from benchmarks.turn.targets import judge

_ROWS = (1_000, 10_000, 100_000)
_MILLION = 1_000_000
_FEW, _MANY, _OF_MILLION = 10, 100, 1_000
# Some peers store a thousand rows a second.
_PEER_ROWS = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    # Standard output is for the figures alone.
    screen = Console(stderr=True)
    report: dict[str, Any] = {
        **describe(),
        "load_before": _load(),
        "rounds": arguments.rounds,
        "calls": arguments.calls,
        "seed": arguments.seed,
        "stores": [],
    }
    failed = False
    try:
        _run(arguments, screen, report)
    except (BrunoError, ChildError, ApartError) as error:
        screen.print(f"error: {error}", style="red", markup=False, highlight=False)
        failed = True
    finally:
        # After minutes of runs, not even an unforeseen error may take the figures with it.
        if report["stores"]:
            _write(arguments, screen, report)
    return int(failed or _some_failed(report))


def _run(arguments: argparse.Namespace, screen: Console, report: dict[str, Any]) -> None:
    if arguments.plots:
        plots.require()  # before minutes of runs
    arguments.cache.mkdir(parents=True, exist_ok=True)
    settings = Settings(cache=arguments.cache, seed=arguments.seed, again=arguments.again)
    with bars(screen) as progress:
        bar = progress.add_task("")

        def say(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        for rows in sorted(set(arguments.rows)):
            for users in _users(rows, arguments.users):
                plan = Plan(
                    rows=rows,
                    users=users,
                    seed=arguments.seed,
                    corpora=str(arguments.cache),
                    calls=arguments.calls,
                    bulk=arguments.bulk,
                    budget_s=arguments.budget,
                )
                names = _systems(rows, arguments)
                found = measure(plan, names, arguments.only, arguments.rounds, settings, say)
                report["stores"].append(found)


def _users(rows: int, given: Sequence[int] | None) -> list[int]:
    if given:
        return sorted({users for users in given if users <= rows})
    usual = _OF_MILLION if rows >= _MILLION else _MANY
    return [usual if usual * _FEW < rows else max(1, rows // _MANY)]


def _systems(rows: int, arguments: argparse.Namespace) -> list[str]:
    chosen = {OURS, LIMIT}
    if not arguments.no_peers and rows <= arguments.peer_rows:
        chosen |= set(systems() if "all" in arguments.peers else arguments.peers)
    return [name for name in systems() if name in chosen]


def _write(arguments: argparse.Namespace, screen: Console, report: dict[str, Any]) -> None:
    report["load_after"] = _load()
    verdicts = judge(report["stores"])
    report["targets"] = [one.to_dict() for one in verdicts]
    load = " / ".join(f"{one:.1f}" for one in (report["load_before"], report["load_after"]))
    table = (
        f"# A turn\n\nCommit {report['commit']}, {report['cores']} cores, "
        f"{report['memory_gib']} GiB, Python {report['python']}, load before / after {load}. "
        f"`{report['command']}`\n\n{tables.markdown(report, verdicts)}"
    )
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text(table, encoding="utf-8")
    (sys.stderr if arguments.json == "-" else sys.stdout).write(table)
    if arguments.json and arguments.json != "-":
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
    write_json(report, arguments.json)
    if arguments.plots:
        files = plots.draw(report["stores"], arguments.plots)
        screen.print(f"plots: {', '.join(file.name for file in files)}", highlight=False)


def _some_failed(report: dict[str, Any]) -> bool:
    return any(
        "failed" in found
        for store in report["stores"]
        for system in store["systems"].values()
        for found in (system, *system.get("operations", {}).values())
    )


def _load() -> float:
    """How many processes want a processor: over the number of cores, the clock says little."""
    return round(os.getloadavg()[0], 2)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.turn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    sizes = " ".join(map(str, _ROWS))
    add("--rows", type=count, nargs="+", default=list(_ROWS), help=f"sizes (default: {sizes})")
    add(
        "--users",
        type=count,
        nargs="+",
        help="numbers of users (default: 100, of a million rows 1,000, of 1,000 rows 10)",
    )
    add("--rounds", type=count, default=3, help="the median counts (default: 3)")
    add("--calls", type=count, default=100, help="of each kind in a round (default: 100)")
    add("--bulk", type=count, default=10_000, help="messages of the largest call (default: 10000)")
    add(
        "--budget",
        type=float,
        default=4.0,
        metavar="SECONDS",
        help="after which a slow system makes no further calls of a kind (default: 4)",
    )
    add(
        "--only",
        nargs="+",
        choices=(*OPERATIONS, *ONCE),
        default=[*OPERATIONS, *ONCE],
        metavar="NAME",
        help=f"these operations alone: {', '.join((*OPERATIONS, *ONCE))}",
    )
    add("--no-peers", action="store_true", help="ours and the physical limit alone")
    add(
        "--peers",
        nargs="+",
        choices=("all", *systems()),
        default=["all"],
        metavar="NAME",
        help=f"beside ours: all (the default), {', '.join(systems()[1:])}",
    )
    add(
        "--peer-rows",
        type=count,
        default=_PEER_ROWS,
        metavar="N",
        help=f"the largest size with peers (default: {_PEER_ROWS})",
    )
    add("--seed", type=int, default=7)
    add("--again", action="store_true", help="build the stores anew, even if they are kept")
    add("--cache", type=Path, default=cache_folder(), metavar="DIR", help="corpora and stores")
    add("--json", metavar="FILE", help="write the report there; - for standard output")
    add("--table", type=Path, metavar="FILE", help="write the tables there")
    add("--plots", type=Path, metavar="DIR", help="draw cost against size there")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
