"""A report as Markdown: the targets, and the curves by size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.scale.targets import Verdict

Figures = Mapping[str, Any]

_RECALLS = {
    "recall_user": "one user, again",
    "recall_other_users": "one user, another each time",
    "recall_conversation": "one conversation",
    "recall_large_user": "one user of 100,000",
    "recall_all_users": "all users",
}
_MET = {True: "met", False: "**missed**", None: "not measured"}


def markdown(report: Figures, verdicts: Sequence[Verdict]) -> str:
    """The whole report: targets, recall, writes, opening, endurance."""
    stores = report["stores"]
    parts = [
        "## Targets",
        judged(verdicts),
        "The worst of the stores counts.",
        "## Recall against size",
        "p50 / p95 / p99 in ms, with the question's embedding; the engine's recall@10 against "
        "exact search.",
        grid(["store", "scope", "rows searched", "ms", "recall@10"], list(_recalls(stores)), 2),
        "## Writes against size",
        "One by one p50 / p95 in ms, else messages a second.",
        grid(["store", *_WRITES], _cells(stores, _WRITES)),
        "## Opening, memory and disk against size",
        "Imports are not counted. Memory in MiB: when opened, after 100 recalls of many users, at "
        "the peak, which includes recalls over all users.",
        grid(["store", *_OPENINGS], _cells(stores, _OPENINGS)),
    ]
    if report.get("endurance"):
        parts += _endured(report["endurance"])
    return "\n\n".join(parts) + "\n"


def judged(verdicts: Sequence[Verdict]) -> str:
    """The targets as a table."""
    return grid(
        ["target", "bound", "measured", ""],
        [[one.target, one.bound, one.measured or "-", _MET[one.met]] for one in verdicts],
        words=2,
    )


def _spread(*path: str) -> Callable[[Figures], str]:
    def cell(store: Figures) -> str:
        found = store[path[0]][path[1]]
        return f"{found['p50_ms']:.2f} / {found['p95_ms']:.2f}"

    return cell


def _rate(kind: str) -> Callable[[Figures], str]:
    return lambda store: f"{store['writing'][kind]['messages_per_s']:,}"


def _value(part: str, *names: str, digits: int = 0) -> Callable[[Figures], str]:
    def cell(store: Figures) -> str:
        # A store on a server has no files here.
        found = [store[part].get(name) for name in names]
        return " / ".join("-" if one is None else f"{one:,.{digits}f}" for one in found)

    return cell


_Columns = Mapping[str, Callable[[Figures], str]]
_WRITES: _Columns = {
    "`store_message`": _spread("writing", "store_message"),
    "100 callers": _rate("store_message_100_callers"),
    "bulk, by conversation": _rate("store_messages"),
    "bulk, one call": _rate("store_messages_one_call"),
    "from empty": lambda store: f"{store['bulk_build']['messages_per_s']:,}",
    "delete a conversation": _spread("writing", "delete_conversation"),
    "delete a memory": _spread("writing", "delete_memory"),
    "`get_context`": _spread("reading", "get_context"),
}
_OPENINGS: _Columns = {
    "open / first recall, ms": _value("opening", "open_ms", "first_recall_ms"),
    "memory": _value("opening", "resident_open_mib", "resident_mib", "peak_mib"),
    "peak while filled": _value("bulk_build", "peak_mib"),
    "disk, MiB": _value("prepared", "disk_mib"),
    "files": _value("prepared", "files"),
}


def _cells(stores: Sequence[Figures], columns: _Columns) -> list[list[str]]:
    return [[name_of(store), *(cell(store) for cell in columns.values())] for store in stores]


def name_of(store: Figures) -> str:
    """A store by its size: "10,000 rows, 100 users"."""
    users = store["users"]
    return f"{store['rows']:,} rows, {users:,} user{'s' if users > 1 else ''}"


def _recalls(stores: Sequence[Figures]) -> Iterator[list[str]]:
    for kind, scope in _RECALLS.items():
        for store in stores:
            found = store["reading"].get(kind)
            if found is not None:
                times = " / ".join(f"{found[f'p{p}_ms']:.2f}" for p in (50, 95, 99))
                share = f"{found['ann_recall@10']:.3f}"
                yield [name_of(store), scope, f"{found['rows_searched']:,}", times, share]


def _endured(found: Figures) -> list[str]:
    body = []
    for state in ("written", "compacted"):
        of = found[state]
        times = f"{of['p50_ms']:.2f} / {of['p95_ms']:.2f}"
        body.append([state, times, f"{of['files']:,}", f"{of['disk_mib']:,.1f}"])
    first, last = found["store_message_first_tenth"], found["store_message_last_tenth"]
    return [
        f"## After {found['writes']:,} single-message writes",
        grid(["store", "recall, p50 / p95 ms", "files", "disk, MiB"], body),
        f"`store_message` p50 {first['p50_ms']:.2f} ms in the first tenth, {last['p50_ms']:.2f} ms "
        f"in the last. Most files meanwhile: {found['most_files']:,}; most disk: "
        f"{found['most_disk_mib']:,.1f} MiB. Peak memory: {found['peak_mib']:,.0f} MiB.",
    ]


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table; its first ``words`` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = [
        "-" * width if place < words else "-" * (width - 1) + ":"
        for place, width in enumerate(widths)
    ]
    lines = []
    for cells in (heads, rule, *rows):
        padded = [
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join(lines)
