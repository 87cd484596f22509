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
_SAVE = {"format": "svg", "metadata": {"Date": None}}


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
    with _settings():
        for name, runs in sections.items():
            for kind, figure in (
                ("quality", _quality(name, runs)),
                ("latency", _latency(name, runs)),
            ):
                path = folder / f"{name}-{kind}.svg"
                figure.savefig(path, **_SAVE)
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
    with _settings():
        figure, axes = _axes(4.5, 4)
        axes.plot([0, 1], [0, 1], ":", color="#888888")
        axes.plot([mean for mean, _, _ in rows], [share for _, share, _ in rows], "o-")
        axes.set(xlabel="confidence", ylabel="an answer was among the first ten hits")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
        figure.savefig(path, **_SAVE)


def _quality(name: str, runs: Sequence[Report]) -> Any:
    figure, axes = _axes(6, 1.3 + 0.45 * len(runs))
    height = 0.8 / len(_BARS)
    for offset, (metric, colour) in enumerate(zip(_BARS, _COLOURS, strict=True)):
        found = [_figure(run, metric) for run in runs]
        places = [place + (offset - 0.5) * height for place in range(len(runs))]
        means = [mean for mean, _, _ in found]
        spread = [
            [mean - low for mean, low, _ in found],
            [high - mean for mean, _, high in found],
        ]
        axes.barh(places, means, height, xerr=spread, color=colour, label=metric, capsize=2)
    axes.set_yticks(range(len(runs)), _labels(runs))
    axes.invert_yaxis()
    axes.set(title=f"{name}, with 95 % intervals", xlim=(0, 1))
    figure.legend(loc="outside lower center", ncols=len(_BARS), frameon=False)
    return figure


def _latency(name: str, runs: Sequence[Report]) -> Any:
    figure, axes = _axes(6, 4)
    times = [run["latency"]["p50_ms"] for run in runs]
    middle = (min(times) * max(times)) ** 0.5
    for run, time, label in zip(runs, times, _labels(runs), strict=True):
        point = (time, _figure(run, "ndcg@10")[0])
        axes.plot(*point, "o", color=_COLOURS[0])
        side, shift = ("left", 5) if time <= middle else ("right", -5)
        axes.annotate(label, point, xytext=(shift, 4), textcoords="offset points", ha=side)
    axes.set(title=name, xlabel="one question, p50, ms", ylabel="nDCG@10", xscale="log")
    axes.grid(alpha=0.3)
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


def _settings() -> Any:
    return _matplotlib("matplotlib").rc_context({"svg.hashsalt": "bruno", "font.size": 9})


def _axes(width: float, height: float) -> tuple[Any, Any]:
    figure = _matplotlib("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _matplotlib(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plots", cause=error) from error
