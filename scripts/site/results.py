"""The page of results: the JSONs of benchmarks/results as tables, with command and machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What every result says of itself; the rest are figures.
ABOUT = {
    "command", "commit", "python", "system", "machine", "cores", "memory_gib", "versions", "json",
    "format", "os", "code", "out", "table", "plots", "seconds", "settings", "seeds", "counts",
}  # fmt: skip
_DEEPEST = 4
_WIDEST = 8
_LONGEST = 40


def page(folder: Path) -> str:
    """Markdown with all results of a folder.

    Args:
        folder: it has ``*.json``, and ``retrieval/*.json`` with a run each.
    """
    parts = [
        "# Results\n",
        "Made from the JSON files that the benchmarks wrote, when this site was built. What they "
        "say is told in [Benchmarks](benchmarks.md). Times of different runs are of different "
        "days: compare within a table.\n",
        _retrieval(sorted((folder / "retrieval").glob("*.json"))),
    ]
    parts += [_result(path) for path in sorted(folder.glob("*.json"))]
    return "\n".join(parts)


def _retrieval(paths: Iterable[Path]) -> str:
    rows = []
    command = ""
    for path in paths:
        run = json.loads(path.read_text(encoding="utf-8"))
        figures = run["figures"]["headline"]
        data, seen = run["data"], run["latency"]
        command = f"`{run['command']}`, commit {run['commit']}, {run['cores']} cores"
        rows.append(
            [data["name"], data["questions"], run["system"], run["embedder"]]
            + [f"{figures[name][0]:.3f}" for name in ("recall@5", "recall@10", "ndcg@10")]
            + [f"{seen['p50_ms']:.1f}"]
        )
    names = [
        "data",
        "questions",
        "system",
        "embedder",
        "recall@5",
        "recall@10",
        "nDCG@10",
        "p50 ms",
    ]
    return f"## Retrieval\n\n{command}\n\n{_table(names, rows)}\n"


def _result(path: Path) -> str:
    run = json.loads(path.read_text(encoding="utf-8"))
    about = [f"`{run['command']}`"] if "command" in run else []
    about += [f"commit {run['commit']}"] if "commit" in run else []
    about += [f"{run['cores']} cores"] if "cores" in run else []
    about += [f"{run['memory_gib']} GiB"] if "memory_gib" in run else []
    figures = {key: value for key, value in run.items() if key not in ABOUT}
    title = path.stem.replace("-", " ").replace("_", " ").capitalize()
    return f"## {title}\n\n{', '.join(about)}\n\n{_figures(figures, 3)}\n"


def _figures(value: Mapping[str, Any], level: int) -> str:
    """A mapping as tables: of its plain values, and one for each mapping or list of mappings."""
    plain = [[_words(key), _cell(one)] for key, one in value.items() if _plain(one)]
    parts = [_table(["", ""], plain)] if plain else []
    mappings = {key: one for key, one in value.items() if isinstance(one, Mapping) and one}
    lines = [
        (key, [one for one in inner if isinstance(one, Mapping)])
        for key, inner in value.items()
        if isinstance(inner, list)
    ]
    if mappings and all(map(_flat, mappings.values())):
        parts.append(_together([({"": _words(key)} | dict(one)) for key, one in mappings.items()]))
    elif len(mappings) > 1 and all(_two_deep(one) for one in mappings.values()):
        parts.append(
            _together(
                [
                    {"": _words(outer), " ": _words(inner)} | dict(figures)
                    for outer, one in mappings.items()
                    for inner, figures in one.items()
                ]
            )
        )
    elif level <= _DEEPEST + 2:
        for key, one in mappings.items():
            parts.append(f"{'#' * min(level, 6)} {_words(key)}\n\n{_figures(one, level + 1)}")
    for key, several in lines:
        if several:
            flat = [{name: one for name, one in row.items() if _plain(one)} for row in several]
            parts.append(f"{'#' * min(level, 6)} {_words(key)}\n\n{_together(flat[:_LONGEST])}")
    return "\n\n".join(part for part in parts if part)


def _together(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))[:_WIDEST]
    return _table(
        [_words(name) for name in names], [[_cell(row.get(name)) for name in names] for row in rows]
    )


def _table(names: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _flat(value: Mapping[str, Any]) -> bool:
    return all(map(_plain, value.values()))


def _two_deep(value: Mapping[str, Any]) -> bool:
    return all(isinstance(one, Mapping) and _flat(one) for one in value.values())


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool) or _numbers(value)


def _numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= 3
        and all(isinstance(one, int | float) for one in value)
    )


def _words(name: str) -> str:
    return name.replace("_", " ").replace("|", "\\|")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if _numbers(value) and len(value) == 3:  # a figure and the interval around it
        return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
