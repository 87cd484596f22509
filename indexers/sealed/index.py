"""An index that seals rows before another one stores them, and opens them as they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..columns import fulfilled
from ..forwarding import ForwardingRowIndex, capability
from ..protocols import RowIndex, Versioned
from ..query import EVER, EVERYONE, Candidates, Condition, LexicalQuery, RowFilter, Scope
from ..schema import COLUMNS, row_schema
from ..snapshot import LOADED
from ..text.analysis import Analyser
from ..words.terms import TERMS, term_numbers, terms_of
from .opened import OpenedRows
from .payload import vectors_of
from .rotation import Rotation
from .rows import DIMENSION, PLAIN, READ, Keys, changes_of, opened, recoded, sealed, unopened_rows

# Opening more rows than this would block the event loop for too long.
_ROWS_ON_THE_LOOP = 100
# So many rows are opened at a time, where only some of them are kept.
_OPENED_AT_ONCE = 8192
_WHOLE = frozenset(COLUMNS)
# Beside twice as many rows as are asked for, so many are proposed by codes; where too few of them
# fulfil the filter, so many times as many.
_PROPOSED_MORE, _REACH_MORE = 50, 4
_END = datetime(9999, 12, 31, tzinfo=timezone.utc)
_ALL = RowFilter()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A scope and a filter, as the engine is asked, and what is left to be seen in opened rows."""

    scope: Scope
    where: RowFilter
    left: tuple[Condition, ...]


