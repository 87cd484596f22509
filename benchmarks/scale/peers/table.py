"""A side-by-side report as Markdown: figures down, peers across."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.scale.peers import OURS

Figures = Mapping[str, Any]


def as_markdown(report: Figures) -> str:
    """The table, the ratios, the limit and the notes.

    Args:
        report: what `benchmarks.scale.side_by_side.run` returns.
    """
    parts = [_figures(report), _ratios(report), _limit(report), _notes(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(report: Figures) -> str:
    systems = {
        name: figures for name, figures in report["systems"].items() if "failed" not in figures
    }
    sizes = {group: asked["rows"] for group, asked in report["asked"].items()}
    groups = list(next(iter(systems.values()))["vector_recall_at_10"]) if systems else []
    lines: list[tuple[str, Callable[[Figures], str]]] = [
        ("version", lambda f: ", ".join(f["versions"].values())),
        ("rows held", lambda f: _rows(f["rows"], report["rows"])),
        ("bulk, rows/s", lambda f: f"{f['rows_per_s']:,}"),
        ("single write, p50 / p95", _calls("single_write", 95)),
        *(
            (f"recall, {_group(group, sizes)}, p50 / p95 / p99", _calls(f"recall_{group}", 95, 99))
            for group in groups
        ),
        (
            "processor time of a recall",
            lambda f: " / ".join(f"{f[f'recall_{group}']['cpu_ms']:.2f}" for group in groups),
        ),
        (
            "recall, one user, after the single writes",
            _calls("recall_one_user_after_writes", 95, 99),
        ),
        ("recall@10 of the vectors: " + ", ".join(groups).replace("_", " "), _nearest),
        ("open / first recall, ms", lambda f: f"{f['open_ms']:.0f} / {f['first_recall_ms']:.0f}"),
        (
            "resident (without packages and store), MiB",
            lambda f: f"{f['resident_mib']:.0f} ({f['resident_without_store_mib']:.0f})",
        ),
        ("disk, MiB / files", lambda f: f"{f['disk_mib']:,.0f} / {f['files']:,}"),
    ]
    body = [[label, *(cell(figures) for figures in systems.values())] for label, cell in lines]
    return _table(["times in ms", *systems], body)


def _ratios(report: Figures) -> str:
    ratios = {name: of for name, of in report["ratios"].items() if name != "limit"}
    if not ratios:
        return ""
    figures = list(dict.fromkeys(figure for of in ratios.values() for figure in of))
    body = [
        [figure.replace("_", " "), *(f"{of[figure]:.2f}" for of in ratios.values())]
        for figure in figures
    ]
    return f"{OURS} is so many times as fast, by p50:\n\n" + _table(["", *ratios], body)


def _limit(report: Figures) -> str:
    body = []
    ours = report["ratios"].get("limit", {})
    for group, asked in report["asked"].items():
        of = report["limit"][asked["user"]]
        body.append(
            [
                f"{of['rows']:,}",
                *(_spread(of[part], 95) for part in ("numpy_default", "numpy_one_thread")),
                _spread(of["tantivy"], 95),
                _spread(of, 95),
                f"{ours[f'recall_{group}']:.1f}" if ours else "",
            ]
        )
    head = ["rows of the user", "numpy", "numpy, one thread", "Tantivy", "limit"]
    return "The physical limit, p50 / p95 in ms:\n\n" + _table([*head, f"{OURS} / limit"], body)


def _notes(report: Figures) -> str:
    lines = []
    for name, figures in report["systems"].items():
        lines.append(f"- `{name}`: {figures['about']}.")
        if "failed" in figures:
            lines[-1] += f" Failed: {figures['failed'].strip().splitlines()[-1]}"
    return "\n".join(lines)


def _calls(name: str, *more: int) -> Callable[[Figures], str]:
    return lambda figures: _spread(figures[name], *more) if name in figures else ""


def _spread(figures: Figures, *more: int) -> str:
    return " / ".join(f"{figures[f'p{p}_ms']:.2f}" for p in (50, *more))


def _nearest(figures: Figures) -> str:
    shares = figures["vector_recall_at_10"].values()
    return " / ".join("none" if share is None else f"{share:.2f}" for share in shares)


def _group(group: str, sizes: Mapping[str, int]) -> str:
    return f"user of {sizes[group]:,}" if group in sizes else group.replace("_", " ")


def _rows(held: int, of: int) -> str:
    return f"{held:,}" if held == of else f"{held:,} of {of:,}"


def _table(head: list[str], body: list[list[str]]) -> str:
    rules = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rules, *body])
