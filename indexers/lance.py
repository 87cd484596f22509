"""LanceDB: the rows and their vectors, in a folder, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import lance_sql as sql
from .errors import BackendUnavailable, EngineError
from .lance_errors import errors
from .loop_lock import LoopLock
from .protocols import Candidates, Maintenance, RowFilter, Scope
from .schema import KEY, row_schema

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

T = TypeVar("T")

_TABLE = "rows"
# Each commit is a fragment and a version, and every search pays for their number.
_COMMITS_BEFORE_UPKEEP = 50
# A reader in another process may still be inside a query on a version this old.
_KEEP_VERSIONS = timedelta(seconds=60)
# Above this many rows LanceDB's own Python work would hold the event loop for too long.
_ROWS_ON_THE_LOOP = 64
_TRIES_OF_A_READER = 3

# In the order in which a planner profits most: what every query names first.
_BITMAPS = ("user_id", "kind")
_BTREES = ("seq", "id", "conversation_id", "created_at")
_LABELS = ("tags",)


class LanceIndex:
    """A :class:`~bruno_memory_vec.indexers.protocols.VectorIndex` in a LanceDB folder.

    Open one with :meth:`open`. Writing calls must come one at a time; a search
    may run beside them.
    """

    name = "lancedb"

    def __init__(self, table: AsyncTable, path: str, dimension: int, *, read_only: bool) -> None:
        self._open_table: AsyncTable | None = table
        self._path = path
        self._read_only = read_only
        #: Called before each read and after a failed one, to raise where the rows have moved away.
        self.watch: Callable[[], None] = lambda: None
        self.schema = row_schema(dimension)
        self._commits = 0
        self._upkeep = Maintenance()
        # Compaction and any change of existing rows conflict in LanceDB; appends do not.
        self._changing = LoopLock()

    @classmethod
    async def open(cls, path: str, dimension: int, *, read_only: bool = False) -> LanceIndex:
        """Open the table in ``path``, or make it.

        Raises:
            BackendUnavailable: the folder cannot be read or written, or holds no rows to read.
            EngineError: the rows have another vector length than ``dimension``.
        """
        # The first import takes a second or two, which the event loop must not wait for.
        lancedb = await asyncio.to_thread(_import_lancedb)
        if read_only and not await asyncio.to_thread(Path(path).is_dir):
            raise _no_rows(path)
        with errors("open", path):
            # A writer is the only one to write, so it never has to look for others' commits.
            interval = timedelta(0) if read_only else None
            database = await lancedb.connect_async(path, read_consistency_interval=interval)
            names = (await database.list_tables()).tables
            if _TABLE in names and not (await asyncio.to_thread(_unborn, path)):
                table = await database.open_table(_TABLE)
            elif read_only:
                raise _no_rows(path)
            else:
                mode = "overwrite" if _TABLE in names else "create"
                table = await database.create_table(_TABLE, schema=row_schema(dimension), mode=mode)
            if not read_only:
                await cls._add_missing_columns(table, row_schema(dimension))
                await cls._create_scalar_indexes(table)
            index = cls(table, path, dimension, read_only=read_only)
            found = (await table.schema()).field("vector").type
        if found != index.schema.field("vector").type:
            raise EngineError(
                cls.name,
                "open",
                f"the rows hold {found.list_size} values a vector, not {dimension}",
                fix="Open the store with the embedder it was made with.",
            )
        if not read_only:
            # A dict at run time, whatever its annotation says (lancedb 0.40).
            stats: Any = await table.stats()
            index._commits = int(stats["fragment_stats"]["num_fragments"])
        return index

    @staticmethod
    async def _add_missing_columns(table: AsyncTable, schema: pa.Schema) -> None:
        """Columns that an older format did not have, null in every row."""
        held = set((await table.schema()).names)
        missing = [field for field in schema if field.name not in held]
        if missing:
            await table.add_columns(pa.schema(missing))

    @staticmethod
    async def _create_scalar_indexes(table: AsyncTable) -> None:
        """Make those that are not there: all in a new table, some where its maker was killed."""
        from lancedb.index import Bitmap, BTree, LabelList

        wanted: dict[str, Any] = {
            **dict.fromkeys(_BITMAPS, Bitmap),
            **dict.fromkeys(_BTREES, BTree),
            **dict.fromkeys(_LABELS, LabelList),
        }
        held = {column for index in await table.list_indices() for column in index.columns}
        for column, kind in wanted.items():
            if column not in held:
                await table.create_index(column, config=kind())

    @property
    def _table(self) -> AsyncTable:
        if self._open_table is None:
            raise EngineError(self.name, "answer", "it is closed", fix="Open the memory again.")
        return self._open_table

    # Writing

    async def append(self, rows: pa.Table) -> None:
        with errors("add rows", self._path):
            await _off_loop(rows.num_rows, lambda: self._table.add(rows))
        self._commits += 1

    async def replace(self, rows: pa.Table) -> None:
        async def merge() -> None:
            await (
                self._table.merge_insert(list(KEY))
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(rows)
            )

        async with self._changing:
            with errors("replace rows", self._path):
                await _off_loop(rows.num_rows, merge)
        self._commits += 1

    async def delete(self, scope: Scope, where: RowFilter) -> NDArray[np.int64]:
        condition = sql.conditions(scope, where) or "true"
        async with self._changing:
            with errors("delete rows", self._path):
                found = await self._table.query().where(condition).select(["seq"]).to_arrow()
                if found.num_rows:
                    await self._table.delete(condition)
                    self._commits += 1
        seqs: NDArray[np.int64] = found.column("seq").to_numpy()
        return seqs

    async def discard(self, seqs: Sequence[int]) -> None:
        """Delete rows by ``seq``, as one commit, whosever they are."""
        async with self._changing:
            with errors("delete rows", self._path):
                await self._table.delete(f"seq IN ({sql.numbers(seqs)})")
        self._commits += 1

    async def fill(self, rows: pa.Table) -> None:
        async with self._changing:
            with errors("fill columns", self._path):
                merge = self._table.merge_insert("seq").when_matched_update_all()
                await _off_loop(rows.num_rows, lambda: merge.execute(rows))
        self._commits += 1

    async def touch(self, uses: Mapping[int, int], at: datetime) -> None:
        if not uses:
            return
        columns = ["seq", "access_count", "last_accessed"]
        async with self._changing:
            with errors("count accesses", self._path):
                query = self._table.query().where(f"seq IN ({sql.numbers(list(uses))})")
                found = await query.select(columns).to_arrow()
                if not found.num_rows:
                    return
                more = pa.array([uses[seq] for seq in found.column("seq").to_pylist()], pa.int64())
                counts = pc.add(found.column("access_count"), more)
                times = pa.array([at] * found.num_rows, found.schema.field("last_accessed").type)
                counted = found.set_column(1, "access_count", counts)
                counted = counted.set_column(2, "last_accessed", times)
                await self._table.merge_insert("seq").when_matched_update_all().execute(counted)
        self._commits += 1

    # Reading

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        async def run() -> pa.Table:
            # Vectors have unit length, so the dot product is the cosine; unlike cosine, it is
            # defined for the zero vector of a text without a known word.
            query = self._table.query().nearest_to(vector).distance_type("dot")
            condition = sql.conditions(scope, where)
            if condition is not None:
                query = query.where(condition)
            columns = ["seq", "conversation_id", "turn", "_distance"]
            return await query.select(columns).limit(limit).to_arrow()

        found = await self._read("search", run)
        seq = found.column("seq").to_numpy()
        score = 1.0 - found.column("_distance").to_numpy()
        order = np.lexsort((-seq, -score))
        conversations = found.column("conversation_id").to_pylist()
        turns = found.column("turn").fill_null(-1).to_numpy()
        return Candidates(
            seq[order],
            score[order].astype(np.float32),
            tuple(conversations[i] for i in order),
            turns[order],
        )

    async def around(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int],
        places: Mapping[str, Sequence[int]],
        columns: Sequence[str],
    ) -> pa.Table:
        named = sql.named(seqs, places)
        if named is None:
            return self._nothing(columns)
        return await self._select(sql.both(named, sql.conditions(scope, where)), columns)

    async def fetch(self, scope: Scope, seqs: Sequence[int], columns: Sequence[str]) -> pa.Table:
        return await self.around(scope, RowFilter(), seqs, {}, columns)

    async def scan(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        def select() -> Awaitable[pa.Table]:
            condition = sql.conditions(scope, where)
            return self._select(condition, columns, order_by=order_by, limit=limit)

        # A condition that names many ids takes long to write and to parse.
        return await _off_loop(len(where.ids), select)

    async def count(self, scope: Scope, where: RowFilter) -> int:
        condition = sql.conditions(scope, where)
        return int(await self._read("count rows", lambda: self._table.count_rows(condition)))

    async def after(self, seq: int, columns: Sequence[str]) -> AsyncIterator[pa.RecordBatch]:
        self.watch()
        try:
            with errors("read rows", self._path):
                query = self._table.query().where(f"seq > {int(seq)}").select(list(columns))
                async for batch in await query.to_batches():
                    yield batch
        except EngineError:
            self.watch()
            raise

    async def last_seq(self) -> int:
        newest = await self._select(None, ["seq"], order_by="seq", limit=1)
        return int(newest.column("seq")[0].as_py()) if newest.num_rows else -1

    async def _select(
        self,
        condition: str | None,
        columns: Sequence[str],
        *,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        from lancedb.query import ColumnOrdering

        async def run() -> pa.Table:
            query = self._table.query().select(list(columns))
            if condition is not None:
                query = query.where(condition)
            if order_by is not None:
                query = query.order_by(
                    [
                        ColumnOrdering(column_name=name, ascending=False, nulls_first=False)
                        for name in dict.fromkeys((order_by, "seq"))
                    ]
                )
            if limit is not None:
                query = query.limit(limit)
            return await query.to_arrow()

        return await self._read("read rows", run)

    async def _read(self, operation: str, run: Any) -> Any:
        """Run a query. A reader's version may be cleaned away under it: look again, then."""
        for attempt in range(_TRIES_OF_A_READER):
            self.watch()
            try:
                with errors(operation, self._path):
                    if attempt:
                        await self._table.checkout_latest()
                    return await run()
            except EngineError:
                if not self._read_only or attempt == _TRIES_OF_A_READER - 1:
                    self.watch()
                    raise
        raise AssertionError("unreachable")

    def _nothing(self, columns: Sequence[str]) -> pa.Table:
        return pa.schema([self.schema.field(column) for column in columns]).empty_table()

    # Upkeep

    def due(self) -> bool:
        return not self._read_only and self._commits >= _COMMITS_BEFORE_UPKEEP

    async def maintain(self) -> Maintenance:
        commits, started = self._commits, time.perf_counter()
        async with self._changing:
            try:
                with errors("compact", self._path):
                    stats = await self._table.optimize(cleanup_older_than=_KEEP_VERSIONS)
            except EngineError as error:
                self._upkeep.error = str(error)
                # Wait for as many commits again, rather than fail at every single one.
                self._commits = 0
                raise
        self._commits = max(0, self._commits - commits)
        self._upkeep.runs += 1
        self._upkeep.seconds = time.perf_counter() - started
        self._upkeep.error = None
        self._upkeep.details = {
            "fragments_removed": stats.compaction.fragments_removed,
            "fragments_added": stats.compaction.fragments_added,
            "old_versions_removed": stats.prune.old_versions_removed,
            "bytes_removed": stats.prune.bytes_removed,
        }
        return self._upkeep

    async def health(self) -> dict[str, Any]:
        self.watch()
        with errors("report its health", self._path):
            stats: Any = await self._table.stats()
            version = await self._table.version()
        return {
            "engine": self.name,
            "rows": stats["num_rows"],
            "bytes": stats["total_bytes"],
            "fragments": stats["fragment_stats"]["num_fragments"],
            "version": version,
            "commits_since_upkeep": self._commits,
            "upkeep": {
                "runs": self._upkeep.runs,
                "seconds": round(self._upkeep.seconds, 4),
                "error": self._upkeep.error,
                **self._upkeep.details,
            },
        }

    async def close(self) -> None:
        table, self._open_table = self._open_table, None
        if table is not None:
            table.close()


def _no_rows(path: str) -> BackendUnavailable:
    return BackendUnavailable(
        "lancedb",
        "open",
        f"there are no rows in {path}",
        fix="Open the store once without read_only.",
    )


def _unborn(path: str) -> bool:
    """Whether the table's maker was killed before its first commit, so that it never was one."""
    table = Path(path) / f"{_TABLE}.lance"
    return not any(table.glob("_versions/*.manifest")) and not any(table.glob("data/*"))


def _import_lancedb() -> Any:
    import lancedb
    import lancedb.index
    import lancedb.query

    return lancedb


async def _off_loop(rows: int, call: Callable[[], Awaitable[T]]) -> T:
    """Run a call about this many rows; a big one on a loop of its own in a thread."""
    if rows <= _ROWS_ON_THE_LOOP:
        return await call()

    async def run() -> T:
        return await call()

    return await asyncio.to_thread(lambda: asyncio.run(run()))
