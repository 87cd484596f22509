"""Budget against share of the evidence, as one SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.retrieval.plots import axes, saved, settings

#: What the systems with the best published answers on LoCoMo put into a prompt, in tokens.
OTHERS_PROMPT = 36_000
# Paul Tol's "bright": told apart by the colour-blind. Ours are drawn whole, others' are dashed.
_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#000000"),
    *("#ee8866", "#8899ff"),
)


def draw(report: Mapping[str, Any], path: Path) -> None:
    """A panel a data set; the same report gives the same bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    corpora = report["corpora"]
    first = corpora[0]["rows"][0]["count"]
    with settings():
        figure, panels = axes(max(5.0 * len(corpora), 8.0), 4.8, columns=len(corpora))
        labels: dict[str, str] = {}
        for panel, corpus in zip(panels, corpora, strict=True):
            for row in corpus["rows"]:
                if row["count"] != first:
                    continue
                label = row["way"] if row["embedder"] is None else _label(row)
                colour = labels.setdefault(label, _COLOURS[len(labels) % len(_COLOURS)])
                budgets = [int(budget) for budget in row["budgets"]]
                found = [one["share"][0] for one in row["budgets"].values()]
                style = "o-" if row["way"].startswith("build_context") else "s--"
                panel.plot(budgets, found, style, color=colour, label=label, markersize=3)
            panel.set(title=corpus["data"]["name"], xscale="log", ylim=(0, 1))
            panel.set_xlabel(f"tokens in the prompt, by {first}")
            ticks = [*budgets, OTHERS_PROMPT] if _is_locomo(corpus) else budgets
            panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            panel.set_xticks([], minor=True)
            panel.grid(alpha=0.3)
            if _is_locomo(corpus):
                panel.axvline(OTHERS_PROMPT, color="#888888", linestyle=":")
                panel.annotate(
                    "the systems with the best\npublished answers on LoCoMo\n"
                    f"put {OTHERS_PROMPT:,} tokens\ninto a prompt",
                    (OTHERS_PROMPT, 0.04),
                    xytext=(-4, 0),
                    textcoords="offset points",
                    ha="right",
                    fontsize=7,
                )
        panels[0].set_ylabel("share of the gold evidence inside the context")
        handles = {
            label: line
            for panel in panels
            for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False
        )
        saved(figure, path)


def _label(row: Mapping[str, Any]) -> str:
    if row["way"].startswith("vectors"):
        return f"{row['way']}, {row['embedder']}"
    return str(row["way"])


def _is_locomo(corpus: Mapping[str, Any]) -> bool:
    return bool(corpus["data"]["name"] == "locomo")
