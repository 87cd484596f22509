"""Rows in memory, as arrays: :class:`HeldRows` grow, a :class:`Snapshot` does not change."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .columns import as_number, fulfilled
from .long_texts import LONG, long_texts, new_owner
from .query import Candidates, Condition, RowFilter, Scope
from .schema import CHECKSUM, COLUMNS, KEY_COLUMNS, key_of, micros
from .text_column import TextColumn
from .uses import USE_COLUMNS
from .vector_codes import VectorCodes, code_bytes
from .words.index import WordIndex
from .words.row_words import RowWords

#: A number for each row that whoever reads the snapshots keeps there: 0 until it is set. It may be
#: lost at any time, so it is only for what can be computed again.
NOTED = "noted"
#: The columns that :class:`HeldRows` are made of.
LOADED = (*COLUMNS, "vector")
#: Columns with few different texts, stored as numbers; -1 for null.
CODED = ("conversation_id", "role", "speaker")

# Bytes of a row's words, for each byte of its content: about what an index of them takes.
_WORDS_OF_A_BYTE = 2

#: The length of a row's content in UTF-8, which is no column of the table.
CONTENT_BYTES = "content_bytes"

# Columns whose arrays have exactly the table's values. In the others a number stands for null.
_COMPLETE = {
    *USE_COLUMNS,
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
# Times in which the largest int64 stands for null, so that "later than" matches it.
_FOREVER = ("expires_at", "archived_at")
# The number that stands for null in the arrays of these columns.
_MISSING = {"turn": -1, "expires_at": np.iinfo(np.int64).max, "archived_at": np.iinfo(np.int64).max}
_FEW = 16
# In bytes. Of a column of more, taking many rows copies too much.
_MUCH = 16 * 2**20
# Of fewer matching rows than this, copying their vectors takes less time than multiplying all.
_FEW_OF_ALL = 0.25
_NEVER = np.iinfo(np.int64).max
# Taking rows from many small tables is slow, but joining them copies every text. So up to this many
# tables stay separate.
_LOOSE_TABLES = 16
# Up to this many added tables wait to be prepared: doing it for all takes hardly longer than for
# one.
_WAITING_TABLES = 64
# Bytes of a row besides its columns: the entries for its turn and id, and its numbers in arrays.
_ROW_OVERHEAD = 300
# Of so many groups of users the rows together are kept.
_KEPT_TOGETHER = 8


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Rows in the order of their ``seq``. It does not change, so any thread may use it.

    Only the access counts are shared with the :class:`HeldRows` it was made from, and may change.

    Attributes:
        vectors: float32 (n, d).
        columns: by name, (n,): times in microseconds, :data:`CODED` as int64 indices into
            ``names``, other numbers and truth values as they are; a missing ``turn`` is -1, and
            a missing ``expires_at`` or ``archived_at`` the largest number; and
            :data:`CONTENT_BYTES`.
        names: by column of :data:`CODED`, the text of each number.
        codes: by column of :data:`CODED`, the number of each text.
        row_of_turn: for each conversation of ``names``, the row of each turn. Rows from n on were
            added later and are not in this snapshot.
        table: all other columns.
        mixed: whether the rows may belong to several users.
        whole: whether the user has no other rows; archived ones are not here.
        repeated: whether an id may occur twice, since a message may be in several conversations.
        owner: under which number its long texts are shared (:mod:`.long_texts`); None for not.
        words: the words of the rows, as far as they are made; shared with all other snapshots of
            the :class:`HeldRows`. Of rows of several users nobody makes any.
        vector_codes: codes of the vectors, of a large user; shared with all other snapshots of the
            :class:`HeldRows`.
        text_columns: readers of single texts, by column, made when they are first needed; None of
            a column that has nothing but nulls.
        former_texts: those of an earlier snapshot, whose rows are the first of these.
        nbytes: by column, its size, looked up when it is first needed.
        least: by column, its least number, looked up when it is first needed.
        asking: by ``seq``, hashes of what a row asks, which whoever reads the snapshots keeps
            there; shared with all other snapshots of the :class:`HeldRows`. As :data:`NOTED`, only
            for what can be computed again.
    """

    vectors: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]
    names: Mapping[str, Sequence[str]]
    codes: Mapping[str, Mapping[str, int]]
    row_of_turn: Sequence[Mapping[int, int]]
    table: pa.Table
    mixed: bool = False
    whole: bool = True
    repeated: bool = False
    owner: int | None = None
    words: RowWords = field(default_factory=RowWords)
    vector_codes: VectorCodes = field(default_factory=VectorCodes)
    text_columns: dict[str, TextColumn | None] = field(default_factory=dict)
    former_texts: Mapping[str, TextColumn] = field(default_factory=dict)
    nbytes: dict[str, int] = field(default_factory=dict)
    least: dict[str, int] = field(default_factory=dict)
    asking: dict[int, frozenset[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def matching(self, scope: Scope, where: RowFilter) -> NDArray[np.bool_] | None:
        """Which rows match the scope and the filter, bool (n,); None where all do."""
        parts: list[NDArray[np.bool_]] = []
        for condition in (*scope.conditions(), *where.conditions()):
            if condition.column == "user_id" and not self.mixed:
                continue  # All rows are the user's, and comparing so many texts takes time.
            held = condition.op == "alive" and condition.column in _FOREVER
            if held and self._least(condition.column) > as_number(condition.value):
                continue
            part = self._fulfils(condition)
            # Nearly always nothing has expired. Without a mask, a search copies no vectors.
            if condition.op != "alive" or not part.all():
                parts.append(part)
        return np.logical_and.reduce(parts) if parts else None

    def _least(self, name: str) -> int:
        """The least number of one of the columns :data:`_FOREVER`; the largest where none has."""
        if name not in self.least:
            self.least[name] = int(self.columns[name].min(initial=_NEVER))
        return self.least[name]

    def _fulfils(self, asked: Condition) -> NDArray[np.bool_]:
        """Which rows fulfil a condition, bool (n,).

        It is computed from the column's array where there is one without nulls, else from the
        table.
        """
        name, op, value = asked
        if name in _COMPLETE or (op == "alive" and name in _FOREVER):
            held = self.columns[name]
            if op == "in":
                return np.isin(held, [as_number(one) for one in value])
            found: NDArray[np.bool_] = _COMPARE[op](held, as_number(value))
            return found
        if op == "in" and name in CODED:
            codes = self.codes[name]
            return np.isin(self.columns[name], [codes[one] for one in value if one in codes])
        return fulfilled(self.table.column(name), asked)

    def nearest(
        self, vector: NDArray[np.float32], matching: NDArray[np.bool_] | None, limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The indices of the ``limit`` matching rows nearest to ``vector``, and their cosines.

        The search is exact, with n * d multiplications. Of equal rows the newest comes first. Of
        many rows the vectors of most are not read, as their codes say that others are nearer.
        """
        # einsum uses one thread. On a busy machine a threaded product of this size waits longer for
        # its threads than it computes.
        at = None if matching is None else np.flatnonzero(matching)
        few = at is not None and len(at) < _FEW_OF_ALL * len(self)
        if not few:
            near = self.vector_codes.perhaps_nearest(self.vectors, vector, at, limit)
            if near is not None:
                at, few = near, True
        held = self.vectors[at] if few else self.vectors
        score: NDArray[np.float32] = np.einsum("ij,j->i", held, vector)
        if at is not None and not few:
            score = score[at]
        if limit < len(score):
            # Keep all rows that tie with the last one, so that the newest of them are chosen.
            least = np.partition(score, len(score) - limit)[len(score) - limit]
            best = np.flatnonzero(score >= least)
        else:
            best = np.arange(len(score))
        # Rows are in the order of seq, so the newest of equal rows has the largest index.
        best = best[np.lexsort((-best, -score[best]))][:limit]
        return (best if at is None else at[best]), score[best]

    def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As ``RowIndex.search``, over the rows that are here."""
        return self.candidates(*self.nearest(vector, self.matching(scope, where), limit))

    def candidates(self, rows: NDArray[np.int64], score: NDArray[np.float32]) -> Candidates:
        """Rows and their scores as :class:`Candidates`."""
        names = self.names["conversation_id"]
        codes = self.columns["conversation_id"][rows].tolist()
        conversations = tuple(None if code < 0 else names[code] for code in codes)
        return Candidates(
            self.columns["seq"][rows], score, conversations, self.columns["turn"][rows]
        )

    def find(self, seqs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The indices of the rows with these ``seq``, and which of ``seqs`` were found."""
        held = self.columns["seq"]
        positions = np.searchsorted(held, seqs)
        found = np.zeros(len(seqs), np.bool_)
        inside = positions < len(held)
        found[inside] = held[positions[inside]] == seqs[inside]
        return positions[found], found

    def beside(self, rows: Iterable[int], distance: int) -> set[int]:
        """The rows up to ``distance`` turns away from each of ``rows``, in its conversation."""
        count = len(self)
        around = np.fromiter(rows, np.int64)
        conversations = self.columns["conversation_id"][around].tolist()
        turns = self.columns["turn"][around].tolist()
        beside: set[int | None] = set()
        for code, turn in zip(conversations, turns, strict=True):
            if code >= 0 and turn >= 0:
                held = self.row_of_turn[code]
                beside.update(map(held.get, range(turn - distance, turn + distance + 1)))
        return {row for row in beside if row is not None and row < count}

    def at(self, turns_of: Mapping[str, Sequence[int]]) -> set[int]:
        """The rows at some turns of some conversations."""
        count, codes = len(self), self.codes["conversation_id"]
        wanted: set[int] = set()
        for name, turns in turns_of.items():
            if name in codes:
                held = self.row_of_turn[codes[name]]
                wanted.update(row for turn in turns if (row := held.get(turn, count)) < count)
        return wanted

    def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
    ) -> pa.Table:
        """Columns of the rows that match, in the order of ``seq``; arguments as of ``RowIndex``."""
        matching = self.matching(scope, where)
        if seqs is None and turns is None:
            rows = np.arange(len(self)) if matching is None else np.flatnonzero(matching)
            return self.taken(rows, columns)
        named, _ = self.find(np.asarray(() if seqs is None else seqs, np.int64))
        rows = np.array(sorted({*named.tolist(), *self.at(turns or {})}), np.int64)
        return self.taken(rows if matching is None else rows[matching[rows]], columns)

    def taken(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Some rows as a table of these columns."""
        plain = [name for name in columns if name not in ("vector", *USE_COLUMNS)]
        taken = self.table.select(plain).take(pa.array(rows))
        for name in USE_COLUMNS:
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
        missing = _MISSING.get(name)
        if missing is not None:
            found = self.columns[name][rows].tolist()
            return [None if value == missing else value for value in found]
        if name in CODED:
            names = self.names[name]
            codes = self.columns[name][rows].tolist()
            return [None if code < 0 else names[code] for code in codes]
        few = len(rows) <= _FEW
        if few and (name in self.text_columns or name in self.former_texts):
            return self._texts(name, rows)
        column = self.table.column(name)
        if column.null_count == len(column):
            self.text_columns[name] = None
            return [None] * len(rows)
        few = few or self._is_large(name)
        if pa.types.is_timestamp(column.type):
            if few:
                return [column[row].value for row in rows.tolist()]
            column = column.cast(pa.int64())
        elif few:
            # For a few rows, reading each value takes less time than making a table of them.
            if pa.types.is_string(column.type):
                return self._texts(name, rows)
            return [column[row].as_py() for row in rows.tolist()]
        taken: list[Any] = column.take(pa.array(rows)).to_pylist()
        return taken

    def _is_large(self, name: str) -> bool:
        """Whether a column of the table has more bytes than :data:`_MUCH`."""
        if name not in self.nbytes:
            self.nbytes[name] = self.table.column(name).nbytes
        return self.nbytes[name] > _MUCH

    def _text_column(self, name: str) -> TextColumn | None:
        if name not in self.text_columns:
            former = self.former_texts.get(name)
            self.text_columns[name] = TextColumn(self.table.column(name), former)
        return self.text_columns[name]

    def made_texts(self) -> Mapping[str, TextColumn]:
        """All readers of texts, for a snapshot whose first rows are these."""
        # A copy, as other threads that read this snapshot make more of them.
        own = list(self.text_columns.items())
        return {**self.former_texts, **{name: made for name, made in own if made is not None}}

    def _texts(self, name: str, rows: NDArray[np.int64]) -> list[str | None]:
        column, places = self._text_column(name), rows.tolist()
        if column is None:
            return [None] * len(places)
        return [
            None
            if held is None
            else str(held, "utf-8")
            if len(held) <= LONG
            else self._long(name, row, held)
            for row, held in zip(places, column.raw(places), strict=True)
        ]

    def _long(self, name: str, row: int, held: memoryview) -> str:
        if self.owner is None:
            return long_texts.shared(str(held, "utf-8"))
        # Not by its row: a row number means another row after a deletion.
        key = (self.owner, name, int(self.columns["seq"][row]))
        return long_texts.get(key, lambda: str(held, "utf-8"))

    def contents(self, first: int, end: int) -> list[str]:
        """The contents of the rows from ``first`` on, up to ``end``."""
        texts: list[str] = self.table.column("content").slice(first, end - first).to_pylist()
        return texts

    def beginnings(self, rows: NDArray[np.int64], characters: int) -> list[str]:
        """The contents of some rows, of each so many characters at most."""
        column = self.table.column("content")
        if len(rows) > _FEW and not self._is_large("content"):
            texts: list[str] = column.take(pa.array(rows)).to_pylist()
            return [text[:characters] for text in texts]
        # Only the beginning of each is copied. A character has four bytes at most.
        held = self._text_column("content")
        assert held is not None, "content is never null"
        views = [b"" if view is None else view for view in held.raw(rows.tolist())]
        most = 4 * characters
        return [str(view[:most], "utf-8", "ignore")[:characters] for view in views]


class _Growing:
    """An array to which values can be appended without a copy each time."""

    def __init__(self, values: NDArray[Any], used: int | None = None) -> None:
        self._held = values
        self._count = len(values) if used is None else used

    @property
    def values(self) -> NDArray[Any]:
        """The values. The returned array does not change when more are appended."""
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


def split_archived(table: pa.Table) -> tuple[pa.Table, int | None]:
    """The rows of a table that are not archived, and when the last of the others was (micros)."""
    archived = table.column("archived_at")
    if archived.null_count == table.num_rows:
        return table, None
    return table.filter(archived.is_null()), pc.max(archived.cast(pa.int64())).as_py()


class Gathered:
    """Many rows of one user, added in batches so that memory never holds a second copy of them.

    Archived ones are left out.

    Args:
        count: how many rows are expected; there may be more or fewer.
    """

    def __init__(self, count: int) -> None:
        self._expected = count
        self._vectors: _Growing | None = None
        self._tables: list[pa.Table] = []
        self._count = 0
        self._archived_until: int | None = None
        #: About how many bytes :meth:`rows` will take.
        self.nbytes = 0

    def __len__(self) -> int:
        return self._count

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch (:data:`LOADED`). Any thread may call it, one at a time."""
        table, until = split_archived(pa.Table.from_batches([batch]))
        if until is not None:
            self._archived_until = max(until, self._archived_until or until)
        vectors = _vectors(table)
        if self._vectors is None:
            room = np.empty((self._expected, vectors.shape[1]), np.float32)
            self._vectors = _Growing(room, used=0)
        self._vectors.add(vectors)
        table = table.drop_columns(["vector"])
        self._tables.append(table)
        self._count += len(vectors)
        self.nbytes += _size(table) + vectors.nbytes

    def rows(self, *, mixed: bool = False) -> HeldRows:
        """The rows that were added; at least one.

        Args:
            mixed: they may belong to several users.
        """
        assert self._vectors is not None
        table = pa.concat_tables(self._tables)
        self._tables = []
        vectors, until = self._vectors.values, self._archived_until
        return HeldRows(table, mixed=mixed, vectors=vectors, archived_until=until)


@dataclass(frozen=True, slots=True, eq=False)
class HeldParts:
    """What :class:`HeldRows` of one user are made of, to be written and read back.

    Attributes:
        vectors: float32 (n, d).
        columns: as of :class:`Snapshot`. Who reads them back may write to them.
        names: as of :class:`Snapshot`.
        table: the other columns.
        repeated: as of :class:`Snapshot`.
        archived_until: as of :class:`HeldRows`.
        words: of these rows, of some of them, or of newer ones, too.
    """

    vectors: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]
    names: Mapping[str, Sequence[str]]
    table: pa.Table
    repeated: bool
    archived_until: int | None
    words: RowWords


class HeldRows:
    """Rows of one or several users, in the order of ``seq``. More rows may be added.

    A search takes time and memory in proportion to their number: for n rows of d
    values a vector, n * d multiplications and about n * (4 * d + 500) bytes.

    Args:
        table: the rows, with the columns :data:`LOADED`.
        mixed: the rows may belong to several users.
        vectors: float32 (n, d), where ``table`` has all columns but these. Not copied.
        archived_until: the user has archived rows, which are not here; when the last of them was
            archived, in microseconds.
        words: the words of the rows in the order of ``seq``, as far as there are any.
    """

    def __init__(
        self,
        table: pa.Table,
        *,
        mixed: bool = False,
        vectors: NDArray[np.float32] | None = None,
        archived_until: int | None = None,
        words: WordIndex | None = None,
    ) -> None:
        #: The words of the rows, as far as they are made.
        self.words = RowWords(words)
        if vectors is None:
            vectors = _vectors(table)
            table = table.drop_columns(["vector"])
        seq = table.column("seq").to_numpy()
        if (np.diff(seq) <= 0).any():
            order = np.argsort(seq, kind="stable")
            table, vectors = table.take(pa.array(order)), vectors[order]
        table = table.combine_chunks()
        self._begin(table, vectors, mixed=mixed, archived_until=archived_until)
        numbers = {**_numbers(table), **self._coded(table)}
        self._columns = {name: _Growing(values) for name, values in numbers.items()}
        self._take_turns(0)
        self._repeated = pc.count_distinct(table.column("id")).as_py() < len(table)

    @classmethod
    def from_parts(cls, parts: HeldParts) -> HeldRows:
        """Rows of one user as :meth:`parts` gave them, without preparing them again."""
        held = cls.__new__(cls)
        held.words = parts.words
        held._begin(
            parts.table.combine_chunks(),
            parts.vectors,
            mixed=False,
            archived_until=parts.archived_until,
        )
        held._names = {name: list(parts.names[name]) for name in CODED}
        held._codes = {
            name: {text: code for code, text in enumerate(names)}
            for name, names in held._names.items()
        }
        held._columns = {name: _Growing(values) for name, values in parts.columns.items()}
        held._take_turns(0)
        held._repeated = parts.repeated
        return held

    def parts(self) -> HeldParts:
        """The rows as they are now. Only what may change meanwhile is copied."""
        snapshot = self.snapshot()
        columns = dict(snapshot.columns)
        for name in USE_COLUMNS:
            columns[name] = columns[name].copy()
        # Whoever reads the file makes these anew.
        columns[NOTED] = np.zeros(len(snapshot), np.int64)
        names = {name: tuple(self._names[name]) for name in CODED}
        return HeldParts(
            snapshot.vectors,
            columns,
            names,
            snapshot.table,
            snapshot.repeated,
            self._archived_until,
            self.words,
        )

    def _begin(
        self,
        table: pa.Table,
        vectors: NDArray[np.float32],
        *,
        mixed: bool,
        archived_until: int | None,
    ) -> None:
        self._mixed = mixed
        self._archived_until = archived_until
        self._owner = None if mixed else new_owner()
        self._vector = _Growing(vectors)
        self._vector_codes = VectorCodes()
        self._tables = [table]
        self._joined: pa.Table | None = table
        self._codes: dict[str, dict[str, int]] = {name: {} for name in CODED}
        self._names: dict[str, list[str]] = {name: [] for name in CODED}
        self._turn_rows: list[dict[int, int]] = []
        # Made when rows are added, which most users' rows never are while they are held.
        self._id_hashes: set[int] | None = None
        self._repeated = False
        # Tables added since the last snapshot; they are prepared for the next one.
        self._waiting: list[pa.Table] = []
        self._count = len(vectors)
        self._snapshot: Snapshot | None = None
        # Of the last snapshot, as long as its tables are the first of those that there are now.
        self._former_texts: Mapping[str, TextColumn] = {}
        self._asking: dict[int, frozenset[int]] = {}
        #: About how many bytes it takes.
        self.nbytes = _size(table) + vectors.nbytes + code_bytes(*vectors.shape)

    def __len__(self) -> int:
        return self._count

    def has_all(self, where: RowFilter) -> bool:
        """Whether every row of the user that a filter lets through is here."""
        until, at = self._archived_until, where.unarchived_at
        return until is None or (at is not None and micros(at) >= until)

    def snapshot(self) -> Snapshot:
        """The rows as they are now; any thread may read the snapshot."""
        self._make_ready()
        if self._snapshot is None:
            table = self._table()
            self._snapshot = Snapshot(
                vectors=self._vector.values,
                columns={name: held.values for name, held in self._columns.items()},
                names=self._names,
                codes=self._codes,
                row_of_turn=self._turn_rows,
                table=table,
                mixed=self._mixed,
                whole=self._archived_until is None,
                repeated=self._repeated,
                owner=self._owner,
                former_texts=self._former_texts,
                asking=self._asking,
                words=self.words,
                vector_codes=self._vector_codes,
            )
        return self._snapshot

    # Changes

    def add(self, table: pa.Table) -> None:
        """Add rows (:data:`LOADED`) that are newer than all others."""
        self._waiting.append(table)
        dimension = self._vector.values.shape[1]
        self.nbytes -= code_bytes(self._count, dimension)
        self._count += table.num_rows
        self.nbytes += code_bytes(self._count, dimension)
        self.nbytes += table.get_total_buffer_size() + _besides(table)
        if len(self._waiting) >= _WAITING_TABLES:
            self._make_ready()

    def without(self, seqs: NDArray[np.int64]) -> HeldRows:
        """A copy without some rows; ``self`` where it has none of them."""
        return self.copying_without(seqs)()

    def copying_without(self, seqs: NDArray[np.int64]) -> Callable[[], HeldRows]:
        """Makes the copy of :meth:`without` of the rows that are here now, in any thread."""
        snapshot = self.snapshot()
        gone = np.isin(snapshot.columns["seq"], seqs)
        words = self.words.index

        def copy() -> HeldRows:
            if not gone.any():
                return self
            kept = np.flatnonzero(~gone)
            # Their words may be of fewer rows than there are, or of newer ones, too.
            own = None if words is None else words.taken(kept[kept < len(words)])
            left = snapshot.taken(kept, LOADED)
            return HeldRows(left, mixed=self._mixed, archived_until=self._archived_until, words=own)

        return copy

    def with_keys_of(self, rows: pa.Table) -> NDArray[np.int64]:
        """The ``seq`` of the held rows that have the key of one of these rows."""
        snapshot = self.snapshot()
        ids = snapshot.table.column("id")
        named = pc.is_in(ids, rows.column("id").unique())
        at = np.flatnonzero(named.to_numpy(zero_copy_only=False))
        wanted = {key_of(row) for row in rows.select(KEY_COLUMNS).to_pylist()}
        held = snapshot.table.select(KEY_COLUMNS).take(pa.array(at)).to_pylist()
        gone = np.array([key_of(row) in wanted for row in held], np.bool_)
        seqs: NDArray[np.int64] = snapshot.columns["seq"][at[gone]]
        return seqs

    def set_uses(self, rows: pa.Table) -> None:
        """Set :data:`USE_COLUMNS` of the rows with these ``seq``; others are ignored."""
        self.set_use_values(rows.column("seq").to_numpy(), use_values(rows))

    def set_use_values(
        self, seqs: NDArray[np.int64], values: Mapping[str, NDArray[np.int64]]
    ) -> None:
        """As :meth:`set_uses`, of arrays: by column int64 (n,), times in microseconds."""
        snapshot = self.snapshot()
        positions, found = snapshot.find(seqs)
        if len(positions):
            for name, given in values.items():
                snapshot.columns[name][positions] = given[found]

    # Internals

    def _make_ready(self) -> None:
        if not self._waiting:
            return
        # One table in one part is mostly what a single message has added: joining it would copy it.
        table = self._waiting[0] if len(self._waiting) == 1 else pa.concat_tables(self._waiting)
        if len(table.column("content").chunks) != 1:
            table = table.combine_chunks()
        self._waiting = []
        if self._snapshot is not None:
            self._former_texts = self._snapshot.made_texts()
            self._snapshot = None
        first = len(self._vector.values)
        self._take_ids(table)
        self._tables.append(table.drop_columns(["vector"]))
        self._joined = None
        self._vector.add(_vectors(table))
        for name, values in {**_numbers(table), **self._coded(table)}.items():
            self._columns[name].add(values)
        self._take_turns(first)

    def _table(self) -> pa.Table:
        if self._joined is None:
            self._joined = pa.concat_tables(self._tables)
            if len(self._tables) > _LOOSE_TABLES:
                self._joined = self._joined.combine_chunks()
                self._tables = [self._joined]
                self._former_texts = {}
        return self._joined

    def _coded(self, table: pa.Table) -> dict[str, NDArray[Any]]:
        """The columns :data:`CODED` as numbers; new texts get new numbers."""
        found = {}
        for name in CODED:
            if table.num_rows <= _FEW:
                texts = table.column(name).to_pylist()
                found[name] = np.array([self._code(name, text) for text in texts], np.int64)
                continue
            encoded = table.column(name).combine_chunks().dictionary_encode()
            if isinstance(encoded, pa.ChunkedArray):
                encoded = encoded.combine_chunks()
            of = [self._code(name, text) for text in encoded.dictionary.to_pylist()]
            # Null has the index -1, which finds the last entry.
            numbers = np.array([*of, -1], np.int64)
            found[name] = numbers[encoded.indices.fill_null(-1).to_numpy()]
        return found

    def _code(self, name: str, text: str | None) -> int:
        """The number of a text of a column of :data:`CODED`; -1 for null."""
        if text is None:
            return -1
        codes = self._codes[name]
        if text not in codes:
            names = self._names[name]
            codes[text] = len(names)
            names.append(text)
        return codes[text]

    def _take_ids(self, table: pa.Table) -> None:
        """Note whether an added id is there already. Equal hashes only cost time."""
        if self._id_hashes is None:
            held = self._table().column("id")
            self._id_hashes = set(map(hash, held.to_pylist()))
        before = len(self._id_hashes)
        self._id_hashes.update(map(hash, table.column("id").to_pylist()))
        self._repeated |= len(self._id_hashes) - before < len(table)

    def _take_turns(self, first: int) -> None:
        while len(self._turn_rows) < len(self._names["conversation_id"]):
            self._turn_rows.append({})
        codes = self._columns["conversation_id"].values[first:]
        turns = self._columns["turn"].values[first:]
        if len(codes) <= _FEW:
            for row, (code, turn) in enumerate(
                zip(codes.tolist(), turns.tolist(), strict=True), first
            ):
                if code >= 0 and turn >= 0:
                    self._turn_rows[code][turn] = row
            return
        order = np.argsort(codes, kind="stable")
        order = order[(codes[order] >= 0) & (turns[order] >= 0)]
        if not len(order):
            return
        # One conversation after the other; of a turn that is there twice the newest row counts.
        ends = [*(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), len(order)]
        numbers, rows, begin = turns[order].tolist(), (order + first).tolist(), 0
        for end in ends:
            held = self._turn_rows[int(codes[order[begin]])]
            held.update(zip(numbers[begin:end], rows[begin:end], strict=True))
            begin = end


def use_values(rows: pa.Table) -> dict[str, NDArray[np.int64]]:
    """Those of :data:`USE_COLUMNS` that a table has, as arrays; times in microseconds."""
    found = {}
    for name in USE_COLUMNS:
        if name in rows.column_names:
            values = rows.column(name)
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.int64())
            found[name] = values.to_numpy()
    return found


def _size(table: pa.Table) -> int:
    nbytes: int = table.nbytes
    return nbytes + _besides(table)


def _besides(table: pa.Table) -> int:
    """About how many bytes some rows take besides their columns."""
    texts: int = table.column("content").nbytes
    return _ROW_OVERHEAD * int(table.num_rows) + _WORDS_OF_A_BYTE * texts


def _numbers(table: pa.Table) -> dict[str, NDArray[Any]]:
    # Of a stored message this is most of the work of taking it in, so nothing is copied or cast
    # that may be read as it is.
    batches = table.to_batches()
    alone = batches[0] if len(batches) == 1 else None

    def column(name: str, missing: Any = None) -> NDArray[Any]:
        values = table.column(name) if alone is None else alone.column(name)
        if missing is not None and values.null_count == len(values):
            return np.full(len(values), missing, np.int64)
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64()) if alone is None else values.view(pa.int64())
        if missing is not None and values.null_count:
            values = values.fill_null(missing)
        held: NDArray[Any] = np.asarray(values)
        return held

    return {
        "seq": column("seq"),
        "turn": column("turn", -1),
        "words": column("words"),
        CONTENT_BYTES: pc.binary_length(table.column("content")).to_numpy(),
        "created_at": column("created_at"),
        "expires_at": column("expires_at", _NEVER),
        "archived_at": column("archived_at", _NEVER),
        "importance": column("importance"),
        "confidence": column("confidence"),
        "question_share": column("question_share"),
        "ends_with_question": column("ends_with_question"),
        "names_time": column("names_time"),
        "tells_change": column("tells_change"),
        # A copy, because Arrow's memory is read-only.
        "access_count": column("access_count").copy(),
        "last_accessed": column("last_accessed").copy(),
        CHECKSUM: column(CHECKSUM).copy(),
        NOTED: np.zeros(len(table), np.int64),
    }


def _vectors(table: pa.Table) -> NDArray[np.float32]:
    column = table.column("vector")
    values = np.empty((len(column), column.type.list_size), np.float32)
    at = 0
    # Chunk by chunk: if Arrow joined them, memory would hold them two more times.
    for part in column.chunks:
        values[at : at + len(part)] = part.flatten().to_numpy().reshape(len(part), values.shape[1])
        at += len(part)
    return values


def _as_column(vectors: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


class Together:
    """The rows of several users as one snapshot, made of those of each.

    The last ones that were made are kept while nothing changes. Their access counts are those of
    the time when they were made.
    """

    def __init__(self) -> None:
        self._made: list[tuple[tuple[Snapshot, ...], Snapshot]] = []

    def of(self, parts: Sequence[Snapshot]) -> Snapshot | None:
        """The rows of these snapshots; None of none. Any thread may call it."""
        wanted = tuple(one for one in parts if len(one))
        if len(wanted) <= 1:
            return _as_mixed(wanted[0]) if wanted else None
        for held, made in self._made:
            if len(held) == len(wanted) and all(map(operator.is_, held, wanted)):
                return made
        tables = [one.taken(np.arange(len(one)), LOADED) for one in wanted]
        made = HeldRows(pa.concat_tables(tables), mixed=True).snapshot()
        self._made = [(wanted, made), *self._made][:_KEPT_TOGETHER]
        return made


def _as_mixed(one: Snapshot) -> Snapshot:
    return replace(one, mixed=True)
