"""What was to be reached, and whether it was: one line a target, judged by the slowest store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Figures = Mapping[str, Any]
Report = Mapping[str, Any]

_THOUSAND, _LARGE, _MILLION = 1_000, 100_000, 1_000_000
# What is asked of the two sizes: recall p50 and p95 in ms, open and first recall in ms.
_BY_SIZE = {_LARGE: (3.0, 8.0, 1_000.0), _MILLION: (5.0, 12.0, 3_000.0)}
_SIZE_NAMES = {_LARGE: "100k", _MILLION: "1M"}
_OF_LIMIT = 3.0
_LARGE_MS, _ANN = 12.0, 0.95
_STORE_MS, _CALLERS_RATE, _BULK_RATE, _CONTEXT_MS = 4.0, 4_000.0, 15_000.0, 0.5
_WRITES, _ROT, _FILES, _DISK = 100_000, 1.3, 300, 1.5
_RESIDENT_MB = 600.0
_MB_PER_MIB = 2**20 / 1e6


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target and what was measured.

    Attributes:
        target: what was to be reached.
        bound: in words, with its unit.
        measured: in words, with its unit; empty where it was not measured.
        met: None where it was not measured.
    """

    target: str
    bound: str
    measured: str = ""
    met: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def judge(report: Report) -> list[Verdict]:
    """Every target, in the order of the list. A bound that is reached exactly is met.

    Where several stores were measured, the worst of their figures counts.
    """
    stores = report["stores"]
    return [
        *_one_user(stores),
        *_large_user(stores),
        *_writes(stores),
        at_most(
            "`get_context`, warm, p50",
            _figure(stores, "reading", "get_context", "p50_ms"),
            _CONTEXT_MS,
            "ms",
        ),
        *_endurance(report.get("endurance")),
        _resident(stores),
        *_opening(stores),
        *_peers(report.get("side_by_side", [])),
    ]


def _one_user(stores: Sequence[Figures]) -> Iterator[Verdict]:
    kinds = {"recall_user": "the same again", "recall_other_users": "another each time"}
    for rows, (p50, p95, _) in _BY_SIZE.items():
        of_size = [
            one
            for one in stores
            if one["rows"] == rows and one["reading"]["recall_user"]["rows_searched"] == _THOUSAND
        ]
        for kind, which in kinds.items():
            name = f"recall, one user of 1,000 rows among {_SIZE_NAMES[rows]}, {which}"
            yield at_most(f"{name}, p50", _figure(of_size, "reading", kind, "p50_ms"), p50, "ms")
            yield at_most(f"{name}, p95", _figure(of_size, "reading", kind, "p95_ms"), p95, "ms")
        ratios = [
            one["reading"]["recall_user"]["p50_ms"] / one["limit"]["one_user"]["p50_ms"]
            for one in of_size
            if one.get("limit")
        ]
        name = f"recall, one user of 1,000 rows among {_SIZE_NAMES[rows]}, of the physical limit"
        yield at_most(name, ratios, _OF_LIMIT, "x")


def _large_user(stores: Sequence[Figures]) -> Iterator[Verdict]:
    found = [one for one in stores if "recall_large_user" in one["reading"]]
    name = "recall over a user of 100k rows"
    times = _figure(found, "reading", "recall_large_user", "p50_ms")
    yield at_most(f"{name}, p50", times, _LARGE_MS, "ms")
    shares = _figure(found, "reading", "recall_large_user", "ann_recall@10")
    yield at_least(f"{name}, ANN recall@10", shares, _ANN, "")


def _writes(stores: Sequence[Figures]) -> Iterator[Verdict]:
    alone = _figure(stores, "writing", "store_message", "p50_ms")
    yield at_most("`store_message`, one caller, p50", alone, _STORE_MS, "ms")
    for kind, name, bound in (
        ("store_message_100_callers", "`store_message`, 100 callers", _CALLERS_RATE),
        ("store_messages", "bulk with embedding, conversations of 50", _BULK_RATE),
        ("store_messages_one_call", "bulk with embedding, one call of 10,000", _BULK_RATE),
    ):
        rates = _figure(stores, "writing", kind, "messages_per_s")
        yield at_least(name, rates, bound, "messages/s")


def _endurance(found: Figures | None) -> Iterator[Verdict]:
    name = "after 100,000 single-message writes"
    # What fewer writes give says nothing about that many.
    whole = found if found is not None and found["writes"] >= _WRITES else None
    ratio = [] if whole is None else [whole["recall_ratio"]]
    yield at_most(f"{name}, recall p50 against a freshly compacted store", ratio, _ROT, "x")
    files = [] if whole is None else [whole["written"]["files"]]
    yield verdict(
        f"{name}, files", f"fewer than {_FILES}", files, max, lambda n: n < _FILES, "files"
    )
    disk = [] if whole is None else [whole["disk_ratio"]]
    yield at_most(f"{name}, disk against a freshly compacted store", disk, _DISK, "x")


def _resident(stores: Sequence[Figures]) -> Verdict:
    of_size = [one for one in stores if one["rows"] == _MILLION]
    found = [mib * _MB_PER_MIB for mib in _figure(of_size, "opening", "resident_mib")]
    return at_most("resident memory at 1M rows", found, _RESIDENT_MB, "MB")


def _opening(stores: Sequence[Figures]) -> Iterator[Verdict]:
    for rows, (_, _, bound) in _BY_SIZE.items():
        of_size = [one for one in stores if one["rows"] == rows]
        found = _figure(of_size, "opening", "open_and_first_recall_ms")
        name = f"open + first recall at {_SIZE_NAMES[rows]} rows"
        yield at_most(name, [ms / 1000 for ms in found], bound / 1000, "s")


def _peers(reports: Sequence[Report]) -> Iterator[Verdict]:
    if not reports:
        yield Verdict("against every peer: recall and ingestion, as ratios", "above 1 x")
    for report in reports:
        for peer, ratios in report["ratios"].items():
            if peer != "limit":
                said = ", ".join(f"{name.replace('_', ' ')} {x:g}" for name, x in ratios.items())
                name = f"against {peer} at {report['rows']:,} rows, slowest of: {said}"
                yield verdict(name, "above 1 x", list(ratios.values()), min, lambda x: x > 1, "x")


def _figure(stores: Sequence[Figures], *path: str) -> list[float]:
    """A figure of each of the stores that has it."""
    found = []
    for store in stores:
        value: Any = store
        for name in path:
            value = value.get(name, {})
        if value != {}:
            found.append(float(value))
    return found


def at_most(target: str, found: Sequence[float], bound: float, unit: str) -> Verdict:
    """Met where no figure is above the bound."""
    return verdict(target, f"≤ {bound:g} {unit}".strip(), found, max, lambda x: x <= bound, unit)


def at_least(target: str, found: Sequence[float], bound: float, unit: str) -> Verdict:
    """Met where no figure is below the bound."""
    words = f"≥ {_number(bound)} {unit}".strip()
    return verdict(target, words, found, min, lambda x: x >= bound, unit)


def verdict(
    target: str,
    bound: str,
    found: Sequence[float],
    worst: Callable[[Sequence[float]], float],
    good: Callable[[float], bool],
    unit: str,
) -> Verdict:
    """A target judged by the worst of its figures; not measured where there are none."""
    if not found:
        return Verdict(target, bound)
    value = worst(found)
    return Verdict(target, bound, f"{_number(value)} {unit}".strip(), good(value))


def _number(value: float) -> str:
    # Three significant digits or more: a miss by little must not look like the bound.
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"
