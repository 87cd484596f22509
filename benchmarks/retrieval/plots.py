"""The runs of a matrix as plots: quality with its intervals, and quality against latency."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval.paired import summary
from bruno_memory_vec.errors import MissingDependencyError

Report = Mapping[str, Any]
_BARS = ("recall@10", "ndcg@10")
_COLOURS = ("#4477aa", "#ccbb44")  # Paul Tol's "bright": told apart by the colour-blind


def require() -> None:
    """See that matplotlib is there, before hours of runs.

    Raises:
        MissingDependencyError: it is not installed.
    """
    _matplotlib("matplotlib")


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Two SVG files a data set; the same runs give the same bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    sections: dict[str, list[Report]] = {}
    for report in reports:
        if not (summary(report, "turns") or summary(report, "sessions")):
            continue  # all of its questions are of kinds that are reported apart
        data = report["data"]
        sections.setdefault(f"{data['name']}-{data['split']}", []).append(report)
    files = []
    with settings():
        for name, runs in sections.items():
            for kind, figure in (
                ("quality", _quality(name, runs)),
                ("latency", _latency(name, runs)),
            ):
                path = folder / f"{name}-{kind}.svg"
                saved(figure, path)
                files.append(path)
    return files


def draw_reliability(rows: Sequence[tuple[float, float, int]], path: Path) -> None:
    """How often the hits held an answer, against the confidence that they do.

    Args:
        rows: the mean confidence, that share, and the number of questions.
        path: the SVG file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with settings():
        figure, panel = axes(4.5, 4)
        panel.plot([0, 1], [0, 1], ":", color="#888888")
        panel.plot([mean for mean, _, _ in rows], [share for _, share, _ in rows], "o-")
        panel.set(xlabel="confidence", ylabel="an answer was among the first ten hits")
        panel.set(xlim=(0, 1), ylim=(0, 1))
        panel.grid(alpha=0.3)
        saved(figure, path)


def settings() -> Any:
    """A context in which figures come out the same each time.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    return _matplotlib("matplotlib").rc_context({"svg.hashsalt": "bruno", "font.size": 9})


def axes(width: float, height: float, *, columns: int | None = None) -> tuple[Any, Any]:
    """A figure of so many inches, and its panel; with ``columns`` a list of so many, side by side.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = _matplotlib("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    if columns is None:
        return figure, figure.subplots()
    return figure, list(figure.subplots(1, columns, sharey=True, squeeze=False)[0])


def saved(figure: Any, path: Path) -> None:
    """Write a figure as SVG, without a date."""
    figure.savefig(path, format="svg", metadata={"Date": None})


def _quality(name: str, runs: Sequence[Report]) -> Any:
    figure, panel = axes(6, 1.3 + 0.45 * len(runs))
    height = 0.8 / len(_BARS)
    for offset, (metric, colour) in enumerate(zip(_BARS, _COLOURS, strict=True)):
        found = [_figure(run, metric) for run in runs]
        places = [place + (offset - 0.5) * height for place in range(len(runs))]
        means = [mean for mean, _, _ in found]
        spread = [
            [mean - low for mean, low, _ in found],
            [high - mean for mean, _, high in found],
        ]
        panel.barh(places, means, height, xerr=spread, color=colour, label=metric, capsize=2)
    panel.set_yticks(range(len(runs)), _labels(runs))
    panel.invert_yaxis()
    panel.set(title=f"{name}, with 95 % intervals", xlim=(0, 1))
    figure.legend(loc="outside lower center", ncols=len(_BARS), frameon=False)
    return figure


def _latency(name: str, runs: Sequence[Report]) -> Any:
    figure, panel = axes(6, 4)
    times = [run["latency"]["p50_ms"] for run in runs]
    middle = (min(times) * max(times)) ** 0.5
    for run, time, label in zip(runs, times, _labels(runs), strict=True):
        point = (time, _figure(run, "ndcg@10")[0])
        panel.plot(*point, "o", color=_COLOURS[0])
        side, shift = ("left", 5) if time <= middle else ("right", -5)
        panel.annotate(label, point, xytext=(shift, 4), textcoords="offset points", ha=side)
    panel.set(title=name, xlabel="one question, p50, ms", ylabel="nDCG@10", xscale="log")
    panel.grid(alpha=0.3)
    return figure


def _figure(run: Report, metric: str) -> tuple[float, float, float]:
    mean, low, high = (summary(run, "turns") or summary(run, "sessions"))[metric]
    return mean, mean if low is None else low, mean if high is None else high


def _labels(runs: Sequence[Report]) -> list[str]:
    """The systems; with their embedders where there are several."""
    several = len({run["embedder"] for run in runs} - {None}) > 1
    return [
        f"{run['system']} / {run['embedder']}"
        if several and run["embedder"]
        else str(run["system"])
        for run in runs
    ]


def _matplotlib(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plots", cause=error) from error
