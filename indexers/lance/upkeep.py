"""LanceDB's upkeep: compaction, old versions, and the indexes' lifecycle.

LanceDB does none of it by itself. Each commit adds a fragment and a version, and their number
makes every search slower. Compaction rewrites the newest fragment, up to a million rows, so it
waits for more commits where that fragment is large.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import timedelta
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..allocator import give_back
from ..errors import EngineError
from ..protocols import Maintenance
from .erasure import Erasure
from .index_checksums import IndexChecksums
from .sync import Sync
from .table import NEWEST_NAME, errors

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

# The columns that every query names come first.
_BITMAPS = ("user_id", "kind")
_BTREES = ("seq", "id", "conversation_id", "created_at")
_LABELS = ("tags",)

# Compaction waits for so many commits, and one more for each four thousand rows that it has to
# rewrite. A commit is about four files.
_COMMITS = 32
_ROWS_A_COMMIT = 4_000
# So many are enough where the last compaction took less than a fiftieth of the time since: a store
# that is written message by message then has fewer than 300 files.
_COMMITS_UNHURRIED, _TIMES_AS_LONG = 44, 50.0
#: LanceDB leaves a fragment of this many rows as it is.
_FULL_FRAGMENT = 2**20
# While nothing is written, so many commits are enough.
_COMMITS_AT_REST = 24
_VERSIONS_AT_REST = 48
# A query that began before a compaction can read the old files for this long.
_KEEP_VERSIONS = timedelta(seconds=10)
# While rows are streamed (for a copy of the store, for example), their versions are kept.
_KEEP_FOR_STREAMS = timedelta(days=1)
_KEEP_ALL = timedelta(days=36_500)
# One compaction may leave work for a second one, seldom for more.
_MOST_PASSES = 5
_MANIFEST = re.compile(r"_versions/(\d{20})\.manifest")
# How many damaged ones of old versions a clean-up drops.
_MOST_MANIFESTS = 100
# Not zero, for which LanceDB logs a warning.
_KEEP_NONE = timedelta(milliseconds=1)
# A version that was made in this very millisecond is removed by the next pass.
_MOST_PRUNES, _UNTIL_OLD = 10, 0.01

#: From this many rows on, the vectors get an approximate index.
ANN_ROWS = 30_000
# The index is trained again when the best number of partitions has grown by this factor.
_RETRAIN = 2
# Searches read all partitions, so there are few: an eighth of the root of the row count.
_FEWER_PARTITIONS = 8
# Bits of a value in the index, whose codes are compared before the vectors themselves. With one bit
# a search over a million rows finds .89 of the nearest, with four .997.
_BITS = 4
# Values that a vector's codes come in: of vectors of another length the index has them whole.
_CODED_TOGETHER = 8
_ANN = "vector_rq_"
# Earlier versions made one of whole vectors. It serves until upkeep has built the other.
_ANN_BEFORE = "vector_ivf_"
# The names that it may have where no record says so; partitions are a power of two.
_ANNS = tuple(f"{kind}{2**power}" for kind in (_ANN, _ANN_BEFORE) for power in range(16))
# Of a row's entry in the index, besides its codes: a row id and factors.
_BYTES_AN_ENTRY = 64
# Of the rows whose `seq` no index knows, so many are compared with those that are asked for.
_UNINDEXED_SEQS = 20_000

# How many damaged indexes are remembered for health().
_REBUILT_KEPT = 20
# How often a reader looks at an index that seems damaged, and the seconds between.
_LOOKS, _BETWEEN_LOOKS = 3, 0.1

_log = logging.getLogger(__name__)

#: Makes a context inside which something does not happen.
Exclusion = Callable[[], AbstractAsyncContextManager[None]]


class Upkeep:
    """Keeps a table small and fast. There is one for each table that is open for writing.

    Args:
        table: gives the table.
        path: its database's folder.
        rows: how many rows it has.
        commits: how many commits were made since it was compacted.
        sync: makes its files durable; None without fsync.
        checksums: of the files of its indexes.
        erasure: what is to be erased.
        approximate: whether the vectors may get an approximate index.
    """

    def __init__(
        self,
        table: Callable[[], AsyncTable],
        path: str,
        rows: int,
        commits: int,
        sync: Sync | None,
        checksums: IndexChecksums,
        erasure: Erasure,
        *,
        approximate: bool = True,
    ) -> None:
        self._table = table
        self._approximate = approximate
        self._path = path
        self._rows = rows
        self._sync = sync
        self.erasure = erasure
        #: Counts the erasures: a call that began before one may have lost the files it was reading.
        self.erasures = 0
        self.commits = commits
        self.streams = 0
        self.last = Maintenance()
        self._compacted_at = time.monotonic()
        #: Name of the approximate index; None where there is none.
        self.ann: str | None = None
        self._checksums = checksums
        #: What was wrong with each index that was dropped and is made anew, the oldest first.
        self.rebuilt: list[str] = []
        #: Whether the approximate index was dropped and is not built again yet.
        self._lost_ann = False

    @property
    def rows(self) -> int:
        """About how many rows there are."""
        return self._rows

    def committed(self, rows: int = 0) -> None:
        """Note a commit with this many new rows."""
        self.commits += 1
        self._rows += rows

    def due(self, *, at_rest: bool) -> bool:
        """Whether compaction pays. It takes fewer commits ``at_rest``, when nothing is written."""
        if self._lost_ann and self._approximate and self._rows >= ANN_ROWS:
            return True
        if at_rest:
            return self.commits >= _COMMITS_AT_REST or self._versions() >= _VERSIONS_AT_REST
        commits = _COMMITS + self._rows % _FULL_FRAGMENT // _ROWS_A_COMMIT
        if time.monotonic() - self._compacted_at >= _TIMES_AS_LONG * self.last.seconds:
            commits = min(commits, _COMMITS_UNHURRIED)
        return self.commits >= commits

    async def compact(self, *, keep_none: bool = False) -> None:
        """Compact, drop old versions, and take new rows into the indexes.

        Args:
            keep_none: drop every version but the newest; there must be no reader.
        """
        commits, started = self.commits, time.perf_counter()
        # Compaction reads the indexes, and may end the process on a damaged one.
        await self.mend_indexes()
        keep = _KEEP_NONE if keep_none else _KEEP_VERSIONS
        if self.streams:
            keep = _KEEP_FOR_STREAMS
        with self._noting_failure("compact"):
            table = self._table()
            if self._sync is not None:
                # An old version may be the only durable copy until its successor is synced, so
                # versions are removed only after the last one is.
                self.check_sync()
                await self._compact_keeping_all(table)
                await self.synced()
            stats = await self._clean_up(table, keep)
            await self.synced()
            await self._record()
            self._rows = await table.count_rows()
        await asyncio.to_thread(give_back)
        self.commits -= commits
        self._compacted_at = time.monotonic()
        self.last = Maintenance(
            runs=self.last.runs + 1,
            seconds=time.perf_counter() - started,
            details={
                "fragments_removed": stats.compaction.fragments_removed,
                "fragments_added": stats.compaction.fragments_added,
                "old_versions_removed": stats.prune.old_versions_removed,
                "bytes_removed": stats.prune.bytes_removed,
            },
        )

    async def _clean_up(self, table: AsyncTable, keep: timedelta) -> Any:
        """Compact, and drop versions older than ``keep``.

        A damaged manifest of an old version, which nobody needs any more, would stop every
        clean-up: it is deleted.
        """
        for _ in range(_MOST_MANIFESTS):
            try:
                return await table.optimize(cleanup_older_than=keep)
            except (RuntimeError, ValueError, OSError) as error:
                named = _MANIFEST.search(str(error))
                if named is None or int(named[1]) == NEWEST_NAME - await table.version():
                    raise
                _log.warning("an old version of the rows was damaged and is dropped: %s", error)
                await asyncio.to_thread(self._drop_manifest, named[1])
        return await table.optimize(cleanup_older_than=keep)

    def _drop_manifest(self, name: str) -> None:
        for path in Path(self._path).glob(f"*.lance/_versions/{name}.manifest"):
            path.unlink(missing_ok=True)

    async def _compact_keeping_all(self, table: AsyncTable) -> None:
        for _ in range(_MOST_PASSES):
            version = await table.version()
            await table.optimize(cleanup_older_than=_KEEP_ALL)
            if await table.version() == version:
                break

    async def erase(self, unchanging: Exclusion, unwritten: Exclusion) -> None:
        """Compact, and let nothing of a deleted or replaced row stay in any file.

        All versions but the newest go at once, whoever reads them. If rows are deleted meanwhile,
        something is left to erase.

        Args:
            unchanging: inside it, no row is changed.
            unwritten: inside it, nothing is written to the table.
        """
        commits, started = self.commits, time.perf_counter()
        with self._noting_failure("erase what was deleted"):
            table, deletions = self._table(), self.erasure.deletions
            async with unchanging():
                self.check_sync()
                await self.mend_indexes()
                await self._compact_keeping_all(table)
                rewritten = await self.erasure.rewrite(table)
            # LanceDB leaves the values of deleted and of rewritten rows in an index. Not under the
            # lock: it takes long in a large store, and no write has to wait for it.
            await self._make_scalar_indexes(anew=True)
            if self.ann is None:
                await self._drop_anns()
            else:
                await self._make_ann(self._partitions_wanted())
            await self._record()
            await self.synced()
            async with unwritten():
                self.erasures += 1
                try:
                    await self._prune(table)
                finally:
                    # A call that has begun meanwhile may have lost its files, too.
                    self.erasures += 1
                await self._record()
                await self.synced()
                if self.erasure.deletions == deletions:
                    await asyncio.to_thread(self.erasure.end)
            self._rows = await table.count_rows()
        await asyncio.to_thread(give_back)
        self.commits -= commits
        self.last = Maintenance(
            runs=self.last.runs + 1,
            seconds=time.perf_counter() - started,
            details={"rows_rewritten": rewritten},
        )

    async def _prune(self, table: AsyncTable) -> None:
        """Remove all versions but the newest, and what a killed process left, which none names."""
        await asyncio.to_thread(self.erasure.sweep)
        await asyncio.to_thread(self.erasure.bring_to_the_present)
        for _ in range(_MOST_PRUNES):
            await asyncio.sleep(_UNTIL_OLD)
            await table.optimize(cleanup_older_than=_KEEP_NONE, delete_unverified=True)
            if await asyncio.to_thread(self.erasure.versions) <= 1:
                break
        else:
            # The clock was ahead when those that are left were made: they say so within.
            await asyncio.to_thread(self._drop_older_than, await table.version())
            await table.optimize(cleanup_older_than=_KEEP_NONE, delete_unverified=True)
        await self.erasure.drop_orphans(table)

    def _drop_older_than(self, version: int) -> None:
        for path in Path(self._path).glob("*.lance/_versions/*.manifest"):
            # A name is the smaller, the newer its version.
            if path.stem.isdecimal() and int(path.stem) > NEWEST_NAME - version:
                path.unlink(missing_ok=True)

    @contextmanager
    def _noting_failure(self, operation: str) -> Iterator[None]:
        try:
            with errors(operation, self._path):
                yield
        except EngineError as error:
            self.last.error = str(error)
            # The next attempt waits for as many commits again, rather than failing at each one.
            self.commits = 0
            raise

    @property
    def partitions(self) -> int:
        """The number of partitions of the approximate index, 0 where there is none."""
        return 0 if self.ann is None else int(self.ann.rpartition("_")[2])

    def ann_bytes(self, dimension: int) -> int:
        """About how many bytes the approximate index takes in memory."""
        return self._rows * (dimension * _BITS // 8 + _BYTES_AN_ENTRY)

    @property
    def syncs(self) -> bool:
        """Whether a commit has to be durable before it counts."""
        return self._sync is not None

    def check_sync(self) -> None:
        """Refuse to commit where an earlier sync failed."""
        if self._sync is not None:
            self._sync.check()

    async def synced(self) -> None:
        """With fsync, return when what was committed is durable."""
        if self._sync is not None:
            await asyncio.to_thread(self._sync.commit)

    # Indexes

    async def mend_indexes(self, *, thorough: bool = False) -> list[str]:
        """Drop the indexes whose files are damaged, and make the missing ones.

        A new table has none, and a process that was killed may have left some out. Scalar indexes
        are made at once, the approximate one at the next upkeep; until then its searches are exact.

        Args:
            thorough: read large files too that have their recorded size and time.

        Returns:
            What was wrong, by index. Empty if nothing was damaged.

        Raises:
            EngineError: LanceDB failed.
            BackendUnavailable: the files cannot be read or written.
        """
        wrong: list[str] = []
        with errors("mend its indexes", self._path):
            files = await asyncio.to_thread(self._checksums.check, thorough=thorough)
            # Listing the indexes reads a vector index, so a damaged one has to go first.
            problem = files.problem_of_vectors()
            if problem is not None:
                wrong.append(f"the index of the vectors: {problem}")
                for name in sorted({*filter(_is_ann, files.live), *_ANNS}):
                    with suppress(RuntimeError, ValueError):  # there is none of this name
                        await self._table().drop_index(name)
                self.ann, self._lost_ann = None, True
            for index in await self._indexes():
                if _is_ann(index.name):
                    continue
                problem = files.problem(str(index.index_uuid))
                if problem is not None:
                    wrong.append(f"the index of {', '.join(index.columns)}: {problem}")
                    await self._table().drop_index(index.name)
            made = await self._make_scalar_indexes()
            if wrong or made:
                await self._record()
        for one in wrong:
            _log.warning("an index of the rows was damaged and is made anew: %s", one)
        self.rebuilt.extend(wrong)
        del self.rebuilt[:-_REBUILT_KEPT]
        return wrong

    async def check_indexes(self, *, thorough: bool = False) -> str | None:
        """What is wrong with an index, for a reader beside a writer; None if nothing is."""
        for _ in range(_LOOKS):
            files = await asyncio.to_thread(
                self._checksums.check, thorough=thorough, beside_writer=True
            )
            wrong = [
                f"the index {name}: {problem}"
                for name, folder in sorted(files.live.items())
                if (problem := files.problem(folder)) is not None
            ]
            if files.unknown and not wrong:
                wrong = ["there are index files without a recorded checksum"]
            if not wrong:
                return None
            # The writer may have just replaced it.
            await asyncio.sleep(_BETWEEN_LOOKS)
        return "; ".join(wrong)

    async def _make_scalar_indexes(self, *, anew: bool = False) -> bool:
        """Make the missing scalar indexes; returns whether any was.

        Args:
            anew: make those anew that are there; until then the old ones answer.
        """
        from lancedb.index import Bitmap, BTree, LabelList

        wanted: dict[str, Any] = {
            **dict.fromkeys(_BITMAPS, Bitmap),
            **dict.fromkeys(_BTREES, BTree),
            **dict.fromkeys(_LABELS, LabelList),
        }
        held = {column for index in await self._indexes() for column in index.columns}
        missing = [column for column in wanted if anew or column not in held]
        for column in missing:
            await self._table().create_index(column, config=wanted[column]())
        return bool(missing)

    async def _record(self) -> None:
        """Record the checksums of all index files."""
        live = {index.name: str(index.index_uuid) for index in await self._indexes()}
        await asyncio.to_thread(self._checksums.record, live)

    async def look_for_ann(self) -> None:
        """Find the approximate index that the table has, if it may be searched by one."""
        # The one of this version first.
        names = sorted(await self._anns(), key=_is_before)
        self.ann = names[0] if names and self._approximate else None

    async def index_vectors(self) -> Maintenance:
        """Build the approximate index where it is missing, has too few partitions, or is one of an
        earlier version; drop it where there is to be none."""
        if not self._approximate:
            await self._drop_anns()
            return self.last
        if self._rows < ANN_ROWS:
            return self.last
        known = 0 if self.ann is None or _is_before(self.ann) else self.partitions
        if self._partitions_wanted() < _RETRAIN * known:
            return self.last
        started = time.perf_counter()
        with self._noting_failure("index the vectors"):
            await self._make_ann(self._partitions_wanted())
            self._lost_ann = False
            await self.synced()
            await self._record()
        self.last.details["index_seconds"] = round(time.perf_counter() - started, 3)
        return self.last

    def _partitions_wanted(self) -> int:
        root: int = round(sqrt(self._rows))
        return max(1, (1 << root.bit_length()) // 2 // _FEWER_PARTITIONS)

    async def _anns(self) -> list[str]:
        return [index.name for index in await self._indexes() if _is_ann(index.name)]

    async def _drop_anns(self, kept: str | None = None) -> None:
        for name in await self._anns():
            if name != kept:
                await self._table().drop_index(name)

    async def _make_ann(self, partitions: int) -> None:
        """Build the approximate index, in place of any that there is."""
        from lancedb.index import IvfFlat, IvfRq

        name = f"{_ANN}{partitions}"
        vector = (await self._table().schema()).field("vector").type
        config: Any = IvfFlat(distance_type="dot", num_partitions=partitions)
        if vector.list_size % _CODED_TOGETHER == 0:
            config = IvfRq(distance_type="dot", num_partitions=partitions, num_bits=_BITS)
        await self._table().create_index("vector", config=config, name=name)
        self.ann = name
        await self._drop_anns(kept=name)

    async def index_seqs(self) -> bool:
        """Make the index of ``seq`` anew where it lacks many rows; whether it did.

        LanceDB takes whole fragments out of the index of the column by which rows are updated.
        """
        from lancedb.index import BTree

        with errors("index the rows", self._path):
            table = self._table()
            names = [index.name for index in await self._indexes() if index.columns == ["seq"]]
            for name in names:
                stats = await table.index_stats(name)
                if stats is not None and stats.num_unindexed_rows > _UNINDEXED_SEQS:
                    await table.create_index("seq", config=BTree())
                    await self._record()
                    return True
        return False

    async def describe(self) -> list[dict[str, Any]]:
        """Each index: its columns, its kind, and how many rows are in it and not in it."""
        table, found = self._table(), []
        for index in await self._indexes():
            stats = await table.index_stats(index.name)
            if stats is not None:
                found.append(
                    {
                        "columns": list(index.columns),
                        "kind": index.index_type,
                        "rows": stats.num_indexed_rows,
                        "rows_not_in_it": stats.num_unindexed_rows,
                    }
                )
        return found

    async def _indexes(self) -> list[Any]:
        return list(await self._table().list_indices())

    def _versions(self) -> int:
        try:
            return sum(1 for _ in os.scandir(next(Path(self._path).glob("*.lance")) / "_versions"))
        except (OSError, StopIteration):
            return 0


def _is_ann(name: str) -> bool:
    return name.startswith((_ANN, _ANN_BEFORE))


def _is_before(name: str) -> bool:
    """Whether an approximate index was made by an earlier version."""
    return name.startswith(_ANN_BEFORE)
