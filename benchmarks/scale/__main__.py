"""Cost against size: ``python -m benchmarks.scale --rows 10000 100000 --json - --plots DIR``.

For each size and number of users: a store is filled through the public API once and kept, and a
copy of it is measured. With ``--url`` it is filled there and measured there. Every figure comes
from a process of its own that nothing has warmed.
``--endurance`` writes one message at a time into an empty store. ``--peers`` measures others on
the same rows and vectors.

What has been measured is written even where a later part fails. Exit status: 0, 1 where something
failed, 2 for a wrong option. A missed target is no failure.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich.console import Console

from benchmarks import address
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.progress import bars
from benchmarks.scale import limit, plots, side_by_side, tables
from benchmarks.scale.child import ChildError
from benchmarks.scale.curves import Say, Settings, endure, layouts, measure
from benchmarks.scale.data import make_corpus
from benchmarks.scale.layout import LARGE_USER
from benchmarks.scale.peers import names as peer_names
from benchmarks.scale.peers.table import as_markdown
from benchmarks.scale.targets import judge

_ENDURANCE = 100_000
# Peers that write row by row take hours for more.
_PEER_ROWS = (10_000, 100_000)
# Of the endurance run's and the peers' corpora.
_USERS = 100
_PARTS = ("stores", "endurance", "side_by_side")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    # Standard output is for the figures alone.
    screen = Console(stderr=True)
    report: dict[str, Any] = {**describe(), "stores": [], "endurance": None, "side_by_side": []}
    failed = False
    try:
        _run(arguments, screen, report)
    except (BrunoError, ChildError) as error:
        screen.print(f"error: {error}", style="red", markup=False, highlight=False)
        failed = True
    finally:
        # After hours of runs, not even an unforeseen error may take the figures with it.
        if any(report[part] for part in _PARTS):
            _write(arguments, screen, report)
    return int(failed)


def _write(arguments: argparse.Namespace, screen: Console, report: dict[str, Any]) -> None:
    verdicts = judge(report)
    report["targets"] = [one.to_dict() for one in verdicts]
    table = tables.markdown(report, verdicts)
    table += "".join(f"\n## Side by side\n\n{as_markdown(one)}" for one in report["side_by_side"])
    head = (
        f"# Scale\n\nCommit {report['commit']}, {report['cores']} cores, "
        f"{report['memory_gib']} GiB, Python {report['python']}. `{report['command']}`\n\n"
    )
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text(head + table, encoding="utf-8")
    (sys.stderr if arguments.json == "-" else sys.stdout).write(table)
    if arguments.json and arguments.json != "-":
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
    write_json(report, arguments.json)
    if arguments.plots and report["stores"]:
        files = plots.draw(report, arguments.plots)
        screen.print(f"plots: {', '.join(file.name for file in files)}", highlight=False)


def _run(arguments: argparse.Namespace, screen: Console, report: dict[str, Any]) -> None:
    """Fill the report, part by part."""
    if arguments.plots:
        plots.require()  # before hours of runs
    arguments.cache.mkdir(parents=True, exist_ok=True)
    where = address.chosen(arguments) if arguments.url or arguments.sessions else None
    settings = Settings(
        cache=arguments.cache,
        seed=arguments.seed,
        embedder=arguments.embedder,
        calls=arguments.calls,
        openings=arguments.openings,
        settle=arguments.settle,
        again=arguments.again,
        address=where,
    )
    report["address"] = where and where.to_dict()
    report |= {"seed": settings.seed, "embedder": settings.embedder, "calls": settings.calls}
    with bars(screen) as progress:
        bar = progress.add_task("")

        def say(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        for rows, users in layouts(arguments.rows, arguments.users):
            report["stores"].append(measure(rows, users, settings, say))
            report["stores"][-1]["limit"] = _limit(rows, users, settings, say)
        if arguments.endurance:
            users = min(_USERS, arguments.endurance)
            report["endurance"] = endure(arguments.endurance, users, settings, say)
        progress.update(bar, visible=False)
    # It shows its own progress.
    for one in _peers(arguments, settings):
        report["side_by_side"].append(one)


def _limit(rows: int, users: int, settings: Settings, say: Say) -> dict[str, Any]:
    """What reading a user's vectors and postings alone costs, as `limit.measure` has it."""
    say(f"{rows:,} rows, {users:,} users: physical limit", 0, 1)
    corpus = make_corpus(rows, users, settings.cache, settings.seed, settings.embedder)
    chosen = {"one_user": corpus.asked_user, "large_user": LARGE_USER}
    kinds = {kind: user for kind, user in chosen.items() if user in corpus.sizes}
    found = limit.measure(corpus, list(dict.fromkeys(kinds.values())))
    return {kind: found[user] for kind, user in kinds.items()}


def _peers(arguments: argparse.Namespace, settings: Settings) -> Iterator[dict[str, Any]]:
    if not arguments.peers:
        return
    chosen = list(peer_names()) if "all" in arguments.peers else arguments.peers
    for rows in sorted(set(arguments.peer_rows)):
        corpus = make_corpus(
            rows, min(_USERS, rows), settings.cache, settings.seed, settings.embedder
        )
        yield side_by_side.run(corpus, chosen, folder=settings.cache)


def cache_folder() -> Path:
    """Where corpora and stores are kept, if nobody says where."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "bruno-memory-vec" / "scale"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=count, nargs="+", default=[10_000], help="sizes (default: 10000)")
    add("--users", type=count, nargs="+", default=[1, 100, 1_000], help="default: 1 100 1000")
    add("--embedder", choices=("static", "given"), default="static", help="default: static")
    add("--seed", type=int, default=7)
    add("--calls", type=count, default=300, help="measured calls of each kind (default: 300)")
    add("--openings", type=count, default=3, help="how often each is opened (default: 3)")
    add("--again", action="store_true", help="build the stores anew, even if they are kept")
    add(
        "--cache",
        type=Path,
        default=cache_folder(),
        metavar="DIR",
        help="where corpora and stores are",
    )
    add(
        "--endurance",
        type=count,
        nargs="?",
        const=_ENDURANCE,
        metavar="N",
        help=f"write N single messages into an empty store (default: {_ENDURANCE})",
    )
    add(
        "--settle",
        type=float,
        default=61.0,
        metavar="SECONDS",
        help="after which versions are old enough to go, in the endurance run (default: 61)",
    )
    add(
        "--peers",
        nargs="+",
        choices=("all", *peer_names()),
        metavar="NAME",
        help=f"measure side by side: all, {', '.join(peer_names())}",
    )
    add(
        "--peer-rows",
        type=count,
        nargs="+",
        default=list(_PEER_ROWS),
        metavar="N",
        help="at these sizes, of 100 users (default: 10000 100000)",
    )
    address.add_options(parser)
    add("--json", metavar="FILE", help="write the report there; - for standard output")
    add("--table", type=Path, metavar="FILE", help="write the tables there")
    add("--plots", type=Path, metavar="DIR", help="draw cost against size there")
    arguments = parser.parse_args(argv)
    if (arguments.url or arguments.sessions) and (arguments.endurance or arguments.peers):
        parser.error("--endurance and --peers are about folders: leave them out beside --url")
    if not address.chosen(arguments).kept:
        parser.error("each figure comes from a process of its own: name a store that is kept")
    return arguments


def count(text: str) -> int:
    """A number of at least 1, as "10,000" or "10_000" too."""
    value = int(text.replace(",", "").replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
