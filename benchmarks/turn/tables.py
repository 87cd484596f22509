"""A report as Markdown: the targets, ours by size, and every system on the same store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.scale.tables import grid, judged, name_of
from benchmarks.scale.targets import Verdict
from benchmarks.turn.operations import OPERATIONS, Operation
from benchmarks.turn.systems import OURS
from benchmarks.turn.targets import peers_of, ratios

Figures = Mapping[str, Any]

_PARTS = {
    "store": "of it: store the user's message",
    "recall": "of it: recall right after the write",
    "answer": "of it: store the answer",
    "context": "of it: `get_context`",
}
_NOTHING = "-"


def markdown(report: Figures, verdicts: Sequence[Verdict]) -> str:
    """The whole report: targets, ours by size, each store with every system, the notes."""
    stores = report["stores"]
    parts = ["## Targets", judged(verdicts)]
    parts += [
        "## By size",
        "p50 / p95 in ms (processor time a call in ms, with what it leaves to the background), or "
        "messages a second (processor time a message).",
        _by_size(stores),
        *_memory(stores),
    ]
    for store in stores:
        if len(store["systems"]) > 1:
            parts += _side_by_side(store)
    return "\n\n".join(parts) + "\n"


def _by_size(stores: Sequence[Figures]) -> str:
    heads = ["", *(name_of(store) for store in stores)]
    of = [store["systems"][OURS]["operations"] for store in stores if OURS in store["systems"]]
    return grid(heads, list(_lines(of)))


def _memory(stores: Sequence[Figures]) -> Iterator[str]:
    lines = []
    for store in stores:
        found = store["systems"].get(OURS, {}).get("operations", {})
        if "memory" in found:
            used, nearest = found["memory"], found.get("exact", {})
            share = nearest.get("ann_recall@10")
            lines.append(
                [
                    name_of(store),
                    f"{used['resident_mib']:,.0f} after {used['users']:.0f} users",
                    f"{used['disk_mib']:,.0f}",
                    f"{used['files']:,.0f}",
                    _NOTHING if share is None else f"{share:.3f}",
                ]
            )
    if lines:
        yield grid(
            ["store", "resident, MiB", "disk, MiB", "files", "all users: recall@10 of the vectors"],
            lines,
        )


def _side_by_side(store: Figures) -> Iterator[str]:
    systems = store["systems"]
    yield f"## {name_of(store)}, side by side"
    heads = ["", *systems]
    holds = [_held(store, one) for one in systems.values()]
    body = [["rows held", *holds]]
    body += _lines([one.get("operations", {}) for one in systems.values()])
    yield grid(heads, body)
    peers = peers_of(store)
    if OURS in systems and peers:
        yield (
            "Ours is so many times as fast, by p50 or messages a second, and in brackets by "
            "processor time:"
        )
        yield grid(["", *(_mark(systems, peer) for peer in peers)], list(_ratios(store, peers)))
    yield _notes(store)


def _lines(columns: Sequence[Figures]) -> Iterator[list[str]]:
    for name, operation in OPERATIONS.items():
        found = [of.get(name) for of in columns]
        if not any(one is not None and _measured(one) for one in found):
            continue
        yield [operation.label, *(_cell(operation, one) for one in found)]
        if name == "turn":
            for part, label in _PARTS.items():
                parts = [one.get("parts", {}).get(part) if one else None for one in found]
                yield [label, *(_times(one) for one in parts)]


def _cell(operation: Operation, found: Figures | None) -> str:
    if found is None or not _measured(found):
        return _NOTHING
    if not operation.rate:
        text = _times(found)
        if operation.name == "compaction":
            text += f", p99 {found['p99_ms']:.2f}"
        return text
    missed = "" if found.get("found", True) else ", not found"
    return f"{found['messages_per_s']:,.0f}{missed} ({found['cpu_ms']:.3f})"


def _times(found: Figures | None) -> str:
    if found is None:
        return _NOTHING
    return f"{found['p50_ms']:.2f} / {found['p95_ms']:.2f} ({found['cpu_ms']:.2f})"


def _ratios(store: Figures, peers: Sequence[str]) -> Iterator[list[str]]:
    wall = {peer: ratios(store, peer) for peer in peers}
    used = {peer: ratios(store, peer, processor=True) for peer in peers}
    for name, operation in OPERATIONS.items():
        if any(name in of for of in wall.values()):
            yield [
                operation.label,
                *(
                    f"{wall[peer][name]:.2f} ({used[peer].get(name, 0):.2f})"
                    if name in wall[peer]
                    else _NOTHING
                    for peer in peers
                ),
            ]


def _notes(store: Figures) -> str:
    lines = []
    for name, system in store["systems"].items():
        said = [f"- `{name}` {', '.join(system['versions'].values())}: {system['about']}."]
        if "failed" in system:
            said.append(f"Failed: {system['failed']}.")
        if not system["by_meaning"]:
            said.append("What it stores is not searchable by meaning.")
        reasons: dict[str, list[str]] = {}
        for key, found in system.get("operations", {}).items():
            if key in OPERATIONS and "lacks" in found:
                reasons.setdefault(found["lacks"], []).append(OPERATIONS[key].label)
            elif key in OPERATIONS and "failed" in found:
                reasons.setdefault(f"failed: {found['failed']}", []).append(OPERATIONS[key].label)
            elif found.get("without_context"):
                reasons.setdefault("without `get_context`", []).append(OPERATIONS[key].label)
        said += [f"{'; '.join(which)}: {reason}." for reason, which in reasons.items()]
        lines.append(" ".join(said))
    return "\n".join(lines)


def _held(store: Figures, system: Figures) -> str:
    rows = system.get("built", {}).get("rows")
    return _NOTHING if rows is None else f"{rows:,}"


def _mark(systems: Figures, peer: str) -> str:
    return peer if systems[peer]["by_meaning"] else f"{peer} (words alone)"


def _measured(found: Figures) -> bool:
    return "lacks" not in found and "failed" not in found
