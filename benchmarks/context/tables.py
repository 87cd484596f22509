"""The shares as a table: a row a way, a column a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown(report: Mapping[str, Any]) -> str:
    """The tables of a report, one a data set and count of tokens, and the times."""
    parts = []
    for corpus in report["corpora"]:
        for count in dict.fromkeys(row["count"] for row in corpus["rows"]):
            rows = [row for row in corpus["rows"] if row["count"] == count]
            parts.append("\n".join(_table(corpus["data"], count, rows)))
        found = ", ".join(f"{depth}: {_two(share)}" for depth, share in corpus["found"].items())
        parts.append(f"Gold among the best hits: {found}.")
    if "speed" in report:
        parts.append("\n".join(_times(report["speed"])))
    if "compression" in report:
        parts.append("\n".join(_compressed(report["compression"])))
    return "\n\n".join([*parts, *report["left_out"]])


def _table(data: Mapping[str, Any], count: str, rows: list[dict[str, Any]]) -> list[str]:
    budgets = list(rows[0]["budgets"])
    heads = [f"{data['name']}, tokens by {count}", *(f"{int(budget):,}" for budget in budgets)]
    lines = [_line(heads), _line(["---", *("--:" for _ in budgets)])]
    for row in rows:
        name = row["way"] if row["embedder"] is None else f"{row['way']}, {row['embedder']}"
        cells = []
        for budget in budgets:
            found = row["budgets"][budget]
            mean, whole = found["share"][0], found["whole"]
            same = _two(mean) == _two(whole)
            cells.append(_two(mean) if same else f"{_two(mean)} ({_two(whole)})")
        lines.append(_line([name, *cells]))
    return lines


def _times(speed: Mapping[str, Any]) -> list[str]:
    heads = [
        f"one conversation of {speed['data']}, {speed['turns']:,} turns",
        "p50 ms",
        "p95 ms",
        "processor ms",
    ]
    lines = [_line(heads), _line(["---", "--:", "--:", "--:"])]
    for strategy, times in speed["strategies"].items():
        figures = (times["p50_ms"], times["p95_ms"], times["cpu_ms"])
        lines.append(_line([strategy, *(f"{figure:.1f}" for figure in figures)]))
    return lines


def _compressed(found: Mapping[str, Any]) -> list[str]:
    budgets = list(found["before"])
    heads = [
        f"{found['data']}, {found['turns']:,} turns, hybrid",
        "tokens of the summaries",
        *(f"{int(budget):,}" for budget in budgets),
        "names, numbers, dates, rare terms kept",
    ]
    lines = [_line(heads), _line(["---", *("--:" for _ in heads[1:])])]
    shares = [_two(found["before"][budget]["share"][0]) for budget in budgets]
    lines.append(_line(["before", "", *shares, ""]))
    for one in found["after"]:
        shares = [_two(one["budgets"][budget]["share"][0]) for budget in budgets]
        kept = ", ".join(_two(share) for share in one["kept"].values())
        name = f"after, ratio at most {one['ratio_wanted']}"
        lines.append(_line([name, f"{one['ratio']:.0%}", *shares, kept]))
        archived = one.get("with_archived")
        if archived is not None:
            shares = [_two(archived[budget]["share"][0]) for budget in budgets]
            lines.append(_line(["the same, `include_archived=True`", "", *shares, ""]))
    return lines


def _two(share: float) -> str:
    return f"{share:.3f}".removeprefix("0") if share < 1 else "1.000"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
