"""LanceDB: the rows and their vectors, in a folder, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import LoopLock, Outliving, on_own_loop
from ..columns import fulfilled
from ..errors import BackendUnavailable, EngineError
from ..forks import spare_in_children
from ..private import make_private_folder
from ..protocols import Maintenance
from ..query import EVERYONE, Candidates, RowFilter, Scope
from ..schema import KEYS, row_schema
from . import sql as sql
from .columns import ColumnsWithoutValues
from .erasure import Erasure
from .index_checksums import IndexChecksums
from .places import COLUMNS as PLACED
from .places import LEAST_ROWS, MOST_ROWS, AddedRows, Places
from .process import start_lancedb
from .sync import Sync
from .table import errors, import_lancedb, no_rows, refuse_links, unborn
from .upkeep import Upkeep

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

T = TypeVar("T")
Sql = TypeVar("Sql", str, str | None)

_TABLE = "rows"
_TRIES = 3
# So few rows of more columns than these are looked for first, once there are more commits since the
# last compaction: reading them at once takes longer from six commits on.
_FEW_NAMED, _FEW_COLUMNS, _COMMITS_READ_WHOLE = 64, 8, 8
# Without limits LanceDB would cache up to some gigabytes of its indexes. The approximate one has to
# be in memory beside the others: reading it for each search takes six times as long.
_INDEX_CACHE_BYTES, _METADATA_CACHE_BYTES = 64 * 2**20, 32 * 2**20
# The cache is made anew for more rows than it was made for, by this factor. A small index fits
# beside the others.
_CACHE_GROWS, _SMALL_INDEX_BYTES = 2, 16 * 2**20

_PERHAPS = "a query failed with them: "
_UNUSED = (
    "Rows are read without them, which is slower. Open the store without read_only, or run: "
    "bruno-memory-vec doctor --repair, which makes them anew."
)

# So often candidates are read after rows have moved before it pays to learn where all rows are.
_ASKED_BEFORE_PLACES = 2

# Up to this many matching rows a search of one user is exact.
_EXACT_ROWS = 120_000
# The share of the partitions that a search by the approximate index probes. With all of them,
# recall@10 is .997 over a million rows, a filter hides no row, and no search gives fewer rows than
# were asked for and are there. With six tenths it is .95, for four fifths of the time.
_PROBED = 1.0
# By its codes an approximate search finds so many rows at least, of which the vectors are compared.
_COMPARED = 50


class LanceIndex:
    """A :class:`~bruno_memory_vec.indexers.protocols.RowIndex` in a LanceDB folder.

    Open one with :meth:`open`. Writing calls must come one at a time; a search
    may run beside them.
    """

    name = "lancedb"

    def __init__(
        self,
        table: AsyncTable,
        path: str,
        dimension: int,
        *,
        read_only: bool,
        rows: int = 0,
        commits: int = 0,
        sync: Sync | None = None,
        erasure: Erasure,
        approximate: bool = True,
    ) -> None:
        self._open_table: AsyncTable | None = table
        self._path = path
        self._dimension = dimension
        # Bytes that LanceDB may cache of its indexes.
        self._cache = _INDEX_CACHE_BYTES
        self._without_values = ColumnsWithoutValues()
        self._read_only = read_only
        #: Called before each read and write, after a failed read, and after a reader's, to raise
        #: where the rows have moved away: LanceDB finds its files by their paths.
        self.watch: Callable[[], None] = lambda: None
        self.schema = row_schema(dimension)
        checksums = IndexChecksums(Path(path), f"{_TABLE}.lance")
        self._upkeep = Upkeep(
            lambda: self._table,
            path,
            rows,
            commits,
            sync,
            checksums,
            erasure,
            approximate=approximate,
        )
        #: For a reader: what is wrong with an index, so that none is used. None if nothing is.
        self._index_problem: str | None = None
        # In LanceDB, compaction conflicts with any change of existing rows, but not with appends.
        self._changing = LoopLock()
        self._maintaining = LoopLock()
        # Held while rows are appended, and while files go that no version names: a file that is
        # being written is named by none.
        self._appending = LoopLock()
        self._adding = Outliving()
        # Where the rows are, once that is learnt, and those that were added since; how often rows
        # have moved, and how often it was asked since where they are.
        self._known_places: Places | None = None
        self._added_since = AddedRows()
        self._moves = self._asked_since = 0
        self._learning: asyncio.Task[None] | None = None
        spare_in_children(self)

    @classmethod
    async def open(
        cls,
        path: str,
        dimension: int,
        *,
        read_only: bool = False,
        fsync: bool = False,
        approximate: bool = True,
    ) -> LanceIndex:
        """Open the table in ``path``, or make it.

        Args:
            path: a folder.
            dimension: length of a vector.
            read_only: read beside another process that writes.
            fsync: a write returns only when it would survive a power cut.
            approximate: search many rows by an approximate index, which upkeep builds; otherwise
                every search compares all rows.

        Raises:
            BackendUnavailable: the folder cannot be read or written, or holds no rows to read.
            EngineError: the rows have another vector length than ``dimension``.
        """
        # The first import takes one or two seconds, which would block the event loop.
        await asyncio.to_thread(import_lancedb)
        start_lancedb()
        if read_only and not await asyncio.to_thread(Path(path).is_dir):
            raise no_rows(path)
        if not read_only:
            await asyncio.to_thread(refuse_links, path, _TABLE)
        with errors("open", path):
            if not read_only:
                await asyncio.to_thread(make_private_folder, Path(path))
            database = await _connect(path, _INDEX_CACHE_BYTES, read_only=read_only)
            names = (await database.list_tables()).tables
            if _TABLE in names and not (await asyncio.to_thread(unborn, path, _TABLE)):
                table = await database.open_table(_TABLE)
            elif read_only:
                raise no_rows(path)
            else:
                mode = "overwrite" if _TABLE in names else "create"
                table = await database.create_table(_TABLE, schema=row_schema(dimension), mode=mode)
            # A dict at run time, whatever its annotation says (lancedb 0.40).
            stats: Any = await table.stats()
            index = cls(
                table,
                path,
                dimension,
                read_only=read_only,
                rows=int(stats["num_rows"]),
                commits=int(stats["fragment_stats"]["num_fragments"]),
                sync=Sync(Path(path) / f"{_TABLE}.lance") if fsync else None,
                erasure=Erasure(Path(path), f"{_TABLE}.lance", fsync=fsync),
                approximate=approximate,
            )
            await index._check_indexes()
            await index._make_room()
            found = (await table.schema()).field("vector").type
        if found != index.schema.field("vector").type:
            raise EngineError(
                cls.name,
                "open",
                f"the rows hold {found.list_size} values a vector, not {dimension}",
                fix="Open the store with the embedder it was made with.",
            )
        await index._upkeep.synced()
        return index

    async def _make_room(self) -> None:
        """Let LanceDB cache the approximate index, where it has grown beyond what it may cache."""
        needed = 0 if self._upkeep.ann is None else self._upkeep.ann_bytes(self._dimension)
        if needed <= max(self._cache - _INDEX_CACHE_BYTES, _SMALL_INDEX_BYTES):
            return
        cache = _INDEX_CACHE_BYTES + _CACHE_GROWS * needed
        async with self._unwritten():
            with errors("open", self._path):
                database = await _connect(self._path, cache, read_only=self._read_only)
                # Queries that have begun go on with the table that was opened before.
                self._open_table = await database.open_table(_TABLE)
        self._cache = cache

    @property
    def _table(self) -> AsyncTable:
        if self._open_table is None:
            raise EngineError(self.name, "answer", "it is closed", fix="Open the memory again.")
        return self._open_table

    # Writing

    async def _committed(self, rows: int = 0) -> None:
        self._upkeep.committed(rows)
        await self._upkeep.synced()

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        self._without_values.written(rows)
        if all_new:
            await self._append(rows)
        else:
            await self._merge(rows)

    async def _append(self, rows: pa.Table) -> None:
        # Appends and compaction do not conflict. But with fsync, a file that compaction removes may
        # be the only durable copy until the later commit is synced.
        async with self._changing if self._upkeep.syncs else nullcontext():
            self.watch()
            self._upkeep.check_sync()
            self._note_added(rows)
            async with self._appending:
                with errors("add rows", self._path):
                    await self._adding.run(lambda: self._table.add(rows))
            await self._committed(rows.num_rows)

    async def _merge(self, rows: pa.Table) -> None:
        async def merge() -> None:
            for kind, key in KEYS.items():
                of_kind = rows.filter(pc.equal(rows.column("kind"), kind))
                if of_kind.num_rows:
                    await (
                        self._table.merge_insert(list(key))
                        .when_matched_update_all()
                        .when_not_matched_insert_all()
                        .use_index(self._index_problem is None)
                        .execute(of_kind)
                    )

        async def replace() -> None:
            await self.mark_erasable()
            await on_own_loop(rows.num_rows, merge)

        await self._change("replace rows", replace)
        await self._committed()

    async def update(self, rows: pa.Table) -> None:
        async def merge() -> None:
            change = self._table.merge_insert("seq").when_matched_update_all()
            await change.use_index(self._index_problem is None).execute(rows)
            await self._upkeep.index_seqs()

        self._without_values.written(rows)
        await self._change("update rows", lambda: on_own_loop(rows.num_rows, merge))
        await self._committed()

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        if seqs is not None and not len(seqs):
            return np.empty(0, np.int64)
        named = None if seqs is None else sql.named(seqs, {})
        asked = sql.both(named, sql.conditions(scope, where)) or "true"

        async def delete() -> NDArray[np.int64]:
            condition = self._usable(asked)
            if seqs is not None:
                return await self._delete_named(condition, np.unique(np.asarray(seqs, np.int64)))
            found = await self._table.query().where(condition).select(["seq"]).to_arrow()
            if found.num_rows:
                await self.mark_erasable()
                await self._table.delete(condition)
            gone: NDArray[np.int64] = found.column("seq").to_numpy()
            return gone

        gone = await self._change("delete rows", delete)
        if len(gone):
            await self._committed()
        return gone

    async def _delete_named(self, condition: str, seqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Delete those of the rows with these ``seq`` that fulfil a condition; returns which.

        Who names rows has mostly just read them, so they are not looked for first.
        """
        await self.mark_erasable()
        done: Any = await self._table.delete(condition)
        if done.num_deleted_rows in (0, len(seqs)):
            return seqs[: done.num_deleted_rows]
        # Some are not there, or not of this scope: the version before tells which.
        import lancedb

        database = await lancedb.connect_async(self._path)
        before = await database.open_table(_TABLE)
        try:
            await before.checkout(done.version - 1)
            found = await before.query().where(condition).select(["seq"]).to_arrow()
        finally:
            before.close()
        gone: NDArray[np.int64] = found.column("seq").to_numpy()
        return gone

    async def _change(self, operation: str, run: Callable[[], Awaitable[T]]) -> T:
        """Change rows. If that fails because of a damaged index, mend it and try again, once."""
        async with self._changing:
            self.watch()
            self._upkeep.check_sync()
            with self._moving():
                try:
                    with errors(operation, self._path):
                        return await run()
                except EngineError as error:
                    if isinstance(error, BackendUnavailable) or not await self._mended():
                        raise
                with errors(operation, self._path):
                    return await run()

    async def mark_erasable(self) -> None:
        """As of :class:`~bruno_memory_vec.indexers.protocols.Erases`."""
        erasure = self._upkeep.erasure
        if erasure.since is None:
            await asyncio.to_thread(erasure.begin)
        else:
            erasure.begin()

    # Reading

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        if scope.user_id is None:
            await self._learn_columns()
        large = self._upkeep.ann is not None and await self._is_large(scope, where)

        async def run(condition: str | None) -> pa.Table:
            # Vectors have unit length, so the dot product is the cosine. Unlike LanceDB's cosine it
            # is defined for zero vectors, which texts without a known token have.
            query = self._table.query().nearest_to(vector).distance_type("dot")
            if condition is not None:
                query = query.where(condition)
            # The index may have been dropped meanwhile.
            if large and self._upkeep.ann is not None:
                query = query.nprobes(max(1, round(_PROBED * self._upkeep.partitions)))
                # Its codes say which rows may be nearest, and their vectors which are.
                query = query.refine_factor(max(1, -(-_COMPARED // limit)))
            else:
                query = query.bypass_vector_index()
            columns = ["seq", "user_id", "conversation_id", "turn", "_distance"]
            return self._within(scope, await query.select(columns).limit(limit).to_arrow())

        found = await self._where("search", scope, where, run)
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

    async def _is_large(self, scope: Scope, where: RowFilter) -> bool:
        """Whether a scope and a filter let through too many rows for an exact search."""
        if scope == EVERYONE:
            return True
        if scope.conversation_id is not None:
            return False
        return await self.count(scope, where) > _EXACT_ROWS

    async def _where(
        self,
        operation: str,
        scope: Scope,
        where: RowFilter,
        run: Callable[[str | None], Awaitable[T]],
        *others: str | None,
    ) -> T:
        """Run a query with the condition of a scope, a filter and others, if there is any."""
        while True:
            without_values = self._without_values.known
            own = sql.conditions(scope, where, without_values=without_values)

            async def query(condition: str | None = sql.both(*others, own)) -> T:
                return await run(self._usable(condition))

            found = await self._read(operation, query)
            if self._without_values.known == without_values:
                return found
            # A value was written meanwhile, and the condition has to be about it.

    async def _learn_columns(self) -> None:
        """Find out which columns no row has a value in: comparing one with every row takes longer
        than comparing the vectors. Only for the writer, as it knows of every change."""
        if self._read_only or self._without_values.learnt:
            return

        async def has_value(column: str) -> bool:
            async def run() -> pa.Table:
                having = self._table.query().where(f"{column} IS NOT NULL")
                return await having.select([column]).limit(1).to_arrow()

            return bool((await self._read("look for values", run)).num_rows)

        await self._without_values.learn(has_value)

    async def _count(self, condition: str | None) -> int:
        return int(
            await self._read("count rows", lambda: self._table.count_rows(self._usable(condition)))
        )

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
        from lancedb.query import ColumnOrdering

        all_of_them = order_by is None and limit is None
        if seqs and turns and all_of_them:
            return await self._read_both(scope, where, columns, seqs, turns)
        named = None
        if seqs is not None or turns is not None:
            named = sql.named(() if seqs is None else seqs, turns or {})
            if named is None:
                return self._nothing(columns)
        if turns is None and all_of_them and self._by_places(where, columns, seqs):
            found = await self._read_by_places(scope, where, columns, [named])
            if found is not None:
                return found

        async def run(condition: str | None) -> pa.Table:
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
            return self._within(scope, await query.to_arrow())

        # A condition that names many ids takes long to write and to parse.
        return await on_own_loop(
            len(where.ids or ()), lambda: self._where("read rows", scope, where, run, named)
        )

    def _nothing(self, columns: Sequence[str]) -> pa.Table:
        return pa.schema([self.schema.field(column) for column in columns]).empty_table()

    async def _read_both(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        seqs: Sequence[int],
        turns: Mapping[str, Sequence[int]],
    ) -> pa.Table:
        """Rows by ``seq`` and rows by their turns.

        LanceDB looks each of the two up in an index; asked for either at once it reads columns of
        every row, which takes five times as long in a million rows. And it reads many columns of
        few rows by their places in less time than in two parts.
        """
        both = sql.named(seqs, {}), sql.named((), turns)
        named = [one for one in both if one is not None]
        read = await self._read_known(scope, where, columns, seqs, turns)
        if read is None:
            read = await self._read_by_places(scope, where, columns, named)
        if read is not None:
            return read
        asked = list(dict.fromkeys((*columns, "user_id", "seq")))
        rows = [
            await self.read(scope, where, asked, seqs=seqs),
            await self.read(scope, where, asked, turns=turns),
        ]
        known = pc.is_in(rows[1].column("seq"), pa.array(rows[0].column("seq").to_pylist()))
        rows[1] = rows[1].filter(pc.invert(known))
        return pa.concat_tables(rows).select(list(columns))

    def _by_places(
        self, where: RowFilter, columns: Sequence[str], seqs: Sequence[int] | None
    ) -> bool:
        """Whether to look for few rows first and to read them by their places then.

        Of rows that were added since the last compaction, LanceDB reads all columns to find those
        with an id: .4 ms a commit.
        """
        names = where.ids if seqs is None else seqs
        if names is None or len(names) > _FEW_NAMED or len(columns) <= _FEW_COLUMNS:
            return False
        return self._upkeep.commits > _COMMITS_READ_WHOLE

    async def _read_by_places(
        self, scope: Scope, where: RowFilter, columns: Sequence[str], named: Sequence[str | None]
    ) -> pa.Table | None:
        """The rows that fulfil any of some conditions; None where compactions keep moving them.

        None as a condition is fulfilled by all rows that match the filter.
        """
        asked = list(dict.fromkeys((*columns, "user_id", "seq")))
        for _ in range(_TRIES):
            found = await asyncio.gather(*(self._places(scope, where, one) for one in named))
            place_of = {seq: place for places in found for seq, place in places.items()}
            if not place_of:
                return self._nothing(columns)
            places = list(place_of.values())

            async def run(places: list[int] = places) -> pa.Table:
                return await self._table.take_row_ids(places).select(asked).to_arrow()

            rows = await self._read("read rows", run)
            # A compaction moves rows, and then other ones are at these places.
            if set(rows.column("seq").to_pylist()) == place_of.keys():
                return self._within(scope, rows).select(list(columns))
        return None

    async def _read_known(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        seqs: Sequence[int],
        turns: Mapping[str, Sequence[int]],
    ) -> pa.Table | None:
        """Rows by ``seq`` and rows by their turns, where it is known where they are; else None."""
        places = self._places_to_use()
        if places is None:
            return None
        found = places.of(seqs, turns, self._added_since)
        conditions = (*scope.conditions(), *where.conditions())
        asked = list(
            dict.fromkeys((*columns, *PLACED, "user_id", *(one.column for one in conditions)))
        )
        rows = self._nothing(asked)
        if len(found.seqs):
            self.watch()
            try:
                with errors("read rows", self._path):
                    taken = self._table.take_row_ids(found.row_ids.tolist())
                    rows = await taken.select(asked).to_arrow()
            except EngineError:
                rows = self._nothing(asked)
            if not np.array_equal(np.sort(rows.column("seq").to_numpy()), found.seqs):
                # They have moved, or one of them is gone: they are looked up.
                self._forget_places()
                return None
        if found.added:
            added = await self.read(EVERYONE, RowFilter(), asked, seqs=found.added)
            rows = pa.concat_tables([rows, added])
        named = set(seqs)
        meant = [
            seq in named or turn in turns.get(conversation, ())
            for seq, conversation, turn in zip(
                *(rows.column(name).to_pylist() for name in PLACED), strict=True
            )
        ]
        if not all(meant):
            rows = rows.filter(pa.array(meant))
        for condition in conditions:
            if rows.num_rows:
                rows = rows.filter(pa.array(fulfilled(rows.column(condition.column), condition)))
        return self._within(scope, rows).select(list(columns))

    def _places_to_use(self) -> Places | None:
        """Where the rows are; None where that is not known, and perhaps is being learnt."""
        if self._known_places is not None or self._read_only:
            return self._known_places
        self._asked_since += 1
        large = LEAST_ROWS <= self._upkeep.rows <= MOST_ROWS
        if self._asked_since >= _ASKED_BEFORE_PLACES and large and not self._is_learning():
            self._added_since = AddedRows()
            self._learning = asyncio.create_task(self._learn_places(self._moves))
        return None

    def _is_learning(self) -> bool:
        task = self._learning
        return (
            task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
        )

    async def _learn_places(self, moves: int) -> None:
        try:
            with errors("read rows", self._path):
                query = self._table.query().select(list(PLACED)).with_row_id()
                rows = await query.to_arrow()
        except EngineError:
            return  # whoever asks for rows is told
        places = await asyncio.to_thread(Places, rows)
        if moves == self._moves:
            self._known_places = places

    def _note_added(self, rows: pa.Table) -> None:
        """Rows are about to be added."""
        used = self._known_places is not None or self._is_learning()
        if used and not self._added_since.add(rows):
            self._forget_places()

    def _forget_places(self) -> None:
        self._known_places, self._added_since = None, AddedRows()
        self._moves += 1
        self._asked_since = 0

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Around what moves or changes rows: where they are is not known any more."""
        self._forget_places()
        try:
            yield
        finally:
            self._forget_places()

    async def _places(self, scope: Scope, where: RowFilter, named: str | None) -> dict[int, int]:
        """The row ids of the rows that match, by their ``seq``."""

        async def run(condition: str | None) -> pa.Table:
            assert condition is not None
            query = self._table.query().where(condition).select(["seq", "user_id"])
            return self._within(scope, await query.with_row_id().to_arrow())

        found = await self._where("read rows", scope, where, run, named)
        places = found.column("_rowid").to_pylist()
        return dict(zip(found.column("seq").to_pylist(), places, strict=True))

    async def count(self, scope: Scope, where: RowFilter) -> int:
        async def run(condition: str | None) -> int:
            return int(await self._table.count_rows(condition))

        return await self._where("count rows", scope, where, run)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        self._upkeep.streams += 1
        asked = list(dict.fromkeys((*columns, "seq")))

        async def begin() -> tuple[AsyncIterator[pa.RecordBatch], pa.RecordBatch | None]:
            condition = self._usable(sql.after(seq, scope))
            found = aiter(await self._table.query().where(condition).select(asked).to_batches())
            # What an index says is read with the first batch.
            return found, await anext(found, None)

        given: list[pa.Array] = []
        left = _TRIES
        try:
            while True:
                erasures = self._upkeep.erasures
                try:
                    batches, batch = await self._read("read rows", begin)
                    before = pa.chunked_array(given, pa.int64())
                    with errors("read rows", self._path):
                        while batch is not None:
                            fresh = _without(batch, before)
                            given.append(fresh.column("seq"))
                            yield fresh.select(list(columns))
                            batch = await anext(batches, None)
                    return
                except EngineError:
                    left -= 1
                    if not left or not (self._read_only or self._upkeep.erasures != erasures):
                        self.watch()
                        raise
                    # Its version was removed: it goes on with the newest one, and with the rows
                    # that were not given yet.
        finally:
            self._upkeep.streams -= 1

    async def last_seq(self) -> int:
        newest = await self.read(EVERYONE, RowFilter(), ["seq"], order_by="seq", limit=1)
        return int(newest.column("seq")[0].as_py()) if newest.num_rows else -1

    async def version(self) -> int:
        return int(await self._read("name its version", lambda: self._table.version()))

    async def _read(self, operation: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run a query, and again where the reason for its failure could be taken away.

        For a reader, the writer may have removed the version; for anyone, erasing. An index may
        have been damaged since it was checked.
        """
        await self._adding.ended()
        for attempt in range(_TRIES):
            self.watch()
            erasures = self._upkeep.erasures
            try:
                with errors(operation, self._path):
                    if attempt and self._read_only:
                        await self._table.checkout_latest()
                    found = await run()
                if self._read_only:
                    # Another store may have taken the folder's place after the look before.
                    self.watch()
                return found
            except EngineError as error:
                gone = self._upkeep.erasures != erasures
                if attempt == _TRIES - 1 or not (gone or await self._may_go_better(error, attempt)):
                    self.watch()
                    if self._index_problem is not None and self._index_problem.startswith(_PERHAPS):
                        # Without them it failed as well, so they are not to blame.
                        self._index_problem = None
                    raise
        raise AssertionError("unreachable")

    async def _may_go_better(self, error: EngineError, attempt: int) -> bool:
        """After a failed query: whether it may succeed now."""
        if isinstance(error, BackendUnavailable):
            return self._read_only
        if self._index_problem is not None:
            return self._read_only
        if self._read_only:
            await self._check_indexes()
            mended = attempt == 0 or self._index_problem is not None
        else:
            async with self._changing:
                mended = await self._mended()
        if not mended:
            # Their files are as they were written, and something may still be wrong with them.
            self._index_problem = f"{_PERHAPS}{error}"
        return True

    # Damaged indexes

    def _usable(self, condition: Sql) -> Sql:
        """A condition, in a form that no index answers while the indexes cannot be trusted."""
        if self._index_problem is None or condition is None:
            return condition
        # LanceDB looks a comparison up in an index, but not the truth of one.
        return f"({condition}) IS TRUE"

    def _within(self, scope: Scope, found: pa.Table) -> pa.Table:
        """Rows as they were found, if they are of the scope's user: LanceDB believes its index.

        Raises:
            EngineError: one is not.
        """
        if scope.user_id is None or "user_id" not in found.column_names or not found.num_rows:
            return found
        users = pa.array(scope.users, pa.string())
        if not pc.all(pc.is_in(found.column("user_id"), users)).as_py():
            raise EngineError(
                self.name,
                "use its indexes",
                "one of them gives rows of another user",
                fix=_UNUSED,
            )
        return found

    async def _check_indexes(self, *, thorough: bool = False) -> None:
        """Mend the indexes, or use none of them: for a reader, or where they cannot be mended."""
        if self._read_only:
            self._index_problem = await self._upkeep.check_indexes(thorough=thorough)
        else:
            await self._mended(thorough=thorough)
        self._upkeep.ann = None
        if self._index_problem is None:
            with errors("check its indexes", self._path):
                await self._upkeep.look_for_ann()

    async def _mended(self, *, thorough: bool = False) -> bool:
        """Mend the indexes; whether anything was damaged. The caller holds the lock of changes."""
        self.watch()
        unused = self._index_problem is not None
        try:
            with errors("mend its indexes", self._path):
                wrong = await self._upkeep.mend_indexes(thorough=thorough)
        except EngineError as error:
            self._index_problem = str(error)
            self._upkeep.ann = None
            # Without its indexes, what has just failed may succeed.
            return not unused
        self._index_problem = None
        return bool(wrong) or unused

    async def check_indexes(self) -> list[str]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.ChecksIndexes`."""
        async with self._maintaining, self._changing:
            known = len(self._upkeep.rebuilt)
            await self._check_indexes(thorough=True)
            if self._index_problem is not None:
                raise EngineError(self.name, "use its indexes", self._index_problem, fix=_UNUSED)
            return self._upkeep.rebuilt[known:]

    # Upkeep

    def due(self, *, at_rest: bool = False) -> bool:
        return not self._read_only and self._upkeep.due(at_rest=at_rest)

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        async with self._maintaining:
            async with self._changing:
                self.watch()
                with self._moving():
                    await self._upkeep.compact(keep_none=keep_none)
                if self._index_problem is not None:
                    # They were mended, or it had not been compacted.
                    self._index_problem = None
                    await self._upkeep.look_for_ann()
            self.watch()
            # Not under the lock: it takes long in a large store, and no write has to wait for it.
            done = await self._upkeep.index_vectors()
            await self._make_room()
            return done

    @property
    def erasable_since(self) -> float | None:
        return None if self._read_only else self._upkeep.erasure.since

    async def erase(self) -> Maintenance:
        async with self._maintaining:
            with self._moving():
                await self._upkeep.erase(self._unchanging, self._unwritten)
            done = await self._upkeep.index_vectors()
            await self._make_room()
            return done

    @asynccontextmanager
    async def _unchanging(self) -> AsyncIterator[None]:
        async with self._changing:
            self.watch()
            yield

    @asynccontextmanager
    async def _unwritten(self) -> AsyncIterator[None]:
        async with self._changing, self._appending:
            await self._adding.ended(here=True)
            self.watch()
            yield

    async def health(self) -> dict[str, Any]:
        self.watch()
        if self._read_only and self._index_problem is not None:
            # The writer may have mended them since.
            await self._check_indexes()
        with errors("report its health", self._path):
            stats: Any = await self._table.stats()
            version = await self._table.version()
            # Describing a damaged one would read it.
            indexes = [] if self._index_problem else await self._upkeep.describe()
        upkeep = self._upkeep.last
        return {
            "engine": self.name,
            "rows": stats["num_rows"],
            "bytes": stats["total_bytes"],
            "fragments": stats["fragment_stats"]["num_fragments"],
            "version": version,
            "commits_since_upkeep": self._upkeep.commits,
            "to_erase": self.erasable_since is not None,
            "indexes": indexes,
            "index_problem": self._index_problem,
            "search_of_all_users": "exact" if self._upkeep.ann is None else "approximate",
            "indexes_rebuilt": list(self._upkeep.rebuilt),
            "upkeep": {
                "runs": upkeep.runs,
                "seconds": round(upkeep.seconds, 4),
                "error": upkeep.error,
                **upkeep.details,
            },
        }

    async def close(self) -> None:
        self._forget_places()
        learning, self._learning = self._learning, None
        if learning is not None and learning.get_loop() is asyncio.get_running_loop():
            learning.cancel()
            await asyncio.wait([learning])
        table, self._open_table = self._open_table, None
        if table is not None:
            table.close()


async def _connect(path: str, cache: int, *, read_only: bool) -> Any:
    """The database, which may cache so many bytes of its indexes."""
    import lancedb

    session = lancedb.Session(cache, _METADATA_CACHE_BYTES)
    # The writer is the only one, so it never has to check for commits of others.
    interval = timedelta(0) if read_only else None
    return await lancedb.connect_async(path, read_consistency_interval=interval, session=session)


def _without(batch: pa.RecordBatch, seqs: pa.ChunkedArray) -> pa.RecordBatch:
    """The rows of a batch whose ``seq`` is not one of these."""
    if not len(seqs):
        return batch
    return batch.filter(pc.invert(pc.is_in(batch.column("seq"), seqs.combine_chunks())))
