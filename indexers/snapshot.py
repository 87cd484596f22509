"""Rows in memory, as they were at one moment: exact search, neighbours, columns as arrays."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .query import Candidates, Condition, RowFilter, Scope
from .schema import micros

#: What changes in a row that stays: the arrays are right, the table is as it was read.
CHANGING = ("access_count", "last_accessed")
#: Columns of few different texts: kept as numbers, -1 for null.
CODED = ("conversation_id", "role", "speaker")

# Arrays that have what the table has; in others something stands for what is missing.
_COMPLETE = {
    *CHANGING,
    "seq",
    "created_at",
    "words",
    "importance",
    "confidence",
    "question_share",
    "ends_with_question",
    "names_time",
    "tells_change",
}
_COMPARE: dict[str, Any] = {"ge": operator.ge, "lt": operator.lt, "alive": operator.gt}
_COMPARE_TABLE: dict[str, Any] = {"ge": pc.greater_equal, "lt": pc.less, "alive": pc.greater}
# Times of which the largest number stands for a missing one, so that "later than" finds it.
_FOREVER = ("expires_at",)
_FEW = 32


@dataclass(frozen=True, slots=True, eq=False)
class RowsView:
    """Rows in the order of their ``seq``, for any thread. Later changes leave it as it is.

    Only access counts are shared with what it was made from, and go on being counted.

    Attributes:
        vectors: float32 (n, d).
        columns: by name, (n,): times in microseconds, :data:`CODED` as int64 indices into
            ``names``, other numbers and truth values as they are; a missing ``turn`` is -1, and
            a missing ``expires_at`` the largest number.
        names: by column of :data:`CODED`, the texts that its numbers stand for.
        codes: the same the other way round.
        places: for each conversation of ``names``, the row of each turn. Rows from n on came
            later, and are not for this view.
        table: all other columns.
        mixed: whether the rows may be of several users.
        repeated: whether some rows may have one id: a message may be in several conversations.
    """

    vectors: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]
    names: Mapping[str, Sequence[str]]
    codes: Mapping[str, Mapping[str, int]]
    places: Sequence[Mapping[int, int]]
    table: pa.Table
    mixed: bool = False
    repeated: bool = False

    def __len__(self) -> int:
        return len(self.vectors)

    def matching(self, scope: Scope, where: RowFilter) -> NDArray[np.bool_] | None:
        """Which rows the scope and the filter let pass, bool (n,); None where they all do."""
        asked = scope.conditions()
        if not self.mixed and scope.user_id is not None:
            asked = asked[1:]  # All rows are the user's: no text of theirs has to be compared.
        parts: list[NDArray[np.bool_]] = []
        for condition in (*asked, *where.conditions()):
            part = self._fulfils(condition)
            # Nearly always nothing has expired, and without a mask a search copies nothing.
            if condition.op != "alive" or not part.all():
                parts.append(part)
        return np.logical_and.reduce(parts) if parts else None

    def _fulfils(self, asked: Condition) -> NDArray[np.bool_]:
        """Which rows fulfil a condition, bool (n,).

        From the arrays where a column is one and nothing is missing in it, else from the table.
        """
        name, op, value = asked
        if op == "any":
            return _has_any(self.table.column(name), value)
        if name in _COMPLETE or (op == "alive" and name in _FOREVER):
            held = self.columns[name]
            if op == "in":
                return np.isin(held, [_number(one) for one in value])
            found: NDArray[np.bool_] = _COMPARE[op](held, _number(value))
            return found
        if op == "in" and name in CODED:
            codes = self.codes[name]
            return np.isin(self.columns[name], [codes[one] for one in value if one in codes])
        column = self.table.column(name)
        if op == "in":
            return _is_one_of(column, value)
        bound = _number(value)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        compared = _COMPARE_TABLE[op](column, bound)
        return np.asarray(pc.fill_null(compared, op == "alive"), np.bool_)

    def nearest(
        self, vector: NDArray[np.float32], matching: NDArray[np.bool_] | None, limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``limit`` matching rows nearest to ``vector``, exactly: which, and their cosine.

        Of equal ones the newest comes first. It takes n * d multiplications.
        """
        # einsum stays on its thread: a threaded product of this size waits longer for its
        # threads, on a busy machine, than it computes.
        score: NDArray[np.float32] = np.einsum("ij,j->i", self.vectors, vector)
        at = None
        if matching is not None:
            at = np.flatnonzero(matching)
            score = score[at]
        if limit < len(score):
            # All that tie with the last one wanted stay, so that the newest of them win.
            least = np.partition(score, len(score) - limit)[len(score) - limit]
            best = np.flatnonzero(score >= least)
        else:
            best = np.arange(len(score))
        # Rows are in the order of seq, so the last of equals is the newest.
        best = best[np.lexsort((-best, -score[best]))][:limit]
        return (best if at is None else at[best]), score[best]

    def candidates(self, rows: NDArray[np.int64], score: NDArray[np.float32]) -> Candidates:
        """Rows and their scores, as an engine proposes them."""
        names = self.names["conversation_id"]
        codes = self.columns["conversation_id"][rows].tolist()
        conversations = tuple(None if code < 0 else names[code] for code in codes)
        return Candidates(
            self.columns["seq"][rows], score, conversations, self.columns["turn"][rows]
        )

    def find(self, seqs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where the rows with these ``seq`` are, and which of ``seqs`` are here."""
        held = self.columns["seq"]
        places = np.searchsorted(held, seqs)
        found = np.zeros(len(seqs), np.bool_)
        inside = places < len(held)
        found[inside] = held[places[inside]] == seqs[inside]
        return places[found], found

    def beside(self, rows: Iterable[int], distance: int) -> set[int]:
        """The rows up to ``distance`` turns away from each of ``rows``, in its conversation."""
        count = len(self)
        conversations, turns = self.columns["conversation_id"], self.columns["turn"]
        beside: set[int] = set()
        for row in rows:
            code, turn = int(conversations[row]), int(turns[row])
            if code < 0 or turn < 0:
                continue
            held = self.places[code]
            for other in range(turn - distance, turn + distance + 1):
                found = held.get(other)
                if found is not None and found < count:
                    beside.add(found)
        return beside

    def at(self, places: Mapping[str, Sequence[int]]) -> set[int]:
        """The rows at some turns of some conversations."""
        count, codes = len(self), self.codes["conversation_id"]
        wanted: set[int] = set()
        for name, turns in places.items():
            if name in codes:
                held = self.places[codes[name]]
                wanted.update(row for turn in turns if (row := held.get(turn, count)) < count)
        return wanted

    def around(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int],
        places: Mapping[str, Sequence[int]],
        columns: Sequence[str],
    ) -> pa.Table:
        """Rows by ``seq``, and rows at ``places`` (conversation id to turns)."""
        named, _ = self.find(np.asarray(seqs, np.int64))
        rows = np.array(sorted({*named.tolist(), *self.at(places)}), np.int64)
        matching = self.matching(scope, where)
        if matching is not None:
            rows = rows[matching[rows]]
        return self.taken(rows, columns)

    def taken(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Some rows as a table of these columns."""
        plain = [name for name in columns if name not in ("vector", *CHANGING)]
        taken = self.table.select(plain).take(pa.array(rows))
        for name in CHANGING:
            if name in columns:
                field = self.table.schema.field(name)
                values = pa.array(self.columns[name][rows]).cast(field.type)
                taken = taken.append_column(field, values)
        if "vector" in columns:
            taken = taken.append_column("vector", _as_column(self.vectors[rows]))
        return taken.select(list(columns))

    def rows(self, rows: NDArray[np.int64], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some rows as dicts of these columns, without the vector; times are microseconds."""
        parts = zip(*(self._values(name, rows) for name in columns), strict=True)
        return [dict(zip(columns, part, strict=True)) for part in parts]

    def _values(self, name: str, rows: NDArray[np.int64]) -> list[Any]:
        if name in _COMPLETE:
            values: list[Any] = self.columns[name][rows].tolist()
            return values
        column = self.table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        if len(rows) <= _FEW:
            # Value by value: for a few rows that takes half of what a table of them does.
            return [column[row].as_py() for row in rows.tolist()]
        taken: list[Any] = column.take(pa.array(rows)).to_pylist()
        return taken


def _as_column(vectors: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _number(value: Any) -> Any:
    """A time as the arrays have it; a number as it is."""
    return micros(value) if isinstance(value, datetime) else value


def _is_one_of(column: Any, values: Iterable[Any]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(column, pa.array(values, column.type)), np.bool_)


def _has_any(column: pa.ChunkedArray, values: Iterable[str]) -> NDArray[np.bool_]:
    """Which lists hold one of ``values``."""
    lists = column.combine_chunks()
    having = np.zeros(len(lists), np.bool_)
    owners = pc.list_parent_indices(lists).to_numpy()
    having[owners[_is_one_of(pc.list_flatten(lists), values)]] = True
    return having
