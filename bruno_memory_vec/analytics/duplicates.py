"""Repeats: rows that say the same, and rows whose vectors nearly are the same.

Exact repeats are found by a hash of the text without case, accents and the width of spaces. Then
each row with a text that no earlier row has is compared with all later ones of its user, by the
cosine of their vectors; that is n² / 2 comparisons, and it is made small in three ways, none of
which loses a pair:

- Of equal vectors only one is compared.
- Vectors are turned so that their first 32 directions hold most of their variance. By Cauchy and
  Schwarz, ``u . v <= u32 . v32 + |rest of u| |rest of v|``: a product of 33 numbers in place of 256
  that is never below the cosine. Only where it reaches the bound is the cosine itself made.
- Blocks of rows at a time, so that no more than some 16 MB of products are there at once, and a row
  that belongs to an earlier one is compared with no other.

A group is a row, the oldest, and the later ones whose cosine to it reaches the bound. So a group
has no chains, in which the last row is far from the first. Nothing is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.analytics.reading import Chosen, numbers, parts, rows_by_seq
from bruno_memory_vec.analytics.reading import vectors as vectors_of
from bruno_memory_vec.analytics.result import (
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    Result,
    Shown,
    percent,
    short,
)
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.text.analysis import plain
from bruno_memory_vec.recall.copies import COLUMNS as COPIED
from bruno_memory_vec.rows.models import Row, utc
from bruno_memory_vec.store.store import Store

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Of a row's text so many characters are given.
EXCERPT: Final = 300

_READ: Final = ("seq", *COPIED, "created_at", "content", "vector")
_TOLD: Final = ("id", "kind", "user_id", "conversation_id", "turn", "content", "created_at")
_DIRECTIONS: Final = 32
# Vectors on which the directions are found.
_FOR_DIRECTIONS: Final = 4_096
# Products at once, float32.
_AT_ONCE: Final = 4 * 2**20
# Vectors that are copied at once.
_COPIED: Final = 8_192
# What rounding may take from the bound on a cosine.
_ROUNDING: Final = 1e-5
_SHOWN_TEXT: Final = 90
_SHOWN_GROUPS: Final = 20
_SHOWN_ROWS: Final = 3


@dataclass(frozen=True, slots=True)
class RepeatedRow:
    """A row of a group of repeats.

    Attributes:
        id: its id, as text.
        kind: "message" or "memory".
        conversation_id: where it was said; None for a memory without one.
        turn: its turn there; None for a memory.
        created_at: when, UTC.
        text: the beginning of its text, 300 characters at most.
        similarity: the cosine of its vector and that of the group's first row.
        exact: whether its text is that of the group's first row, but for case, accents and spaces.
    """

    id: str
    kind: str
    conversation_id: str | None
    turn: int | None
    created_at: datetime
    text: str
    similarity: float
    exact: bool


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Rows of one user that say nearly the same.

    Attributes:
        user_id: whose.
        size: how many rows; at least two.
        exact: how many of them have the text of the first.
        rows: the oldest first; of many the first ten.
    """

    user_id: str
    size: int
    exact: int
    rows: tuple[RepeatedRow, ...]


