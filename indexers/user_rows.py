"""One user's rows in memory: exact search, neighbours and rows without a read from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .protocols import Candidates, RowFilter, Scope
from .schema import COLUMNS, micros

#: What :class:`UserRows` is made of.
LOADED = (*COLUMNS, "vector")

_NEVER = np.iinfo(np.int64).max
# Taking rows from many small tables is slow, joining them copies every text: so many may wait.
_LOOSE_TABLES = 16
# What a row costs beside its columns: the entry of its place, and its conversation's id.
_ROW_OVERHEAD = 200


class _Growing:
    """An array that grows at its end without being copied each time."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._held = values
        self._count = len(values)

    @property
    def values(self) -> NDArray[Any]:
        """What it holds. Later additions leave what was returned as it is."""
        return self._held[: self._count]

    def add(self, values: NDArray[Any]) -> None:
        end = self._count + len(values)
        if end > len(self._held):
            length = max(end, self._count * 3 // 2 + 16)
            room = np.empty((length, *self._held.shape[1:]), self._held.dtype)
            room[: self._count] = self.values
            self._held = room
        self._held[self._count : end] = values
        self._count = end


class UserRows:
    """All rows of one user, in the order of ``seq``.

    A search takes time and memory in proportion to their number: for n rows of d
    values a vector, n * d multiplications and about n * (4 * d + 500) bytes.

    Args:
        table: every row of the user, with the columns :data:`LOADED`.
        mixed: the rows are of several users.
    """

    def __init__(self, table: pa.Table, *, mixed: bool = False) -> None:
        self._mixed = mixed
        seq = table.column("seq").to_numpy()
        if (np.diff(seq) <= 0).any():
            table = table.take(pa.array(np.argsort(seq, kind="stable")))
        self._vector = _Growing(_vectors(table))
        table = table.drop_columns(["vector"]).combine_chunks()
        self._tables = [table]
        self._joined: pa.Table | None = table
        self._columns = {name: _Growing(values) for name, values in _numbers(table).items()}
        self._conversation: list[str | None] = []
        self._place: dict[str, dict[int, int]] = {}
        self._take_places(table)
        #: About how many bytes it takes.
        self.nbytes = _size(table) + self._vector.values.nbytes

    def __len__(self) -> int:
        return len(self._conversation)

    # Changes

    def add(self, table: pa.Table) -> None:
        """Add rows (:data:`LOADED`) that came after all others."""
        self._tables.append(table.drop_columns(["vector"]))
        self._joined = None
        self._vector.add(_vectors(table))
        for name, values in _numbers(table).items():
            self._columns[name].add(values)
        self._take_places(table)
        self.nbytes += _size(table)

    def without(self, seqs: NDArray[np.int64]) -> UserRows:
        """The same without some rows; itself where it has none of them."""
        gone = np.isin(self._number("seq"), seqs)
        if not gone.any():
            return self
        return UserRows(self._taken(np.flatnonzero(~gone), LOADED), mixed=self._mixed)

    def count_uses(self, uses: Mapping[int, int], at: datetime) -> None:
        """Add to the access counts of the rows that are here."""
        seqs = np.fromiter(uses, np.int64, len(uses))
        places, found = self._find(seqs)
        more = np.fromiter(uses.values(), np.int64, len(uses))[found]
        self._number("access_count")[places] += more
        self._number("last_accessed")[places] = micros(at)

    # Reading

    def nearest(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Callable[[], tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """A search for the ``limit`` rows nearest to ``vector``, exactly.

        What is returned does it, in any thread, on the rows as they are now: which rows, and
        their scores, for :meth:`candidates`.
        """
        matching = self._matching(scope, where)
        vectors, seqs = self._vector.values, self._number("seq")

        def search() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            # einsum stays on its thread: a threaded product of this size waits longer for its
            # threads, on a busy machine, than it computes.
            score: NDArray[np.float32] = np.einsum("ij,j->i", vectors, vector)
            seq = seqs
            if matching is not None:
                at = np.flatnonzero(matching)
                score, seq = score[at], seq[at]
            if limit < len(score):
                # All that tie with the last one wanted stay, so that the newest of them win.
                least = np.partition(score, len(score) - limit)[len(score) - limit]
                best = np.flatnonzero(score >= least)
            else:
                best = np.arange(len(score))
            best = best[np.lexsort((-seq[best], -score[best]))][:limit]
            return (best if matching is None else at[best]), score[best]

        return search

    def candidates(self, rows: NDArray[np.int64], score: NDArray[np.float32]) -> Candidates:
        """Rows that :meth:`nearest` found, as an engine proposes them."""
        conversations = tuple(self._conversation[row] for row in rows.tolist())
        return Candidates(
            self._number("seq")[rows], score, conversations, self._number("turn")[rows]
        )

    def around(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int],
        places: Mapping[str, Sequence[int]],
        columns: Sequence[str],
    ) -> pa.Table:
        """Rows by ``seq``, and rows at ``places`` (conversation id to turns)."""
        named, _ = self._find(np.asarray(seqs, np.int64))
        wanted = set(named.tolist())
        for conversation, turns in places.items():
            held = self._place.get(conversation, {})
            wanted.update(held[turn] for turn in turns if turn in held)
        rows = np.array(sorted(wanted), np.int64)
        matching = self._matching(scope, where)
        if matching is not None:
            rows = rows[matching[rows]]
        return self._taken(rows, columns)

    def _taken(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        table = self._table()
        plain = [name for name in columns if name not in ("vector", *_CHANGING)]
        taken = table.select(plain).take(pa.array(rows))
        for name in _CHANGING:
            if name in columns:
                values = pa.array(self._number(name)[rows]).cast(table.schema.field(name).type)
                taken = taken.append_column(table.schema.field(name), values)
        if "vector" in columns:
            taken = taken.append_column("vector", _as_column(self._vector.values[rows]))
        return taken.select(list(columns))

    # How it is held

    def _number(self, name: str) -> NDArray[np.int64]:
        values: NDArray[np.int64] = self._columns[name].values
        return values

    def _table(self) -> pa.Table:
        if self._joined is None:
            self._joined = pa.concat_tables(self._tables)
            if len(self._tables) > _LOOSE_TABLES:
                self._joined = self._joined.combine_chunks()
                self._tables = [self._joined]
        return self._joined

    def _take_places(self, table: pa.Table) -> None:
        first = len(self._conversation)
        # One object for each conversation's id, however many turns have it.
        names = {name: name for name in self._place}
        conversations = table.column("conversation_id").to_pylist()
        turns = table.column("turn").to_pylist()
        for row, (name, turn) in enumerate(zip(conversations, turns, strict=True), first):
            if name is not None:
                name = names.setdefault(name, name)
                if turn is not None:
                    self._place.setdefault(name, {})[turn] = row
            self._conversation.append(name)

    def _find(self, seqs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where the rows with these ``seq`` are, and which of ``seqs`` are here."""
        held = self._number("seq")
        places = np.searchsorted(held, seqs)
        found = np.zeros(len(seqs), np.bool_)
        inside = places < len(held)
        found[inside] = held[places[inside]] == seqs[inside]
        return places[found], found

    def _matching(self, scope: Scope, where: RowFilter) -> NDArray[np.bool_] | None:
        """Which rows the scope and the filter let pass; None where they all do."""
        parts: list[NDArray[np.bool_]] = []
        if self._mixed and scope.user_id is not None:
            parts.append(_is_one_of(self._table().column("user_id"), (scope.user_id,)))
        if scope.conversation_id is not None:
            conversations = self._table().column("conversation_id")
            parts.append(_is_one_of(conversations, (scope.conversation_id,)))
        if where.alive_at is not None:
            alive = self._number("expires_at") > micros(where.alive_at)
            if not alive.all():
                parts.append(alive)
        if where.since is not None:
            parts.append(self._number("created_at") >= micros(where.since))
        if where.until is not None:
            parts.append(self._number("created_at") < micros(where.until))
        for name, values in (
            ("id", where.ids),
            ("kind", where.kinds),
            ("role", where.roles),
            ("memory_type", where.memory_types),
            ("category", where.categories),
        ):
            if values:
                parts.append(_is_one_of(self._table().column(name), values))
        if where.tags:
            parts.append(_has_any(self._table().column("tags"), where.tags))
        for name, least in (
            ("importance", where.min_importance),
            ("confidence", where.min_confidence),
        ):
            if least > 0:
                parts.append(self._table().column(name).to_numpy() >= least)
        return np.logical_and.reduce(parts) if parts else None


# What changes in a row that stays: these are kept as arrays, and the tables as they were read.
_CHANGING = ("access_count", "last_accessed")


def _size(table: pa.Table) -> int:
    nbytes: int = table.nbytes
    return nbytes + _ROW_OVERHEAD * int(table.num_rows)


def _numbers(table: pa.Table) -> dict[str, NDArray[np.int64]]:
    return {
        "seq": table.column("seq").to_numpy(),
        "turn": table.column("turn").fill_null(-1).to_numpy(),
        "created_at": table.column("created_at").cast(pa.int64()).to_numpy(),
        "expires_at": table.column("expires_at").cast(pa.int64()).fill_null(_NEVER).to_numpy(),
        # Arrow's memory may not be written to.
        "access_count": table.column("access_count").to_numpy().copy(),
        "last_accessed": table.column("last_accessed").cast(pa.int64()).to_numpy().copy(),
    }


def _vectors(table: pa.Table) -> NDArray[np.float32]:
    column = table.column("vector")
    values = np.empty((len(column), column.type.list_size), np.float32)
    at = 0
    # Part by part: joined by Arrow, they would be in memory twice more.
    for part in column.chunks:
        values[at : at + len(part)] = part.flatten().to_numpy().reshape(len(part), values.shape[1])
        at += len(part)
    return values


def _as_column(vectors: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _is_one_of(column: Any, values: Iterable[str]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(column, pa.array(values, pa.string())), np.bool_)


def _has_any(column: pa.ChunkedArray, tags: Iterable[str]) -> NDArray[np.bool_]:
    """Which lists hold one of ``tags``."""
    lists = column.combine_chunks()
    having = np.zeros(len(lists), np.bool_)
    owners = pc.list_parent_indices(lists).to_numpy()
    having[owners[_is_one_of(pc.list_flatten(lists), tags)]] = True
    return having
