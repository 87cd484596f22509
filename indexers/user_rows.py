"""One user's rows in memory, and what is added to them and taken away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .schema import COLUMNS, micros
from .snapshot import CODED, RowsView

#: What :class:`UserRows` is made of.
LOADED = (*COLUMNS, "vector")

_NEVER = np.iinfo(np.int64).max
# Taking rows from many small tables is slow, joining them copies every text: so many may wait.
_LOOSE_TABLES = 16
# What a row costs beside its columns: the entries of its place and id, and its numbers as arrays.
_ROW_OVERHEAD = 300


class _Growing:
    """An array that grows at its end without being copied each time."""

    def __init__(self, values: NDArray[Any], used: int | None = None) -> None:
        self._held = values
        self._count = len(values) if used is None else used

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


class Gathered:
    """Many rows of one user, taken part by part: no second copy of them is ever in memory.

    Args:
        count: how many rows are expected; there may be more or fewer.
    """

    def __init__(self, count: int) -> None:
        self._expected = count
        self._vectors: _Growing | None = None
        self._tables: list[pa.Table] = []
        self._count = 0
        #: About how many bytes :meth:`rows` will take.
        self.nbytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a part (:data:`LOADED`). It may be called in any thread, one at a time."""
        table = pa.Table.from_batches([batch])
        vectors = _vectors(table)
        if self._vectors is None:
            room = np.empty((self._expected, vectors.shape[1]), np.float32)
            self._vectors = _Growing(room, used=0)
        self._vectors.add(vectors)
        table = table.drop_columns(["vector"])
        self._tables.append(table)
        self._count += len(vectors)
        self.nbytes += _size(table) + vectors.nbytes

    def rows(self) -> UserRows:
        """What was taken. There has to be some."""
        assert self._vectors is not None
        table = pa.concat_tables(self._tables)
        self._tables = []
        return UserRows(table, vectors=self._vectors.values)


