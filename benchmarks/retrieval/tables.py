"""The runs of a matrix as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.retrieval.metrics import FIGURES, UPDATE_FIGURES
from benchmarks.retrieval.paired import differences, summary

Report = Mapping[str, Any]
_MARKED = ("recall@10", "ndcg@10")
_BELOW = 0.05
_HEADS = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@20": "R@20",
    "ndcg@10": "nDCG@10",
    "mrr": "MRR",
}


def markdown(reports: Sequence[Report]) -> str:
    """One section a data set: gold by turn, by session, updates, and by category.

    ``*`` marks a recall@10 or nDCG@10 that differs from the first row's with p < 0.05 in the
    paired permutation test by group.
    """
    sections: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        key = (report["data"]["name"], report["data"]["split"])
        sections.setdefault(key, []).append(report)
    return "\n".join(
        line for (name, split), runs in sections.items() for line in _section(name, split, runs)
    )


def _section(name: str, split: str, runs: Sequence[Report]) -> Iterator[str]:
    data = runs[0]["data"]
    yield f"## {name} ({split})"
    yield ""
    yield f"{data['turns']} texts of {data['users']} users, {data['questions']} questions."
    yield ""
    marked = False
    for part, title in (("turns", ""), ("sessions", "Gold by session:")):
        if any(summary(run, part) for run in runs):
            if title:
                yield from (title, "")
            rows = [_row(run, runs[0], part) for run in runs]
            marked = marked or any("*" in cell for row in rows for cell in row)
            yield from _table([*_names(), *_quality_heads(), *_costs()], rows)
    if any(summary(run, "updates") for run in runs):
        yield from ("Newer statement found, and above the older:", "")
        yield from _table([*_names(), "n", *UPDATE_FIGURES], [_update_row(run) for run in runs])
    for part, title in (("by_category", "By category"), ("apart", "Reported apart")):
        categories = list(runs[0]["figures"].get(part, {}))
        if len(categories) > 1 or (part == "apart" and categories):
            yield from (f"{title}, recall@10 / nDCG@10:", "")
            yield from _table(
                [*_names(), *(_headed(runs[0], part, one) for one in categories)],
                [[*_who(run), *(_pair(run, part, one) for one in categories)] for run in runs],
            )
    if marked:
        yield from (f"\\* differs from the first row, p < {_BELOW} (paired, by group)", "")
    notes = [f"{what} {n}" for what, n in data["about"].items()]
    notes += [
        f"{run['system']}: {what} {n}" for run in runs for what, n in run["counts"].items() if n
    ]
    if notes:
        yield from ("; ".join(notes), "")


def _names() -> list[str]:
    return ["system", "embedder"]


def _quality_heads() -> list[str]:
    return ["n", *(_HEADS.get(name, name) for name in FIGURES), "nDCG@10, 95 %"]


def _costs() -> list[str]:
    return ["p50 ms", "p95 ms", "texts/s"]


def _who(run: Report) -> list[str]:
    return [str(run["system"]), str(run["embedder"] or "-")]


def _row(run: Report, first: Report, part: str) -> list[str]:
    found = summary(run, part)
    different: set[str] = set()
    if run is not first:
        pairs = differences(first, run, part, names=set(_MARKED))
        different = {pair.figure for pair in pairs if pair.p_groups < _BELOW}
    cells = [
        f"{found[name][0]:.3f}{'*' if name in different else ''}" if name in found else "-"
        for name in FIGURES
    ]
    _, low, high = found.get("ndcg@10", [None, None, None])
    cells.append("-" if low is None else f"{low:.3f}-{high:.3f}")
    latency = run["latency"]
    cells += [f"{latency['p50_ms']:.1f}", f"{latency['p95_ms']:.1f}"]
    store = run["store"]
    # Where vectors were there already, the time says nothing.
    cells.append("-" if "vectors_reused" in store else f"{store['texts_per_s']:,}")
    return [*_who(run), str(found.get("questions", 0)), *cells]


def _update_row(run: Report) -> list[str]:
    found = summary(run, "updates")
    cells = [f"{found[name][0]:.3f}" if name in found else "-" for name in UPDATE_FIGURES]
    return [*_who(run), str(found.get("questions", 0)), *cells]


def _headed(run: Report, part: str, category: str) -> str:
    return f"{category} ({run['figures'][part][category]['questions']})"


def _pair(run: Report, part: str, category: str) -> str:
    found = run["figures"].get(part, {}).get(category)
    return " / ".join(f"{found[name][0]:.3f}" for name in _MARKED) if found else "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = [
        "-" * width if place < 2 else "-" * (width - 1) + ":" for place, width in enumerate(widths)
    ]
    for cells in (heads, rule, *rows):
        padded = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        yield "| " + " | ".join(padded) + " |"
    yield ""
