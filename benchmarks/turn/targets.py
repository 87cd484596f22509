"""What was to be reached, and whether it was: by size of the store, and against each peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.targets import Verdict, at_least, at_most, verdict
from benchmarks.turn.operations import OPERATIONS
from benchmarks.turn.systems import LIMIT, OURS

Store = Mapping[str, Any]
_TEN, _HUNDRED, _MILLION = 10_000, 100_000, 1_000_000
_NAMES = {1_000: "1k", _TEN: "10k", _HUNDRED: "100k", _MILLION: "1M"}
#: The floor: whose processor time a recall is to stay below.
FLOOR = "sqlite_vec"
#: What stores rows and does nothing else.
INSERTS = ("store", "callers", "at_once", "one_call", "conversations")
_MB_PER_MIB = 2**20 / 1e6


@dataclass(frozen=True, slots=True)
class _Bound:
    """A bound of one of our figures.

    Attributes:
        label: what is bounded.
        path: where the figure stands below a system's operations.
        most: by size of the store, its largest value, or its least if ``least``.
        unit: of the value.
        least: whether the value is to be at least that.
    """

    label: str
    path: tuple[str, ...]
    by_size: Mapping[int | None, float]
    unit: str = "ms"
    least: bool = False


# None: at every size.
_BOUNDS = (
    _Bound("a turn, p50", ("turn", "p50_ms"), {_TEN: 5, _MILLION: 7}),
    _Bound("a turn, p95", ("turn", "p95_ms"), {_TEN: 12, _MILLION: 15}),
    _Bound("recall right after a write, p50", ("turn", "parts", "recall", "p50_ms"), {None: 2.5}),
    _Bound(
        "recall again, user of 1,000, p50",
        ("recall_again", "p50_ms"),
        {_HUNDRED: 1.5, _MILLION: 2.5},
    ),
    _Bound(
        "recall, another user each time, p50",
        ("recall_others", "p50_ms"),
        {_HUNDRED: 6, _MILLION: 8},
    ),
    _Bound("recall, user of 100,000 rows, p50", ("recall_large", "p50_ms"), {None: 8}),
    _Bound("recall, all users, p50", ("recall_all", "p50_ms"), {_TEN: 8, _MILLION: 40}),
    _Bound(
        "recall, all users, recall@10 of the vectors",
        ("exact", "ann_recall@10"),
        {None: 0.95},
        unit="",
        least=True,
    ),
    _Bound("`store_message`, one caller, p50", ("store", "p50_ms"), {None: 1}),
    _Bound(
        "`store_message`, 100 callers",
        ("callers", "messages_per_s"),
        {None: 6_000},
        "a second",
        True,
    ),
    _Bound("bulk, one call", ("one_call", "messages_per_s"), {None: 15_000}, "a second", True),
    _Bound(
        "bulk, conversations of 50 one by one",
        ("conversations", "messages_per_s"),
        {None: 11_000},
        "a second",
        True,
    ),
    _Bound(
        "1,000 callers at once, new conversations",
        ("at_once", "messages_per_s"),
        {None: 6_000},
        "a second",
        True,
    ),
    _Bound(
        "recall during compaction, p99 of the quiet median",
        ("compaction", "p99_ratio"),
        {None: 3},
        "x",
    ),
)


def judge(stores: Sequence[Store]) -> list[Verdict]:
    """Every target, in the order of the list. A bound that is reached exactly is met."""
    return [
        *(one for bound in _BOUNDS for one in _bounded(bound, stores)),
        *_floor(stores),
        *_found_at_once(stores),
        *_resident(stores),
        *_constant(stores),
        *_peers(stores),
    ]


def figure(store: Store, system: str, *path: str) -> float | None:
    """A figure of a system, None where it was not measured."""
    value: Any = store["systems"].get(system, {}).get("operations", {})
    for name in path:
        value = value.get(name, {})
    return None if isinstance(value, Mapping) else float(value)


def ratios(store: Store, peer: str, *, processor: bool = False) -> dict[str, float]:
    """By operation, how many times as fast as the peer ours is, on the clock or in processor time.

    Where both were measured.
    """
    found = {}
    for name, operation in OPERATIONS.items():
        key = "cpu_ms" if processor else "messages_per_s" if operation.rate else "p50_ms"
        ours, theirs = figure(store, OURS, name, key), figure(store, peer, name, key)
        if ours and theirs:
            by_rate = operation.rate and not processor
            found[name] = round(ours / theirs if by_rate else theirs / ours, 2)
    return found


def peers_of(store: Store) -> list[str]:
    """The systems beside ours, without the limit."""
    return [name for name in store["systems"] if name not in (OURS, LIMIT)]


def _bounded(bound: _Bound, stores: Sequence[Store]) -> Iterator[Verdict]:
    judged = at_least if bound.least else at_most
    for size, value in bound.by_size.items():
        of_size = [store for store in stores if size in (None, store["rows"])]
        found = [one for s in of_size if (one := figure(s, OURS, *bound.path)) is not None]
        label = bound.label if size is None else f"{bound.label}, {_NAMES[size]} rows"
        yield judged(label, found, value, bound.unit)


def _floor(stores: Sequence[Store]) -> Iterator[Verdict]:
    found = []
    for store in stores:
        ours, theirs = (figure(store, name, "recall_again", "cpu_ms") for name in (OURS, FLOOR))
        if ours is not None and theirs is not None:
            found.append(theirs / ours)
    name = f"recall again: processor time of {FLOOR}'s against ours"
    yield verdict(name, "above 1 x", found, min, lambda x: x > 1, "x")


def _found_at_once(stores: Sequence[Store]) -> Iterator[Verdict]:
    found = [
        one
        for store in stores
        for kind in ("one_call", "conversations")
        if (one := figure(store, OURS, kind, "found")) is not None
    ]
    yield verdict("bulk: found at once", "always", found, min, lambda x: x == 1, "")


def _resident(stores: Sequence[Store]) -> Iterator[Verdict]:
    found = [
        one * _MB_PER_MIB
        for store in stores
        if store["rows"] == _MILLION
        and (one := figure(store, OURS, "memory", "resident_mib")) is not None
    ]
    yield at_most("resident memory at 1M rows, after 100 users' recalls", found, 600, "MB")


def _constant(stores: Sequence[Store]) -> Iterator[Verdict]:
    """Of the largest store against the smallest: what depends on no size takes no longer."""
    ordered = sorted(stores, key=lambda store: store["rows"])
    for name, label in (("new_session", "begin a session"), ("delete", "delete a memory")):
        found = [one for s in ordered if (one := figure(s, OURS, name, "p50_ms")) is not None]
        values = [found[-1] / found[0]] if len(found) > 1 else []
        yield at_most(f"{label}, p50 of the largest store against the smallest", values, 2, "x")


def _peers(stores: Sequence[Store]) -> Iterator[Verdict]:
    for store in stores:
        for peer in peers_of(store):
            found = ratios(store, peer)
            if not store["systems"][peer]["by_meaning"]:
                # A bare insert, whose rows are not found by meaning, is none to compare with.
                found = {name: x for name, x in found.items() if name not in INSERTS}
            slower = ", ".join(f"{name} {x:g}" for name, x in found.items() if x <= 1)
            name = f"against {peer} at {store['rows']:,} rows, the slowest of {len(found)}"
            if slower:
                name += f" (slower: {slower})"
            yield verdict(name, "above 1 x", list(found.values()), min, lambda x: x > 1, "x")
