"""Cost against size, as SVG files: ours by operation, and a recall and a turn of every system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scale.plots import COLOURS, require, save
from benchmarks.turn.systems import OURS
from benchmarks.turn.targets import figure

__all__ = ["draw", "require"]

Store = Mapping[str, Any]
_LATENCIES = {
    "a turn": ("turn", "p50_ms"),
    "recall right after a write": ("turn", "parts", "recall", "p50_ms"),
    "recall, the same user again": ("recall_again", "p50_ms"),
    "recall, another user each time": ("recall_others", "p50_ms"),
    "recall, all users": ("recall_all", "p50_ms"),
    "store_message": ("store", "p50_ms"),
    "get_context": ("context", "p50_ms"),
}
_RATES = {
    "100 callers": ("callers", "messages_per_s"),
    "1,000 callers at once": ("at_once", "messages_per_s"),
    "bulk, one call": ("one_call", "messages_per_s"),
    "bulk, conversations of 50": ("conversations", "messages_per_s"),
}


def draw(stores: Sequence[Store], folder: Path) -> list[Path]:
    """One SVG file a plot; the same report gives the same bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require()
    ours: dict[str, Callable[[Any], None]] = {
        "turn-latency": partial(_ours, stores, _LATENCIES, "ours, p50", "ms"),
        "turn-throughput": partial(_ours, stores, _RATES, "ours, writing", "messages a second"),
    }
    beside: dict[str, Callable[[Any], None]] = {
        "turn-systems": partial(_systems, stores, ("turn", "p50_ms"), "a turn, p50"),
        "turn-systems-processor": partial(
            _systems, stores, ("turn", "cpu_ms"), "a turn, processor time"
        ),
        "turn-recall-processor": partial(
            _systems, stores, ("recall_again", "cpu_ms"), "recall again, processor time"
        ),
    }
    return save({**ours, **beside}, folder)


def _ours(
    stores: Sequence[Store], lines: Mapping[str, Sequence[str]], title: str, unit: str, axes: Any
) -> None:
    for colour, (label, path) in zip(COLOURS, lines.items(), strict=False):
        _line(axes, stores, OURS, path, label, colour)
    axes.set(title=title, ylabel=unit, yscale="log")


def _systems(stores: Sequence[Store], path: Sequence[str], title: str, axes: Any) -> None:
    names = list(dict.fromkeys(name for store in stores for name in store["systems"]))
    for colour, name in zip(COLOURS, names, strict=False):
        _line(axes, stores, name, path, name, colour)
    axes.set(title=title, ylabel="ms", yscale="log")


def _line(
    axes: Any, stores: Sequence[Store], system: str, path: Sequence[str], label: str, colour: str
) -> None:
    """Of each size the store with the most users."""
    most = {
        rows: max((s for s in stores if s["rows"] == rows), key=lambda s: int(s["users"]))
        for rows in sorted({store["rows"] for store in stores})
    }
    points = [(rows, figure(store, system, *path)) for rows, store in most.items()]
    points = [(rows, value) for rows, value in points if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label)
