"""Baselines of the micro-benchmarks: ``python -m benchmarks.micro save|compare``.

``save RUN.json BASELINE.json`` makes the small file that is committed out of the one that
pytest-benchmark's ``--benchmark-json`` wrote; of several runs it takes each benchmark's best.
``compare BEFORE.json AFTER.json`` takes either kind.

Exit status: 0, 1 where a benchmark became slower than the tolerance allows, 2 where a file cannot
be used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bruno_core.utils.exceptions import BrunoError
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.micro.baseline import Report, Row, best, compare, load, write

# Medians of one quiet machine differ by this much from run to run, those of a busy one by more.
_NOISE = 0.2


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    screen, errors = Console(), Console(stderr=True)
    try:
        if arguments.command == "save":
            report = best([load(path) for path in arguments.runs])
            write(report, arguments.baseline)
            screen.print(f"{len(report['figures'])} benchmarks saved", highlight=False)
            return 0
        before, after = load(arguments.before), load(arguments.after)
        rows = compare(before, after, tolerance=arguments.tolerance, relative=arguments.relative)
    except (BrunoError, OSError) as error:
        line = f"error: {error}"
        errors.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    return _show(screen, before, after, rows, everything=arguments.all)


def _show(
    screen: Console, before: Report, after: Report, rows: list[Row], *, everything: bool
) -> int:
    for name, report in (("before", before), ("after", after)):
        parts = [report["commit"], f"python {report['python']}", report["machine"]]
        parts += [f"{report['cores']} cores", f"OpenBLAS threads: {report['openblas_threads']}"]
        parts.append(f"best of {report['runs']} runs" if report["runs"] > 1 else "one run")
        line = f"{name}: {', '.join(map(str, parts))}"
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    shown = [row for row in rows if everything or row.slower or abs(row.ratio - 1) > _NOISE]
    if shown:
        screen.print(_table(shown))
    for what, one, other in (("only before", before, after), ("only after", after, before)):
        for name in sorted(set(one["figures"]) - set(other["figures"])):
            screen.print(f"{what}: {name}", markup=False, highlight=False, soft_wrap=True)
    slower = sum(row.slower for row in rows)
    if slower:
        screen.print(f"{slower} of {len(rows)} became slower", style="red", highlight=False)
        return 1
    screen.print(f"none of {len(rows)} became slower than the tolerance allows", highlight=False)
    return 0


def _table(rows: list[Row]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("benchmark")
    for heading in ("before, µs", "after, µs", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        figures = (f"{row.before:,.1f}", f"{row.after:,.1f}", f"{row.ratio:.2f}")
        # Not the name as it is: rich would read "[balanced]" as a style.
        table.add_row(row.name.replace("[", r"\["), *figures, "slower" if row.slower else "")
    return table


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    save = commands.add_parser("save", help="make a small file of a run")
    save.add_argument("runs", type=Path, metavar="RUN.json", nargs="+")
    save.add_argument("baseline", type=Path, metavar="BASELINE.json")
    two = commands.add_parser("compare", help="two runs side by side")
    two.add_argument("before", type=Path, metavar="BEFORE.json")
    two.add_argument("after", type=Path, metavar="AFTER.json")
    two.add_argument("--tolerance", type=float, default=1.5, help="a factor; default: 1.5")
    two.add_argument(
        "--relative", action="store_true", help="take out the speed that all have in common"
    )
    two.add_argument("--all", action="store_true", help="also show what did not change")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