class SealedIndex(ForwardingRowIndex):
    """A ``RowIndex`` whose engine has sealed rows only (:mod:`.rows`).

    The engine narrows rows down by user, conversation, id, kind, turn and ``seq``. All other
    conditions, and every search, are of the opened rows, in memory. So a search of a user reads all
    rows of the user; the cache in front of this one keeps them. One over all users reads all rows.

    A row that cannot be opened is given out, where whole rows are read, with a checksum that does
    not fit, so that it counts as damaged; else it is left out.

    Args:
        inner: the engine, for vectors of :data:`~.rows.DIMENSION` values.
        keys: the keys of the store.
        dimension: of the vectors.
        analyser: makes the terms of rows and of questions.
        read_only: another process may change the rows.
        rotation: by which the engine has codes of the vectors, for a search that opens only what
            they propose; None where it has none.
    """

    def __init__(
        self,
        inner: RowIndex,
        keys: Keys,
        dimension: int,
        analyser: Analyser,
        *,
        read_only: bool = False,
        rotation: Rotation | None = None,
    ) -> None:
        super().__init__(inner)
        self.keys = keys
        self.hidden_width = len(keys.hashed("id", ""))
        self.schema = row_schema(dimension)
        self._dimension = dimension
        self._rotation = rotation
        self._read_only = read_only
        self._seen: int | None = None
        # The number of the analysis by which terms are kept beside the texts.
        (self._analysis,) = term_numbers([analyser.name]).tolist()
        self._opened_rows = OpenedRows(analyser, self._read_all, lambda: self.average_length(()))
        # How many rows there are, and how many terms they have; None where it is not known.
        self._lengths: tuple[int, int] | None = None
        #: The ``seq`` of each row that could not be opened.
        self.unopened: set[int] = set()
        #: How many rows were opened until now.
        self.opened_rows = 0

    @property
    def stored_dimension(self) -> int:
        """How many values a vector has in the engine."""
        return self.stored(self._dimension)

    def stored(self, dimension: int) -> int:
        """How many it would have, of vectors of this dimension."""
        return DIMENSION if self._rotation is None else dimension

    def in_front_of(self, inner: RowIndex) -> SealedIndex:
        """The same in front of another index."""
        same = type(self)(
            inner,
            self.keys,
            self._dimension,
            self.analyser,
            read_only=self._read_only,
            rotation=self._rotation,
        )
        same._lengths = self._lengths
        return same

    def of_vectors(self, inner: RowIndex, dimension: int) -> SealedIndex:
        """The same in front of another index, of rows with vectors of another length."""
        rotation = self._rotation
        if rotation is not None:
            rotation = rotation.of(dimension)
        return type(self)(inner, self.keys, dimension, self.analyser, rotation=rotation)

    # Changes

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        table = rows.select(LOADED)
        # In a thread: a new user's key is synced to the disk first.
        ready = await asyncio.to_thread(self._sealed, table)
        await self.inner.upsert(ready, all_new=all_new)
        self._opened_rows.drop()
        if all_new and self._lengths is not None:
            held, terms = self._lengths
            added = sum(ready.column("words").to_pylist())
            self._lengths = held + ready.num_rows, terms + added
        elif not all_new:
            await self.learn_lengths()

    async def update(self, rows: pa.Table) -> None:
        seqs = rows.column("seq").to_pylist()
        if not seqs:
            return
        held = await self.inner.read(EVERYONE, _ALL, READ, seqs=seqs)
        changed = [name for name in rows.column_names if name != "seq"]

        def work() -> pa.Table:
            columns = (*LOADED, TERMS)
            found = opened(held, columns, self.keys, self._dimension, self._analysis)
            table = found.rows
            given = rows.column("seq").to_numpy()
            order = np.argsort(given, kind="stable")
            wanted = table.column("seq").to_numpy()
            places = pa.array(order[np.searchsorted(given[order], wanted)])
            for name in changed:
                at = table.schema.get_field_index(name)
                field = self.schema.field(name)
                values = rows.column(name).take(places).cast(field.type)
                table = table.set_column(at, field, values)
            if "content" in changed:
                ready = self._sealed(table.drop_columns([TERMS]))
            else:
                ready = sealed(table, self.keys, self._analysis, self._rotation)
            return changes_of(ready, changed)

        ready = await asyncio.to_thread(work)
        if ready.num_rows:
            await self.inner.update(ready)
        self._opened_rows.drop()
        if "content" in changed:
            await self.learn_lengths()

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        asked = self._asked(scope, where)
        if asked.left:
            found = await self.read(scope, where, ["seq"], seqs=seqs)
            seqs = found.column("seq").to_pylist()
            if not seqs:
                return np.empty(0, np.int64)
        gone = await self.inner.delete(asked.scope, asked.where, seqs=seqs)
        if len(gone):
            self._opened_rows.drop()
        self.unopened.difference_update(gone.tolist())
        if len(gone) and self._lengths is not None:
            await self.learn_lengths()
        return gone

    # Reading

    async def read(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        seqs: Sequence[int] | None = None,
        turns: Mapping[str, Sequence[int]] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        asked = self._asked(scope, where)
        hidden_turns = None if turns is None else self._hashed_turns(turns)
        order = () if order_by is None else (order_by, "seq")
        engine_orders = not asked.left and PLAIN.issuperset(order)
        if not asked.left and PLAIN.issuperset((*columns, *order)):
            return await self.inner.read(
                asked.scope,
                asked.where,
                columns,
                seqs=seqs,
                turns=hidden_turns,
                order_by=order_by,
                limit=limit,
            )
        table = await self.inner.read(
            asked.scope,
            asked.where,
            READ,
            seqs=seqs,
            turns=hidden_turns,
            order_by=order_by if engine_orders else None,
            limit=limit if engine_orders or (order_by is None and not asked.left) else None,
        )
        needed = list(
            dict.fromkeys((*columns, *order, *(condition.column for condition in asked.left)))
        )

        def work() -> pa.Table:
            parts = [
                self._opened(table.slice(start, _OPENED_AT_ONCE), needed, columns, asked.left)
                for start in range(0, max(table.num_rows, 1), _OPENED_AT_ONCE)
            ]
            found = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
            if order and not engine_orders:
                keys = [(name, "descending") for name in dict.fromkeys(order)]
                found = found.take(pc.sort_indices(found, keys))
            if limit is not None:
                found = found.slice(0, limit)
            return found.select(list(columns))

        return await self._worked(table.num_rows, work)

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        columns = ["seq", "conversation_id", "turn", "vector"]
        if self._rotation is None:
            found = await self.read(scope, where, columns)
        else:
            found = await self._proposed(self._rotation, vector, scope, where, limit, columns)

        def work() -> Candidates:
            if not found.num_rows:
                return Candidates.empty()
            seq = found.column("seq").to_numpy()
            score = np.einsum("ij,j->i", vectors_of(found.column("vector")), vector)
            best = np.lexsort((-seq, -score))[:limit]
            conversations = found.column("conversation_id").take(pa.array(best)).to_pylist()
            turn = found.column("turn").fill_null(-1).to_numpy()
            return Candidates(
                seq[best], score[best].astype(np.float32), tuple(conversations), turn[best]
            )

        return await self._worked(found.num_rows, work)

    async def _proposed(
        self,
        rotation: Rotation,
        vector: NDArray[np.float32],
        scope: Scope,
        where: RowFilter,
        limit: int,
        columns: list[str],
    ) -> pa.Table:
        """The rows that may be the nearest, by the engine's codes; of all only these are opened."""
        asked = self._asked(scope, where)
        rotated = await asyncio.to_thread(rotation.rotated, vector)
        enough = 2 * limit + _PROPOSED_MORE
        reach = enough
        while True:
            near = await self.inner.search(rotated, asked.scope, asked.where, reach)
            found = await self.read(scope, where, columns, seqs=near.seq.tolist())
            # What is sealed may not fulfil the filter.
            if len(near) < reach or not asked.left or found.num_rows >= limit:
                return found
            reach *= _REACH_MORE

    async def count(self, scope: Scope, where: RowFilter) -> int:
        asked = self._asked(scope, where)
        if not asked.left:
            return await self.inner.count(asked.scope, asked.where)
        return int((await self.read(scope, where, ["seq"])).num_rows)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        asked = self._asked(scope, _ALL)
        if PLAIN.issuperset(columns):
            async for batch in self.inner.after(seq, columns, asked.scope):
                yield batch
            return
        async for batch in self.inner.after(seq, READ, asked.scope):
            table = pa.Table.from_batches([batch])
            found = await self._worked(
                table.num_rows, partial(self._opened, table, columns, columns, ())
            )
            for part in found.to_batches():
                yield part

    async def health(self) -> dict[str, Any]:
        return {
            **await self.inner.health(),
            "encrypted": True,
            "unopened": sorted(self.unopened),
            "opened": self.opened_rows,
        }

    async def close(self) -> None:
        self._opened_rows.drop()
        await self.inner.close()

    # Words

    @property
    def analyser(self) -> Analyser:
        """As of :class:`~..protocols.SearchesText`."""
        return self._opened_rows.analyser

    def average_length(self, terms: Sequence[str]) -> float | None:
        """How many terms a row of all users has on average; None where it is not known."""
        if self._lengths is None or not self._lengths[0]:
            return None
        return self._lengths[1] / self._lengths[0] or None

    async def learn_lengths(self) -> None:
        """Read how many terms each row has: a small column, and nothing is opened."""
        rows = total = 0
        async for batch in self.inner.after(-1, ["words"]):
            rows += batch.num_rows
            total += int(batch.column("words").to_numpy(zero_copy_only=False).sum())
        self._lengths = rows, total

    # Ids, which nobody has to open for

    def hidden_ids(self, ids: Sequence[str]) -> list[str]:
        """As of :class:`~..protocols.HidesIds`."""
        return [self.keys.hashed("id", one) for one in ids]

    def stored_ids(self) -> AsyncIterator[pa.RecordBatch]:
        """As of :class:`~..protocols.HidesIds`."""
        return self.inner.after(-1, ["id"])

    @property
    def terms_analysis(self) -> str:
        """As of :class:`~..protocols.KeepsTerms`."""
        return self.analyser.name

    # Another form

    def recoded(self, rows: pa.Table, rotation: Rotation | None) -> pa.Table:
        """The engine's rows for one that has the codes of a rotation, or none."""
        return recoded(rows, self.keys, self._analysis, self._dimension, rotation)

    # Internals

    async def _read_all(self, scope: Scope, columns: tuple[str, ...]) -> pa.Table:
        return await self.read(scope, _ALL, columns)

    def _sealed(self, rows: pa.Table) -> pa.Table:
        numbers, lengths = terms_of(rows.column("content").to_pylist(), self.analyser)
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        terms = pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers))
        return sealed(rows.append_column(TERMS, terms), self.keys, self._analysis, self._rotation)

    def _asked(self, scope: Scope, where: RowFilter) -> _Asked:
        user, conversation = scope.user_id, scope.conversation_id
        own = Scope(
            None if user is None else self.keys.hashed("user_id", user),
            None if conversation is None else self.keys.hashed("conversation_id", conversation),
            tuple(self.keys.hashed("user_id", one) for one in scope.also),
        )
        given: dict[str, Any] = {}
        left = []
        if scope.before_turn is not None:
            left.append(Condition("turn", "lt", scope.before_turn))
        for condition in where.conditions():
            name, op, value = condition
            if name == "kind" and op == "in" and "kinds" not in given:
                given["kinds"] = value
            elif name == "id" and op == "in" and "ids" not in given:
                given["ids"] = tuple(self.keys.hashed("id", one) if one else one for one in value)
            else:
                left.append(condition)
                # The engine knows which rows have a time at all.
                if name == "expires_at" and op == "lt":
                    given["expired_before"] = _END
                elif name == "archived_at" and op == "ge":
                    given["archived_since"] = EVER
                elif name == "pinned_at" and op == "ge":
                    given["pinned_since"] = EVER
        return _Asked(own, RowFilter(**given) if given else _ALL, tuple(left))

    def _hashed_turns(self, turns: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
        return {self.keys.hashed("conversation_id", one): at for one, at in turns.items()}

    def _opened(
        self,
        table: pa.Table,
        needed: Sequence[str],
        columns: Sequence[str],
        left: Iterable[Condition],
    ) -> pa.Table:
        found = opened(table, needed, self.keys, self._dimension, self._analysis)
        rows = found.rows
        self.opened_rows += table.num_rows
        for condition in left:
            if rows.num_rows:
                rows = rows.filter(pa.array(fulfilled(rows.column(condition.column), condition)))
        if found.unopened:
            self.unopened.update(found.unopened)
            if _WHOLE.issubset(columns):
                closed = np.setdiff1d(np.arange(table.num_rows), found.at)
                broken = unopened_rows(table.take(pa.array(closed)), needed, self._dimension)
                rows = pa.concat_tables([rows, broken])
        return rows

    async def _worked(self, rows: int, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work) if rows > _ROWS_ON_THE_LOOP else work()


class SealedTextIndex(SealedIndex):
    """A :class:`SealedIndex` that searches text, too: for each question in the opened rows."""

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """As of :class:`~..protocols.SearchesText`."""
        await self._look_for_changes()
        return await self._opened_rows.search_text(query, scope, where, limit)

    async def search_both(
        self,
        vector: NDArray[np.float32],
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        *,
        nearest: int,
        text: int,
    ) -> tuple[Candidates, Candidates]:
        """As of :class:`~..protocols.SearchesText`."""
        near = words = Candidates.empty()
        await self._look_for_changes()
        snapshot = await self._opened_rows.of(scope)
        if snapshot is None:
            return near, words
        if nearest:
            near = await asyncio.to_thread(snapshot.search, vector, scope, where, nearest)
        if text:
            words = await self._opened_rows.search_text(query, scope, where, text)
        return near, words

    async def _look_for_changes(self) -> None:
        """For a reader: forget opened rows where another process has changed some."""
        if self._read_only:
            versioned = capability(self.inner, Versioned)
            version = None if versioned is None else await versioned.version()
            if version is None or version != self._seen:
                self._opened_rows.drop()
            self._seen = version