class UserRows:
    """All rows of one user, in the order of ``seq``.

    A search takes time and memory in proportion to their number: for n rows of d
    values a vector, n * d multiplications and about n * (4 * d + 500) bytes.

    Args:
        table: every row of the user, with the columns :data:`LOADED`.
        mixed: the rows are of several users.
        vectors: float32 (n, d), where ``table`` has all columns but these. Not copied.
    """

    def __init__(
        self,
        table: pa.Table,
        *,
        mixed: bool = False,
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        self._mixed = mixed
        if vectors is None:
            vectors = _vectors(table)
            table = table.drop_columns(["vector"])
        seq = table.column("seq").to_numpy()
        if (np.diff(seq) <= 0).any():
            order = np.argsort(seq, kind="stable")
            table, vectors = table.take(pa.array(order)), vectors[order]
        self._vector = _Growing(vectors)
        table = table.combine_chunks()
        self._tables = [table]
        self._joined: pa.Table | None = table
        self._codes: dict[str, dict[str, int]] = {name: {} for name in CODED}
        self._names: dict[str, list[str]] = {name: [] for name in CODED}
        self._places: list[dict[int, int]] = []
        numbers = {**_numbers(table), **self._coded(table)}
        self._columns = {name: _Growing(values) for name, values in numbers.items()}
        self._take_places(0)
        self._id_hashes: set[int] = set()
        self._repeated = False
        self._take_ids(table)
        self._view: RowsView | None = None
        #: About how many bytes it takes.
        self.nbytes = _size(table) + self._vector.values.nbytes

    def __len__(self) -> int:
        return len(self._vector.values)

    def view(self) -> RowsView:
        """The rows as they are now, to be read in any thread."""
        if self._view is None:
            self._view = RowsView(
                vectors=self._vector.values,
                columns={name: held.values for name, held in self._columns.items()},
                names=self._names,
                codes=self._codes,
                places=self._places,
                table=self._table(),
                mixed=self._mixed,
                repeated=self._repeated,
            )
        return self._view

    # Changes

    def add(self, table: pa.Table) -> None:
        """Add rows (:data:`LOADED`) that came after all others."""
        self._view = None
        first = len(self)
        self._tables.append(table.drop_columns(["vector"]))
        self._joined = None
        self._vector.add(_vectors(table))
        for name, values in {**_numbers(table), **self._coded(table)}.items():
            self._columns[name].add(values)
        self._take_places(first)
        self._take_ids(table)
        self.nbytes += _size(table)

    def without(self, seqs: NDArray[np.int64]) -> UserRows:
        """The same without some rows; itself where it has none of them."""
        view = self.view()
        gone = np.isin(view.columns["seq"], seqs)
        if not gone.any():
            return self
        return UserRows(view.taken(np.flatnonzero(~gone), LOADED), mixed=self._mixed)

    def count_uses(self, uses: Mapping[int, int], at: datetime) -> None:
        """Add to the access counts of the rows that are here."""
        view = self.view()
        seqs = np.fromiter(uses, np.int64, len(uses))
        rows, found = view.find(seqs)
        more = np.fromiter(uses.values(), np.int64, len(uses))[found]
        view.columns["access_count"][rows] += more
        view.columns["last_accessed"][rows] = micros(at)

    # How it is held

    def _table(self) -> pa.Table:
        if self._joined is None:
            self._joined = pa.concat_tables(self._tables)
            if len(self._tables) > _LOOSE_TABLES:
                self._joined = self._joined.combine_chunks()
                self._tables = [self._joined]
        return self._joined

    def _coded(self, table: pa.Table) -> dict[str, NDArray[Any]]:
        """The columns :data:`CODED` as numbers; new texts get the next ones."""
        found = {}
        for name in CODED:
            encoded = table.column(name).combine_chunks().dictionary_encode()
            if isinstance(encoded, pa.ChunkedArray):
                encoded = encoded.combine_chunks()
            codes, names = self._codes[name], self._names[name]
            of = []
            for text in encoded.dictionary.to_pylist():
                if text not in codes:
                    codes[text] = len(names)
                    names.append(text)
                of.append(codes[text])
            # The last one is what an index of -1 finds: null.
            numbers = np.array([*of, -1], np.int64)
            found[name] = numbers[encoded.indices.fill_null(-1).to_numpy()]
        return found

    def _take_ids(self, table: pa.Table) -> None:
        """Notice ids that come a second time. Equal hashes of two ids only cost a closer look."""
        before = len(self._id_hashes)
        self._id_hashes.update(map(hash, table.column("id").to_pylist()))
        self._repeated |= len(self._id_hashes) - before < len(table)

    def _take_places(self, first: int) -> None:
        while len(self._places) < len(self._names["conversation_id"]):
            self._places.append({})
        conversations = self._columns["conversation_id"].values[first:].tolist()
        turns = self._columns["turn"].values[first:].tolist()
        for row, (code, turn) in enumerate(zip(conversations, turns, strict=True), first):
            if code >= 0 and turn >= 0:
                self._places[code][turn] = row


def _size(table: pa.Table) -> int:
    nbytes: int = table.nbytes
    return nbytes + _ROW_OVERHEAD * int(table.num_rows)


def _numbers(table: pa.Table) -> dict[str, NDArray[Any]]:
    def column(name: str, missing: Any = None) -> NDArray[Any]:
        values = table.column(name)
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        values = values if missing is None else values.fill_null(missing)
        held: NDArray[Any] = values.to_numpy()
        return held

    return {
        "seq": column("seq"),
        "turn": column("turn", -1),
        "words": column("words"),
        "created_at": column("created_at"),
        "expires_at": column("expires_at", _NEVER),
        "importance": column("importance"),
        "confidence": column("confidence"),
        "question_share": column("question_share"),
        "ends_with_question": column("ends_with_question"),
        "names_time": column("names_time"),
        "tells_change": column("tells_change"),
        # Arrow's memory may not be written to.
        "access_count": column("access_count").copy(),
        "last_accessed": column("last_accessed").copy(),
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
