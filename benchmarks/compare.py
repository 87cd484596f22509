"""Whether a run is worse than another: ``python -m benchmarks.compare BEFORE.json AFTER.json``.

Each headline figure of AFTER may be lower than in BEFORE by at most ``--tolerance``, and each
latency higher by at most the factor ``--latency-tolerance``. Categories are shown and not held
to anything: they have too few questions. ``p`` is from a paired permutation test that swaps whole
groups (conversations) between the runs; in brackets, the same by question.

Exit status: 0, 1 where a figure fell beyond its tolerance, 2 where the files cannot be compared.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval.paired import PARTS, differences, summary
from benchmarks.retrieval.results import read
from bruno_memory_vec.errors import InvalidInputError

_SHOWN_BY_CATEGORY = ("recall@10", "ndcg@10")
_LATENCIES = ("p50_ms", "p95_ms")
_COSTS = {*_LATENCIES, "texts_per_s"}
# A table that is cut says nothing; a pipe or a log counts as 80 columns otherwise.
_WIDTH = 110
_NOT_FIGURES = {"questions", "groups"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison.

    Attributes:
        name: the figure.
        before: its value in the first file.
        after: its value in the second.
        fell: whether it is beyond its tolerance; None where it is held to none.
        p: the p-value by group, and by question; None where questions are not in both.
    """

    name: str
    before: float
    after: float
    fell: bool | None = None
    p: tuple[float, float] | None = None


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    tolerance: float,
    latency_tolerance: float,
) -> list[Row]:
    """Every figure of both reports, side by side.

    Args:
        before: a report of `benchmarks.retrieval`.
        after: another of the same data.
        tolerance: how far a quality figure may fall, as a difference.
        latency_tolerance: how far a latency may rise, as a factor.

    Raises:
        InvalidInputError: they are not of the same data, or one lacks a figure of the other.
    """
    try:
        if before["data"]["digest"] != after["data"]["digest"]:
            raise InvalidInputError(
                "reports",
                f"different questions: {_data(before)} and {_data(after)}",
                fix="Measure both with the same data and split.",
            )
        rows = [row for part in PARTS for row in _quality(before, after, part, tolerance=tolerance)]
        rows += _categories(before, after)
        for name in _LATENCIES:
            old, new = _number(before["latency"][name]), _number(after["latency"][name])
            rows.append(Row(name, old, new, fell=new > old * latency_tolerance))
        rows.append(
            Row(
                "texts_per_s",
                _number(before["store"]["texts_per_s"]),
                _number(after["store"]["texts_per_s"]),
            )
        )
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        problem = f"a report lacks what it should have: {type(error).__name__}: {error}"
        fix = "Measure again with benchmarks.retrieval --out."
        raise InvalidInputError("reports", problem, fix=fix, cause=error) from error
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    screen, errors = Console(), Console(stderr=True)
    if not screen.is_terminal:
        screen = Console(width=_WIDTH)
    try:
        before, after = read(arguments.before), read(arguments.after)
        rows = compare(
            before,
            after,
            tolerance=arguments.tolerance,
            latency_tolerance=arguments.latency_tolerance,
        )
    except BrunoError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    for name, report in (("before", before), ("after", after)):
        line = f"{name}: {_run(report)}"
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    screen.print(_table(rows))
    fallen = [row.name for row in rows if row.fell]
    if fallen:
        screen.print(f"fell: {', '.join(fallen)}", style="red", markup=False, highlight=False)
        return 1
    screen.print("nothing fell beyond the tolerances", highlight=False)
    return 0


def _quality(
    before: Mapping[str, Any], after: Mapping[str, Any], part: str, *, tolerance: float
) -> Iterator[Row]:
    old, new = summary(before, part), summary(after, part)
    p = {one.figure: (one.p_groups, one.p_questions) for one in differences(before, after, part)}
    for name in old:
        if name not in _NOT_FIGURES:
            was, now = _mean(old[name]), _mean(new[name])
            label = name if part != "sessions" else f"sessions {name}"
            # Figures are rounded to four places.
            yield Row(label, was, now, now < was - tolerance - 1e-9, p.get(name))


def _categories(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Row]:
    for part in ("by_category", "apart"):
        new = after["figures"].get(part, {})
        for category, figures in before["figures"].get(part, {}).items():
            for name in _SHOWN_BY_CATEGORY:
                yield Row(f"{category}: {name}", _mean(figures[name]), _mean(new[category][name]))


def _mean(value: Any) -> float:
    return _number(value[0])


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        # It would compare false to anything, and so pass.
        raise ValueError(f"{value!r} is no figure")
    return number


def _data(report: Mapping[str, Any]) -> str:
    data = report["data"]
    return f"{data.get('name')} ({data.get('split')}, {data.get('questions')} questions)"


def _run(report: Mapping[str, Any]) -> str:
    parts = [report.get("system"), report.get("embedder"), _data(report), report.get("commit")]
    return ", ".join(str(part) for part in parts if part)


def _table(rows: list[Row]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("figure", no_wrap=True)
    for heading in ("before", "after", "difference", "p (by question)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        digits = 1 if row.name in _COSTS else 4
        p = f"{row.p[0]:.3f} ({row.p[1]:.3f})" if row.p else ""
        mark = "" if row.fell is None else "fell" if row.fell else "ok"
        table.add_row(
            row.name,
            f"{row.before:.{digits}f}",
            f"{row.after:.{digits}f}",
            f"{row.after - row.before:+.{digits}f}",
            p,
            mark,
        )
    return table


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path, metavar="BEFORE.json")
    parser.add_argument("after", type=Path, metavar="AFTER.json")
    parser.add_argument("--tolerance", type=_not_negative, default=0.01, help="default: 0.01")
    parser.add_argument(
        "--latency-tolerance", type=_not_negative, default=1.5, help="a factor; default: 1.5"
    )
    return parser.parse_args(argv)


def _not_negative(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
