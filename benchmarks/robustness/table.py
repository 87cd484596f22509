"""A robustness report as Markdown: figures down, stores across."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


def as_markdown(report: Figures) -> str:
    """The table and its notes.

    Args:
        report: what ``python -m benchmarks.robustness --json`` writes.
    """
    stores = {name: one for name, one in report["stores"].items() if "failed" not in one}
    lines: list[tuple[str, Callable[[Figures], str]]] = [
        ("version", lambda one: ", ".join(one["versions"].values())),
        ("**kill -9 while it writes**", lambda one: f"{one['kills']['kills']} kills"),
        *_left("kills"),
        ("did not open after a kill", lambda one: f"{one['kills']['did_not_open']}"),
        ("**several processes at once**", lambda one: f"{one['at_once']['writers']} processes"),
        ("refused when they opened it", lambda one: f"{one['at_once']['refused_to_open']}"),
        ("rows that failed with an error", lambda one: f"{one['at_once']['failed']:,}"),
        *_left("at_once"),
        ("**a file of an index cut in half**", _files),
        ("opens", lambda one: _of(one["indexes"], "opened")),
        ("all rows there and found", lambda one: _of(one["indexes"], "whole")),
        (
            "most rows that cannot be read",
            lambda one: _of(one["indexes"], "unreadable", share=False),
        ),
    ]
    body = [[label, *(cell(one) for one in stores.values())] for label, cell in lines]
    rules = ["---"] + ["---:"] * len(stores)
    table = "\n".join(
        "| " + " | ".join(row) + " |" for row in [["", *stores], rules, *body] if stores
    )
    return f"{table}\n\n{_notes(report)}\n"


def _left(part: str) -> list[tuple[str, Callable[[Figures], str]]]:
    def of(key: str) -> Callable[[Figures], str]:
        return lambda one: f"{one[part]['left'][key]:,}"

    def opens(one: Figures) -> str:
        return "yes" if one[part]["left"]["opens"] else "no"

    def found(one: Figures) -> str:
        return f"{one[part]['left']['found']} of {one[part]['left']['asked']}"

    return [
        ("rows acknowledged", of("acknowledged")),
        ("lost", of("lost")),
        ("doubled", of("doubled")),
        ("opens again", opens),
        ("found by a search", found),
    ]


def _files(one: Figures) -> str:
    files = one["indexes"]["files"]
    return f"{files} files" if files else "no such file"


def _of(cut: Figures, key: str, *, share: bool = True) -> str:
    if not cut["files"]:
        return "-"
    return f"{cut[key]} of {cut['files']}" if share else f"{cut[key]:,}"


def _notes(report: Figures) -> str:
    lines = []
    for name, one in report["stores"].items():
        if "failed" in one:
            lines.append(f"- `{name}` failed: {one['failed'].strip().splitlines()[-1]}")
            continue
        lines.append(f"- `{name}`: {one['note']}.")
        if said := one["at_once"]["said"]:
            lines.append(f"  At once, most said: `{said[:160]}`")
        for file, problem in list(one["indexes"]["worst"].items())[:3]:
            lines.append(f"  `{file}` cut: `{problem[:160]}`")
    return "\n".join(lines)