@dataclass(frozen=True, slots=True)
class Duplicates(Result):
    """Repeats among what is stored. Expired and archived rows are left out.

    Attributes:
        user_id: whose; None for all users, each by itself: rows of two users are never compared.
        bound: the least cosine.
        examined: how many rows; a message that is in several conversations is one, and no repeat
            of itself.
        extra: how many rows could be left out without a group losing its first row.
        exact_extra: how many of these repeat a text exactly.
        groups: how many there are.
        largest: the largest groups; of equally large ones the oldest first.
        compared: how many cosines were made, of n² / 2 pairs.
    """

    user_id: str | None
    bound: float
    examined: int
    extra: int
    exact_extra: int
    groups: int
    largest: tuple[DuplicateGroup, ...]
    compared: int

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "group": WHOLE,
        "size": WHOLE,
        "user_id": TEXT,
        "id": TEXT,
        "kind": TEXT,
        "conversation_id": TEXT,
        "turn": WHOLE,
        "created_at": TIME,
        "text": TEXT,
        "similarity": NUMBER,
        "exact": pa.bool_(),
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each row of a group."""
        return [
            {
                "group": number,
                "size": group.size,
                "user_id": group.user_id,
                **{name: getattr(row, name) for name in list(self.columns)[3:]},
            }
            for number, group in enumerate(self.largest)
            for row in group.rows
        ]

    def shown(self) -> list[Shown]:
        """The sums, and the largest groups."""
        share = percent(self.extra / self.examined) if self.examined else "0 %"
        sums = (
            ("rows", f"{self.examined:,}"),
            ("groups", f"{self.groups:,}"),
            ("rows that repeat one", f"{self.extra:,} ({share})"),
            ("of these word for word", f"{self.exact_extra:,}"),
        )
        tables = [Shown(f"Repeats, cosine {self.bound:g} or more", (), sums, frozenset((1,)))]
        rows = []
        for group in self.largest[:_SHOWN_GROUPS]:
            for at, row in enumerate(group.rows[:_SHOWN_ROWS]):
                number = f"{group.size:,}x" if not at else ""
                like = "same" if row.exact else f"{row.similarity:.2f}"
                rows.append((number, like if at else "", short(row.text, _SHOWN_TEXT)))
        if rows:
            notes = ()
            more = self.groups - min(len(self.largest), _SHOWN_GROUPS)
            if more:
                notes = (f"and {more:,} more groups",)  # type: ignore[assignment]
            tables.append(Shown("Largest groups", (), tuple(rows), frozenset((0, 1)), notes))
        return tables

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_duplicates

        return draw_duplicates(self, axes)


# Of a group so many rows are told.
_TOLD_ROWS: Final = 10


async def duplicates(
    store: Store, scope: Scope, chosen: Chosen, bound: float, limit: int
) -> Duplicates:
    """Find repeats, of one user after the other.

    Held meanwhile are the vectors of one user, and some 100 bytes of each of its rows.

    Args:
        store: the open store.
        scope: whose rows.
        chosen: which of them.
        bound: the least cosine, above 0.
        limit: how many groups are told.

    Raises:
        EngineError: an engine failed.
    """
    users = [scope.user_id] if scope.user_id is not None else await _users(store, scope, chosen)
    examined = extra = exact_extra = groups = compared = 0
    largest: list[tuple[int, int, str, list[_Member]]] = []
    for user in users:
        held = _Held()
        async for rows in parts(store, Scope.user(user), chosen, _READ):
            await asyncio.to_thread(held.add, rows)
        found = await asyncio.to_thread(held.groups, bound)
        examined += held.examined
        compared += found.compared
        groups += len(found.groups)
        for group in found.groups:
            extra += len(group) - 1
            exact_extra += sum(member.exact for member in group[1:])
            largest.append((-len(group), group[0].seq, user, group))
        largest = sorted(largest, key=lambda one: one[:2])[:limit]
    told = []
    for _, _, user, group in largest:
        seqs = [member.seq for member in group[:_TOLD_ROWS]]
        read = await rows_by_seq(store, Scope.user(user), seqs, _TOLD)
        rows = tuple(
            _repeated(read[member.seq], member)
            for member in group[:_TOLD_ROWS]
            if member.seq in read
        )
        if len(rows) > 1:
            told.append(DuplicateGroup(user, len(group), sum(one.exact for one in group), rows))
    return Duplicates(
        user_id=scope.user_id,
        bound=bound,
        examined=examined,
        extra=extra,
        exact_extra=exact_extra,
        groups=groups,
        largest=tuple(told),
        compared=compared,
    )


async def _users(store: Store, scope: Scope, chosen: Chosen) -> list[str]:
    found: set[str] = set()
    async for rows in parts(store, scope, chosen, ("user_id",)):
        found.update(
            rows.column("user_id").combine_chunks().dictionary_encode().dictionary.to_pylist()
        )
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Member:
    seq: int
    similarity: float
    exact: bool


@dataclass(frozen=True, slots=True)
class _Found:
    groups: list[list[_Member]]
    compared: int


class _Held:
    """What is kept of a user's rows: of a message that has copies, the newest."""

    def __init__(self) -> None:
        self._row: dict[tuple[str, str], tuple[int, int, bytes, int]] = {}
        self._vectors: list[Floats] = []
        self._held = 0

    @property
    def examined(self) -> int:
        """How many rows there are."""
        return len(self._row)

    def add(self, rows: pa.Table) -> None:
        """Take some rows in."""
        self._vectors.append(vectors_of(rows))
        columns = (
            rows.column("kind").to_pylist(),
            rows.column("id").to_pylist(),
            numbers(rows, "seq").tolist(),
            numbers(rows, "created_at").tolist(),
            rows.column("content").to_pylist(),
        )
        for kind, name, seq, created, text in zip(*columns, strict=True):
            known = self._row.get((kind, name))
            if known is None or known[0] < seq:
                self._row[kind, name] = (seq, created, _text_hash(text), self._held)
            self._held += 1

    def _placed(self, order: list[int]) -> Floats:
        """The vectors in an order, float32 (n, d); they are kept no longer as they came."""
        place = np.full(self._held, -1, np.int64)
        place[order] = np.arange(len(order))
        found = np.empty((len(order), self._vectors[0].shape[1]), np.float32)
        end = self._held
        while self._vectors:
            part = self._vectors.pop()
            theirs = place[end - len(part) : end]
            found[theirs[theirs >= 0]] = part[theirs >= 0]
            end -= len(part)
        return found

    def groups(self, bound: float) -> _Found:
        """The groups of repeats, the oldest first."""
        if len(self._row) < 2:
            return _Found([], 0)
        # The oldest first; of one time, what was stored first.
        rows = sorted(self._row.values(), key=lambda row: (row[1], row[0]))
        seqs = [row[0] for row in rows]
        vectors = self._placed([row[3] for row in rows])
        first_of_text: dict[bytes, int] = {}
        for place, row in enumerate(rows):
            first_of_text.setdefault(row[2], place)
        leads = np.array([first_of_text[row[2]] for row in rows], np.int64)
        lead_of, compared = led(vectors, bound, np.flatnonzero(leads == np.arange(len(rows))))
        # Of a row, the first one of the first one with its text.
        members: dict[int, list[_Member]] = {}
        for place, lead in enumerate(leads.tolist()):
            first = int(lead_of[lead])
            near = float(vectors[place] @ vectors[first])
            exact = leads[place] == leads[first]
            members.setdefault(first, []).append(
                _Member(seqs[place], 1.0 if exact else near, bool(exact))
            )
        return _Found([group for group in members.values() if len(group) > 1], compared)


