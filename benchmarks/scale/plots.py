"""Cost against size, as SVG files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval.plots import require

Figures = Mapping[str, Any]

#: Paul Tol's "bright": told apart by the colour-blind.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
_SAVE = {"format": "svg", "metadata": {"Date": None}}
_SCOPES = {
    "recall_all_users": "all users",
    "recall_large_user": "a user of 100,000",
    "recall_other_users": "a user of about 1,000, another each time",
    "recall_user": "a user of 1,000, again",
    "recall_conversation": "a conversation of 50",
}

__all__ = ["COLOURS", "draw", "require", "save"]


def draw(report: Figures, folder: Path) -> list[Path]:
    """One SVG file a cost; the same report gives the same bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require()
    stores = report["stores"]
    plots: dict[str, Callable[[Any], None]] = {
        "scale-recall": lambda axes: _recall(axes, stores),
        "scale-write": lambda axes: _write(axes, stores),
        "scale-throughput": lambda axes: _throughput(axes, stores),
        "scale-open": lambda axes: _open(axes, stores),
        "scale-memory": lambda axes: _memory(axes, stores),
    }
    return save(plots, folder)


def save(plots: Mapping[str, Callable[[Any], None]], folder: Path) -> list[Path]:
    """Draw each plot, whose function is given its axes, over the rows of a store."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    settings = {"svg.hashsalt": "bruno", "font.size": 9}
    with importlib.import_module("matplotlib").rc_context(settings):
        for name, fill in plots.items():
            figure = importlib.import_module("matplotlib.figure").Figure(
                figsize=(6, 4), layout="constrained"
            )
            axes = figure.subplots()
            fill(axes)
            axes.set(xscale="log", xlabel="rows in the store")
            axes.grid(alpha=0.3)
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
            path = folder / f"{name}.svg"
            figure.savefig(path, **_SAVE)
            files.append(path)
    return files


def _recall(axes: Any, stores: Sequence[Figures]) -> None:
    """p50 as a line up to p95 as a shade, of the stores with the most users."""
    many = max(store["users"] for store in stores)
    for colour, (kind, label) in zip(COLOURS, _SCOPES.items(), strict=False):
        found = [
            (store["rows"], store["reading"][kind])
            for store in stores
            if kind in store["reading"] and store["users"] == _most_users(stores, store["rows"])
        ]
        if not found:
            continue
        sizes = [rows for rows, _ in found]
        middle = [of["p50_ms"] for _, of in found]
        axes.plot(sizes, middle, "o-", color=colour, label=label)
        axes.fill_between(
            sizes, middle, [of["p95_ms"] for _, of in found], color=colour, alpha=0.15, lw=0
        )
    axes.set(title=f"recall, p50 up to p95, up to {many:,} users", ylabel="ms", yscale="log")


def _write(axes: Any, stores: Sequence[Figures]) -> None:
    _lines(
        axes,
        stores,
        {
            "store_message": lambda store: store["writing"]["store_message"]["p50_ms"],
            "delete a conversation": lambda store: store["writing"]["delete_conversation"][
                "p50_ms"
            ],
            "delete a memory": lambda store: store["writing"]["delete_memory"]["p50_ms"],
            "get_context": lambda store: store["reading"]["get_context"]["p50_ms"],
        },
    )
    axes.set(title="one call, p50", ylabel="ms", yscale="log")


def _throughput(axes: Any, stores: Sequence[Figures]) -> None:
    _lines(
        axes,
        stores,
        {
            "100 callers of store_message": lambda store: store["writing"][
                "store_message_100_callers"
            ]["messages_per_s"],
            "store_messages, by conversation": lambda store: store["writing"]["store_messages"][
                "messages_per_s"
            ],
            "store_messages, one call": lambda store: store["writing"]["store_messages_one_call"][
                "messages_per_s"
            ],
        },
    )
    axes.set(title="writing, with embedding", ylabel="messages a second", yscale="log")


def _open(axes: Any, stores: Sequence[Figures]) -> None:
    _lines(
        axes,
        stores,
        {
            "open": lambda store: store["opening"]["open_ms"],
            "first recall": lambda store: store["opening"]["first_recall_ms"],
        },
    )
    axes.set(title="opening, imports not counted", ylabel="ms", yscale="log")


def _memory(axes: Any, stores: Sequence[Figures]) -> None:
    _lines(
        axes,
        stores,
        {
            "resident when opened": lambda store: store["opening"]["resident_open_mib"],
            "resident after 100 recalls": lambda store: store["opening"]["resident_mib"],
            "peak while filled": lambda store: store["bulk_build"]["peak_mib"],
            # A store on a server has no files here.
            "disk": lambda store: store["prepared"].get("disk_mib", float("nan")),
        },
    )
    axes.set(title="memory and disk", ylabel="MiB", yscale="log")


def _lines(
    axes: Any, stores: Sequence[Figures], lines: Mapping[str, Callable[[Figures], float]]
) -> None:
    """The stores with the most users of each size."""
    chosen = [one for one in stores if one["users"] == _most_users(stores, one["rows"])]
    sizes = [one["rows"] for one in chosen]
    for colour, (label, value) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(sizes, [value(one) for one in chosen], "o-", color=colour, label=label)


def _most_users(stores: Sequence[Figures], rows: int) -> int:
    return int(max(one["users"] for one in stores if one["rows"] == rows))
