"""A write-ahead log in front of an index, so that a small write is one record in a file.

A LanceDB commit of any size costs some milliseconds, a fragment and a version. So small appends
are logged and kept in memtables, and are flushed to the index together, one or two seconds later
(:meth:`WriteAheadLogIndex.flush`). Until then, reads combine the memtables and the index. Updates
and deletions flush first, so that the log holds nothing but appended rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import to_its_end
from ..errors import EngineError
from ..forwarding import ForwardingRowIndex, capability
from ..protocols import Compacts, Erases, Maintenance, VersionedRowIndex
from ..query import EVERYONE, Candidates, RowFilter, Scope
from ..snapshot import Snapshot
from .memtable import Gone, LogFollower, Memtables
from .write_ahead_log import set_aside

T = TypeVar("T")
U = TypeVar("U")

# A read is repeated if a flush ended meanwhile, at most so many times; flushes end about once a
# second. The last answer is used anyway: only a row that was replaced at that moment may be wrong.
_TRIES = 5


class WriteAheadLogIndex(ForwardingRowIndex):
    """An index with a write-ahead log in front of it.

    Where there may be a log already, :meth:`replay` has to be called first.

    Args:
        inner: the index.
        folder: the log's folder; its parent exists.
        schema: of the rows.
        read_only: another process writes the rows.
        fsync: a write returns only when it would survive a power cut.
        check: as of :class:`~.write_ahead_log.WriteAheadLog`.
    """

    def __init__(
        self,
        inner: VersionedRowIndex,
        folder: Path,
        schema: pa.Schema,
        *,
        read_only: bool = False,
        fsync: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(inner)
        self._inner_version = inner.version
        self._compacts = capability(inner, Compacts)
        self._erases = capability(inner, Erases)
        self._folder = folder
        self._follower = LogFollower(folder) if read_only else None
        self._memtables = None
        if not read_only:
            self._memtables = Memtables(inner, folder, schema, fsync=fsync, check=check)
        self._state: object = None
        self._version = 0

    async def replay(self, gone: Gone | None = None) -> None:
        """Flush rows that an earlier process logged and did not flush; a reader does nothing.

        If the index does not take them, they stay in the log, and ``health()`` reports it.

        Args:
            gone: tells of ``seq`` which are known to be deleted; such rows are not flushed.

        Raises:
            EngineError: the log cannot be read.
        """
        if self._memtables is not None:
            await self._memtables.open(gone)

    # Writing

    def _writing(self) -> Memtables:
        if self._memtables is None:
            raise EngineError(
                self.name, "write rows", "it was opened to read", fix="Open it to write."
            )
        return self._memtables

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        memtables = self._writing()
        if all_new:
            await memtables.append(rows)
        else:
            memtables.saw(rows)
            await self._when_flushed(lambda: self.inner.upsert(rows, all_new=False))

    async def update(self, rows: pa.Table) -> None:
        await self._when_flushed(lambda: self.inner.update(rows))

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        return await self._when_flushed(lambda: self.inner.delete(scope, where, seqs=seqs))

    async def _when_flushed(self, change: Callable[[], Awaitable[T]]) -> T:
        """Flush all rows, then change rows in the index."""
        memtables = self._writing()

        async def run() -> T:
            async with memtables.flushed():
                return await change()

        return await to_its_end(run())

    async def flush(self) -> None:
        if self._memtables is not None:
            await self._memtables.flush()

    # Reading: the memtables first, then the index, to which their rows may be flushed meanwhile

    async def _look(self) -> tuple[int, list[Snapshot]]:
        """The memtables' epoch, and a snapshot of each."""
        source = self._follower or self._writing()
        if self._follower is not None:
            await self._follower.refresh()
        epoch = source.epoch
        return epoch, [await memtable.snapshot() for memtable in source.memtables]

    async def _stayed(self, epoch: int) -> bool:
        """Whether no memtable was flushed since; a flushed row may have changed in the index."""
        if self._follower is None:
            return self._writing().epoch == epoch
        await self._follower.refresh()
        return self._follower.epoch == epoch

    async def _both(
        self, own: Callable[[Snapshot], T], theirs: Callable[[], Awaitable[U]]
    ) -> tuple[list[T], U]:
        """The answers of each memtable and of the index."""
        left = _TRIES
        while True:
            epoch, snapshots = await self._look()
            ours = [own(snapshot) for snapshot in snapshots]
            found = await theirs()
            left -= 1
            if not ours or not left or await self._stayed(epoch):
                return ours, found

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        ours, theirs = await self._both(
            lambda snapshot: snapshot.search(vector, scope, where, limit),
            lambda: self.inner.search(vector, scope, where, limit),
        )
        return _merged_candidates(ours, theirs, limit)

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
        asked = list(dict.fromkeys((*columns, "seq", *([] if order_by is None else [order_by]))))
        ours, theirs = await self._both(
            lambda snapshot: snapshot.read(scope, where, asked, seqs=seqs, turns=turns),
            lambda: self.inner.read(
                scope, where, asked, seqs=seqs, turns=turns, order_by=order_by, limit=limit
            ),
        )
        rows = _merged_rows(ours, theirs)
        if ours and order_by is not None:
            rows = _largest(rows, order_by, limit)
        return rows.slice(0, limit).select(list(columns))

    async def count(self, scope: Scope, where: RowFilter) -> int:
        left = _TRIES
        while True:
            epoch, memtables = await self._look()
            before = await self._inner_version() if memtables else 0
            ours = [seq for one in memtables for seq in _seqs(one, scope, where).tolist()]
            twice = 0
            if ours:
                twice = (await self.inner.read(EVERYONE, RowFilter(), ["seq"], seqs=ours)).num_rows
            count = await self.inner.count(scope, where)
            left -= 1
            if not memtables:
                return count
            if not left or (await self._stayed(epoch) and await self._inner_version() == before):
                return count + len(ours) - int(twice)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        asked = list(dict.fromkeys((*columns, "seq")))
        left = _TRIES
        while True:
            epoch, memtables = await self._look()
            batches = self.inner.after(seq, asked, scope)
            first = await anext(batches, None)
            left -= 1
            # From its first batch on, a stream reads one version.
            if not memtables or not left or await self._stayed(epoch):
                break
        ours = [snapshot.read(scope, RowFilter(), asked) for snapshot in memtables]
        newer = [table.filter(pc.greater(table.column("seq"), seq)) for table in ours]
        waiting = {one for table in newer for one in table.column("seq").to_pylist()}
        names = list(columns)
        while first is not None:
            if waiting:
                waiting.difference_update(first.column("seq").to_pylist())
            yield first.select(names)
            first = await anext(batches, None)
        for table in newer:
            kept = pc.is_in(table.column("seq"), pa.array(list(waiting), pa.int64()))
            for batch in table.filter(kept).select(names).to_batches():
                yield batch

    async def last_seq(self) -> int:
        _, memtables = await self._look()
        newest = max((int(snapshot.columns["seq"][-1]) for snapshot in memtables), default=-1)
        return max(newest, await self.inner.last_seq())

    async def newest_logged(self) -> int:
        if self._follower is not None:
            await self._follower.refresh()
        source = self._follower or self._writing()
        return max((memtable.last for memtable in source.memtables), default=-1)

    async def version(self) -> int:
        if self._follower is not None:
            await self._follower.refresh()
            log: object = self._follower.state
        else:
            log = self._writing().appends
        state = (log, await self._inner_version())
        if state != self._state:
            self._state = state
            self._version += 1
        return self._version

    # Upkeep

    def due(self, *, at_rest: bool = False) -> bool:
        return self._compacts is not None and self._compacts.due(at_rest=at_rest)

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        await self.flush()
        if self._compacts is None:
            return Maintenance()
        return await self._compacts.maintain(keep_none=keep_none)

    @property
    def erasable_since(self) -> float | None:
        return None if self._erases is None else self._erases.erasable_since

    async def mark_erasable(self) -> None:
        if self._erases is not None:
            await self._erases.mark_erasable()

    async def erase(self) -> Maintenance:
        # A row that is deleted was flushed before, and the file of the log that held it is gone.
        await self.flush()
        return Maintenance() if self._erases is None else await self._erases.erase()

    async def health(self) -> dict[str, Any]:
        if self._follower is not None:
            await self._follower.refresh()
        source = self._follower or self._writing()
        epoch, memtables = source.epoch, source.memtables
        health = await self.inner.health()
        writing = self._memtables
        if writing is not None and writing.epoch == epoch and not writing.flush_begun:
            # An estimate, so that a damaged index does not have to be searched for each row.
            health["rows"] += sum(memtable.rows for memtable in memtables)
        elif memtables:
            health["rows"] = await self.count(EVERYONE, RowFilter())
        health["log"] = {
            "rows": sum(memtable.rows for memtable in memtables),
            "bytes": sum(memtable.nbytes for memtable in memtables),
            "segments": source.segments,
            "problem": source.problem or self._damage(),
        }
        return health

    def _damage(self) -> str | None:
        try:
            kept = set_aside(self._folder)
        except EngineError as error:
            return str(error)
        if not kept:
            return None
        names = ", ".join(path.name for path in kept)
        return (
            f"part of the write-ahead log could not be read, and is kept in {self._folder} "
            f"({names}). Rows that are missing can be stored again; then delete these files."
        )

    async def close(self) -> None:
        if self._memtables is not None:
            await self._memtables.close()
        await self.inner.close()