def led(vectors: Floats, bound: float, among: Ints | None = None) -> tuple[Ints, int]:
    """For each vector the place of the one that leads its group, itself where it leads.

    In their order, each vector that nobody leads yet leads all later ones that nobody leads and
    whose cosine to it is ``bound`` or more. Zero vectors are like nothing.

    Args:
        vectors: float32 (n, d), each of length 1 or zero.
        bound: above 0.
        among: only of these, ascending; None for all.

    Returns:
        int64 (n,), and how many cosines were made.
    """
    lead = np.arange(len(vectors), dtype=np.int64)
    known = lead if among is None else among
    known = known[np.asarray(vectors.any(axis=1))[known]]
    # Of equal vectors the first stands for all.
    first: dict[bytes, int] = {}
    for place in known.tolist():
        digest = blake2b(vectors[place].tobytes(), digest_size=16).digest()
        lead[place] = first.setdefault(digest, place)
    own = np.fromiter(first.values(), np.int64, len(first))
    found, compared = _led(vectors, own, bound)
    of = np.arange(len(vectors), dtype=np.int64)
    of[own] = own[found]
    return of[lead], compared


def _led(vectors: Floats, own: Ints, bound: float) -> tuple[Ints, int]:
    """As :func:`led`, of the vectors at ``own`` (m,), in terms of places there."""
    n = len(own)
    lead = np.arange(n, dtype=np.int64)
    prefix = _prefixes(vectors, own)
    waiting = np.ones(n, np.bool_)
    # Rows that nobody leads, and some others until these are more than half.
    order = np.arange(n)
    compared = start = 0
    least = np.float32(bound - _ROUNDING)
    while start < len(order):
        live = waiting[order[start:]]
        if 2 * np.count_nonzero(live) < len(live):
            order, prefix, start = order[start:][live], prefix[start:][live], 0
            continue
        rest = order[start:]
        size = max(1, min(len(rest), _AT_ONCE // len(rest)))
        # Candidates: never fewer than those whose cosine reaches the bound. One-dimensional, as
        # numpy looks through few finds in many much faster that way.
        products = prefix[start : start + size] @ prefix[start:].T
        at, other = np.divmod(np.flatnonzero(products.ravel() >= least), len(rest))
        useful = (other > at) & live[at] & live[other]
        at, other = at[useful], rest[other[useful]]
        compared += len(at)
        near = _cosines(vectors, own[rest[at]], own[other]) >= bound
        at, other = at[near], other[near]
        edges = np.searchsorted(at, np.arange(size + 1))
        for place in np.unique(at).tolist():
            row = rest[place]
            if lead[row] != row:
                continue
            theirs = other[edges[place] : edges[place + 1]]
            theirs = theirs[lead[theirs] == theirs]
            lead[theirs] = row
            waiting[theirs] = False
        start += size
    return lead, compared


def _prefixes(vectors: Floats, own: Ints) -> Floats:
    """Vectors whose products are never below the cosines, float32 (m, 33 or fewer)."""
    d = vectors.shape[1]
    if d <= _DIRECTIONS:
        return vectors[own]
    some = vectors[own[:: max(1, len(own) // _FOR_DIRECTIONS)]].astype(np.float64)
    _, directions = np.linalg.eigh(some.T @ some)
    axes = directions[:, -_DIRECTIONS:].astype(np.float32)
    found = np.empty((len(own), _DIRECTIONS + 1), np.float32)
    for start in range(0, len(own), _COPIED):
        kept = vectors[own[start : start + _COPIED]] @ axes
        found[start : start + _COPIED, :-1] = kept
        found[start : start + _COPIED, -1] = np.sqrt(np.maximum(1 - (kept**2).sum(axis=1), 0))
    return found


def _cosines(vectors: Floats, left: Ints, right: Ints) -> Floats:
    found = np.empty(len(left), np.float32)
    for start in range(0, len(left), _COPIED):
        some = slice(start, start + _COPIED)
        found[some] = np.einsum("ij,ij->i", vectors[left[some]], vectors[right[some]])
    return found


def _text_hash(text: str) -> bytes:
    same = " ".join(plain(text).split())
    return blake2b(same.encode("utf-8", "replace"), digest_size=16).digest()


def _repeated(row: Row, member: _Member) -> RepeatedRow:
    return RepeatedRow(
        id=row["id"],
        kind=row["kind"],
        conversation_id=row["conversation_id"],
        turn=row["turn"],
        created_at=utc(row["created_at"]),
        text=row["content"][:EXCERPT],
        similarity=member.similarity,
        exact=member.exact,
    )
