"""A run of the micro-benchmarks, made small, and two of them side by side."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bruno_memory_vec.errors import InvalidInputError

# With one thread for each product of matrices: they are small, and on a busy machine the threads'
# waiting for each other takes up to a hundred times as long as the product.
COMMAND = (
    "OPENBLAS_NUM_THREADS=1 python -m pytest benchmarks/micro --benchmark-only "
    "--benchmark-json=RUN.json"
)

# Named one by one: pytest-benchmark's own file holds the host's name, paths and all times.
_ABOUT = (
    "commit",
    "python",
    "system",
    "machine",
    "cores",
    "memory_gib",
    "openblas_threads",
    "versions",
)
_FIGURES = ("min", "median", "iqr")
_MICROS = 1e6
_DIGITS = 4

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One benchmark in two runs.

    Attributes:
        name: of the benchmark.
        before: median in the first run, microseconds.
        after: median in the second, microseconds.
        ratio: how many times as long it takes, the smaller of the ratios of median and minimum:
            what is truly slower is slower in both. Divided by the median of all these ratios where
            the machines differ in speed.
        slower: whether the ratio is above the tolerance.
    """

    name: str
    before: float
    after: float
    ratio: float
    slower: bool


def load(path: Path) -> Report:
    """A run's file, or one that :func:`shrink` made.

    Returns:
        ``command``, what it was measured with, and ``figures``: by name, ``min``, ``median`` and
        ``iqr`` in microseconds and the number of ``rounds``.

    Raises:
        InvalidInputError: it cannot be read, or is neither.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if "figures" in found else shrink(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            "report",
            f"{path} is not a run of the micro-benchmarks: {type(error).__name__}: {error}",
            fix=f"Make one with: {COMMAND}",
            cause=error,
        ) from error


def shrink(run: Mapping[str, Any]) -> Report:
    """What is kept of a file of ``--benchmark-json``.

    Raises:
        KeyError: it is no such file, or its benchmarks are not of this folder.
    """
    about = run["machine_info"]["measured_with"]
    return {
        "command": COMMAND,
        **{name: about[name] for name in _ABOUT},
        "runs": 1,
        "unit": "microseconds",
        "figures": {
            _name(one["fullname"]): {
                **{name: _rounded(one["stats"][name] * _MICROS) for name in _FIGURES},
                "rounds": one["stats"]["rounds"] * one["stats"]["iterations"],
            }
            for one in sorted(run["benchmarks"], key=lambda one: str(one["fullname"]))
        },
    }


def best(reports: Sequence[Report]) -> Report:
    """Of several runs, each benchmark from the run where its median is the lowest.

    The more runs, the lower: compare with as many. ``runs`` says how many, ``commit`` names every
    commit among them.

    Args:
        reports: from :func:`load`, at least one.

    Raises:
        InvalidInputError: they were measured with different machines, versions or settings.
    """
    figures: dict[str, Any] = {}
    for report in reports:
        for name in _ABOUT:
            if name != "commit" and report[name] != reports[0][name]:
                raise InvalidInputError(
                    "reports",
                    f"{name} is {reports[0][name]} in one and {report[name]} in another",
                    fix="Make all of them in one place.",
                )
        for name, found in report["figures"].items():
            if name not in figures or found["median"] < figures[name]["median"]:
                figures[name] = found
    return {
        **reports[0],
        "commit": ", ".join(dict.fromkeys(str(report["commit"]) for report in reports)),
        "runs": sum(report["runs"] for report in reports),
        "figures": dict(sorted(figures.items())),
    }


def write(report: Report, path: Path) -> None:
    """As JSON, one benchmark a line, so that two versions of a baseline can be compared by eye."""
    figures = report["figures"]
    lines = [f"    {json.dumps(name)}: {json.dumps(figures[name])}" for name in figures]
    head = json.dumps({**report, "figures": "HERE"}, indent=2)
    text = head.replace('"HERE"', "{\n" + ",\n".join(lines) + "\n  }")
    path.write_text(text + "\n", encoding="utf-8")


def compare(before: Report, after: Report, *, tolerance: float, relative: bool) -> list[Row]:
    """Every benchmark of both, the slower ones first.

    Args:
        before: from :func:`load`.
        after: from :func:`load`.
        tolerance: how many times as long a benchmark may take.
        relative: take out what all benchmarks have in common, as from one machine to another.

    Raises:
        InvalidInputError: they have no benchmark in common.
    """
    old, new = before["figures"], after["figures"]
    ratios = {
        name: min(new[name][figure] / old[name][figure] for figure in ("median", "min"))
        for name in old
        if name in new
    }
    if not ratios:
        raise InvalidInputError(
            "reports", "they have no benchmark in common", fix=f"Make both with: {COMMAND}"
        )
    shared = statistics.median(ratios.values()) if relative else 1.0
    rows = [
        Row(
            name,
            old[name]["median"],
            new[name]["median"],
            ratio / shared,
            ratio / shared > tolerance,
        )
        for name, ratio in ratios.items()
    ]
    return sorted(rows, key=lambda row: -row.ratio)


def _name(fullname: str) -> str:
    """``recall: recall[fast]`` of ``benchmarks/micro/bench_recall.py::test_recall[fast]``."""
    file, _, function = fullname.partition("::")
    return f"{Path(file).stem.removeprefix('bench_')}: {function.removeprefix('test_')}"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
