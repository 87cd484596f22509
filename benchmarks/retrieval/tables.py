"""The runs of a matrix as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from benchmarks.retrieval.metrics import FIGURES, UPDATE_FIGURES
from benchmarks.retrieval.paired import differences, summary, values
from benchmarks.retrieval.significance import MIN_GROUPS

Report = Mapping[str, Any]
_MARKED = ("recall@10", "ndcg@10")
_BELOW = 0.05
# By the run and the part of its figures: the mark of each figure that has one.
_Marks: TypeAlias = Mapping[tuple[int, str], Mapping[str, str]]
_HEADS = {
    "recall@1": "R@1",
    "recall@5": "R@5",
    "recall@10": "R@10",
    "recall@20": "R@20",
    "ndcg@10": "nDCG@10",
    "mrr": "MRR",
}


def markdown(reports: Sequence[Report]) -> str:
    """All data sets in one table where there are several, then one section a data set.

    A section has gold by turn, by session, updates, and figures by category. Every mark is of a
    recall@10 or nDCG@10 that differs from the first row's of that data set with p < 0.05 in the
    paired permutation test: ``*`` where whole groups were swapped. Where there are too few groups
    for that (`MIN_GROUPS`), ``°`` is of single questions, which takes them for independent.
    """
    sections: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        key = (report["data"]["name"], report["data"]["split"])
        sections.setdefault(key, []).append(report)
    marks = {
        (id(run), part): _differing(runs[0], run, part)
        for runs in sections.values()
        for run in runs
        for part in ("turns", "sessions")
    }
    lines = [*_overall(sections, marks)] if len(sections) > 1 else []
    for (name, split), runs in sections.items():
        lines += _section(name, split, runs, marks)
    return "\n".join(lines)


def _overall(sections: Mapping[tuple[str, str], Sequence[Report]], marks: _Marks) -> Iterator[str]:
    """A row a system, a column a data set: recall@10 / nDCG@10, and the mean of each."""
    heads: list[str] = []
    columns: list[Mapping[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, str]]]] = []
    for (name, split), runs in sections.items():
        part = "turns" if any(summary(run, "turns") for run in runs) else "sessions"
        found = {_who(run): (summary(run, part), marks[id(run), part]) for run in runs}
        if any(figures for figures, _ in found.values()):
            heads.append(name if split == "all" else f"{name} ({split})")
            columns.append(found)
    rows = []
    for who in dict.fromkeys(who for column in columns for who in column):
        own = [column.get(who, ({}, {})) for column in columns]
        cells = [
            " / ".join(f"{figures[one][0]:.3f}{marked.get(one, '')}" for one in _MARKED)
            if figures
            else "-"
            for figures, marked in own
        ]
        mean = "-"
        if all(figures for figures, _ in own):
            mean = " / ".join(
                f"{sum(figures[one][0] for figures, _ in own) / len(own):.3f}" for one in _MARKED
            )
        rows.append([*who, *cells, mean])
    yield from (
        "## All data sets",
        "",
        "recall@10 / nDCG@10, and in the last column their means.",
        "",
    )
    yield from _table([*_names(), *heads, "mean"], rows)
    yield from _legend(
        mark for column in columns for _, own in column.values() for mark in own.values()
    )


def _section(name: str, split: str, runs: Sequence[Report], marks: _Marks) -> Iterator[str]:
    data = runs[0]["data"]
    yield f"## {name} ({split})"
    yield ""
    yield f"{data['turns']} texts of {data['users']} users, {data['questions']} questions."
    yield ""
    used: list[str] = []
    for part, title in (("turns", ""), ("sessions", "Gold by session:")):
        if any(summary(run, part) for run in runs):
            if title:
                yield from (title, "")
            rows = [_row(run, marks[id(run), part], part) for run in runs]
            used += [mark for run in runs for mark in marks[id(run), part].values()]
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
    yield from _legend(used)
    notes = [f"{what} {n}" for what, n in data["about"].items()]
    notes += [
        f"{run['system']}: {what} {n}" for run in runs for what, n in run["counts"].items() if n
    ]
    if notes:
        yield from ("; ".join(notes), "")


def _legend(used: Iterable[str]) -> Iterator[str]:
    """What the marks in a table mean."""
    for mark in sorted(set(used)):
        of = "by group" if mark == "*" else "by question: there are too few groups"
        shown = mark.replace("*", "\\*")
        yield from (f"{shown} differs from the first row, p < {_BELOW} (paired, {of})", "")


def _differing(first: Report, run: Report, part: str) -> dict[str, str]:
    """The mark of each figure that differs from that of the first run."""
    found = values(first, part)
    if run is first or found is None:
        return {}
    few = len(set(found.groups)) < MIN_GROUPS
    pairs = differences(first, run, part, names=set(_MARKED))
    chance = {pair.figure: pair.p_questions if few else pair.p_groups for pair in pairs}
    return {name: "°" if few else "*" for name, p in chance.items() if p < _BELOW}


def _names() -> list[str]:
    return ["system", "embedder"]


def _quality_heads() -> list[str]:
    return ["n", *(_HEADS.get(name, name) for name in FIGURES), "nDCG@10, 95 %"]


def _costs() -> list[str]:
    return ["p50 ms", "p95 ms", "texts/s"]


def _who(run: Report) -> tuple[str, str]:
    return (str(run["system"]), str(run["embedder"] or "-"))


def _row(run: Report, marks: Mapping[str, str], part: str) -> list[str]:
    found = summary(run, part)
    cells = [
        f"{found[name][0]:.3f}{marks.get(name, '')}" if name in found else "-" for name in FIGURES
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
