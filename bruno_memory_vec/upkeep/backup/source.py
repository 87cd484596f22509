"""A point of a backup, read as if it were a store: what a restore copies."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import ReadOnlyError, StoreVersionError
from bruno_memory_vec.indexers.query import EVERYONE, Candidates, RowFilter, Scope
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION, row_schema
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.upkeep.backup.chunks import rows_of_parts, unpacked
from bruno_memory_vec.upkeep.backup.contents import Contents
from bruno_memory_vec.upkeep.backup.people import into_sessions, read_people
from bruno_memory_vec.upkeep.backup.points import Point
from bruno_memory_vec.upkeep.backup.repository import Repository
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.reembedding.report import Unembedding

if TYPE_CHECKING:
    from bruno_memory_vec.writing.writer import Writer

# A copy reads rows in the order of their seq, which goes through few chunks at a time.
_CHUNKS_HELD = 6


@dataclass(frozen=True, slots=True)
class PointSource:
    """What :class:`~.copying.run.CopySource` asks for, of a point.

    Attributes:
        config: its ``url`` is what reports and errors call it.
        embedder: embeds nothing; its fingerprint is that of the rows' vectors.
        rows: the point's.
        sessions: a session store in memory with what the point has.
        writer: nobody writes to it.
        erased: how many rows and users cannot be opened, since their key was destroyed.
    """

    config: MemoryConfig
    embedder: Unembedding
    rows: PointRows
    sessions: SQLiteSessionStore
    writer: Writer | None = None
    erased: int = 0


@asynccontextmanager
async def source_of(
    repository: Repository, sealing: Sealing, point: Point
) -> AsyncIterator[PointSource]:
    """A point to copy from, until the end of the block.

    Raises:
        EngineError: a piece of it is missing or damaged.
        StoreVersionError: its rows are of another version's schema.
        StoreError: the key is another one.
    """
    if point.schema != SCHEMA_VERSION:
        raise StoreVersionError(
            f"the rows of point {point.number} of {repository.path} have the schema "
            f"{point.schema}, and this version has {SCHEMA_VERSION}",
            fix="Restore it with the version of bruno-memory-vec that made it, and migrate that.",
        )
    contents = await asyncio.to_thread(Contents.read, repository, sealing, point.chunks)
    people, erased = await read_people(repository, sealing, point.people)
    rows = PointRows(repository, sealing, contents, point.fingerprint.dimension)
    sessions = await SQLiteSessionStore.open(":memory:", 1)
    try:
        await into_sessions(sessions, people)
        config = MemoryConfig(url=f"{repository.path}#{point.number}", read_only=True)
        yield PointSource(config, Unembedding(point.fingerprint), rows, sessions, None, erased)
    finally:
        await sessions.close()


class PointRows:
    """A ``RowIndex`` of a point's rows, to read.

    Rows of a user whose key was destroyed are not among them.

    Args:
        repository: where its pieces are.
        sealing: what they passed.
        contents: where each row is.
        dimension: of the vectors.
    """

    name = "backup"

    def __init__(
        self, repository: Repository, sealing: Sealing, contents: Contents, dimension: int
    ) -> None:
        self.schema = row_schema(dimension)
        self._repository = repository
        self._sealing = sealing
        self._contents = contents
        self._order = np.argsort(contents.seq)
        self._held: OrderedDict[int, pa.Table] = OrderedDict()

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
        """Rows by their ``seq``; nothing else is asked of a point."""
        if seqs is None or turns or order_by or limit is not None or where != RowFilter():
            raise NotImplementedError("a point of a backup is read by seq")
        wanted = np.unique(np.asarray(seqs, np.int64))
        sorted_seq = self._contents.seq[self._order]
        at = np.searchsorted(sorted_seq, wanted).clip(max=max(0, len(sorted_seq) - 1))
        found = self._order[at[sorted_seq[at] == wanted]] if len(sorted_seq) else at[:0]
        chunk = self._contents.chunk[found]
        parts = [self._empty(columns)]
        for number in np.unique(chunk).tolist():
            table = await asyncio.to_thread(self._chunk, number)
            own = pa.array(self._contents.seq[found[chunk == number]])
            kept = table.filter(pc.is_in(table.column("seq"), value_set=own))
            parts.append(_within(kept, scope).select(list(columns)))
        return pa.concat_tables(parts)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        """Every row of the scope behind ``seq``."""
        for number in range(len(self._contents.chunks)):
            table = await asyncio.to_thread(self._chunk, number)
            kept = table.filter(pc.greater(table.column("seq"), seq))
            for batch in _within(kept, scope).select(list(columns)).to_batches():
                yield batch

    async def count(self, scope: Scope, where: RowFilter) -> int:
        """How many rows of the scope."""
        total = 0
        async for batch in self.after(-1, ("seq",), scope):
            total += batch.num_rows
        return total

    async def last_seq(self) -> int:
        """The largest ``seq``."""
        return int(self._contents.seq.max()) if len(self._contents.seq) else -1

    async def health(self) -> dict[str, Any]:
        """Figures."""
        return {"engine": self.name, "rows": len(self._contents.seq)}

    async def close(self) -> None:
        """Nothing is held open."""
        self._held.clear()

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """Not of a point."""
        self._refuse()

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        """Not of a point."""
        self._refuse()

    async def update(self, rows: pa.Table) -> None:
        """Not of a point."""
        self._refuse()

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Not of a point."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ReadOnlyError(
            "a point of a backup is read only", fix="Restore it: bruno-memory-vec restore"
        )

    def _chunk(self, number: int) -> pa.Table:
        """The rows of a chunk that the point has."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        name = self._contents.chunks[number].chunk
        parts = unpacked(self._repository.read(name), name)
        places = self._contents.place[self._contents.chunk == number]
        tables, begin = [self._empty(self.schema.names)], 0
        for count, table in rows_of_parts(parts, self._sealing, name):
            if table is not None:
                own = places[(places >= begin) & (places < begin + count)] - begin
                # Of an import without vectors these have a length of their own.
                tables.append(table.take(pa.array(own)).select(self.schema.names))
            begin += count
        whole = pa.concat_tables(tables).combine_chunks()
        self._held[number] = whole
        while len(self._held) > _CHUNKS_HELD:
            self._held.popitem(last=False)
        return whole

    def _empty(self, columns: Sequence[str]) -> pa.Table:
        return self.schema.empty_table().select(list(columns))


def _within(table: pa.Table, scope: Scope) -> pa.Table:
    for condition in scope.conditions():
        values = pa.array(condition.value, pa.string())
        table = table.filter(pc.is_in(table.column(condition.column), value_set=values))
    return table