def _seqs(snapshot: Snapshot, scope: Scope, where: RowFilter) -> NDArray[np.int64]:
    seqs: NDArray[np.int64] = snapshot.columns["seq"]
    matching = snapshot.matching(scope, where)
    return seqs if matching is None else seqs[matching]


# Merging both answers. A row that was flushed meanwhile may be in both.


def _merged_candidates(ours: Sequence[Candidates], theirs: Candidates, limit: int) -> Candidates:
    """The best of both, best first, of equals the newest; no row is twice in ``ours``."""
    ours = [found for found in ours if len(found)]
    if not ours:
        return theirs
    seq = np.concatenate([found.seq for found in ours])
    known = np.isin(theirs.seq, seq)
    conversations = [name for found in ours for name in found.conversation_id]
    conversations += [
        name for name, twice in zip(theirs.conversation_id, known, strict=True) if not twice
    ]
    seq = np.concatenate([seq, theirs.seq[~known]])
    score = np.concatenate([*(found.score for found in ours), theirs.score[~known]])
    turn = np.concatenate([*(found.turn for found in ours), theirs.turn[~known]])
    order = np.lexsort((-seq, -score))[:limit]
    named = tuple(conversations[i] for i in order.tolist())
    return Candidates(seq[order], score[order], named, turn[order])


def _merged_rows(ours: Sequence[pa.Table], theirs: pa.Table) -> pa.Table:
    """The rows of both, once each; all have the same columns, of which ``seq`` is one."""
    ours = [found for found in ours if found.num_rows]
    if not ours:
        return theirs
    fresh = pa.concat_tables(ours)
    if not theirs.num_rows:
        return fresh.cast(theirs.schema)
    known = pc.is_in(theirs.column("seq"), fresh.column("seq").combine_chunks())
    if pc.any(known).as_py():
        theirs = theirs.filter(pc.invert(known))
    return pa.concat_tables([theirs, fresh.cast(theirs.schema)])


def _largest(rows: pa.Table, order_by: str, limit: int | None) -> pa.Table:
    """Rows by ``order_by``, the largest first, of equals the newest; nulls last."""
    keys = [(name, "descending") for name in dict.fromkeys((order_by, "seq"))]
    order = pc.sort_indices(rows, sort_keys=keys)  # nulls come last by default
    return rows.take(order[:limit] if limit is not None else order)
