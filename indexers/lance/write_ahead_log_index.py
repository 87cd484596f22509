"""In front of an index: a write-ahead log, so that a small write is one record of a file.

LanceDB pays for each commit, whatever its size: some milliseconds, a fragment, a version.
So small appends are logged and kept in memory, and reach the index together, a second or two
later (:meth:`WriteAheadLogIndex.flush`). What is asked meanwhile is answered from both.
Everything but an append waits until the index has every row, so that the log never says
anything about a row but that it came.
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
from ..protocols import Compacts, Maintenance, VersionedRowIndex
from ..query import EVERYONE, Candidates, RowFilter, Scope
from ..snapshot import Snapshot
from .memtable import LogFollower, Memtables
from .write_ahead_log import set_aside

T = TypeVar("T")
U = TypeVar("U")

# Rows leave the memtables about once in a second. The last answer is as the rows were, but for a
# row that was replaced in that very moment.
_TRIES = 5


class WriteAheadLogIndex(ForwardingRowIndex):
    """Another index, and in front of it a log of the rows that came last.

    Where there may be a log already, :meth:`replay` has to be called first.

    Args:
        inner: has the rows.
        folder: the log's folder, in an existing one.
        schema: of the rows.
        read_only: another process writes them.
        fsync: a write returns when it would survive a power cut.
    """

    def __init__(
        self,
        inner: VersionedRowIndex,
        folder: Path,
        schema: pa.Schema,
        *,
        read_only: bool = False,
        fsync: bool = False,
    ) -> None:
        super().__init__(inner)
        self._inner_version = inner.version
        self._compacts = capability(inner, Compacts)
        self._folder = folder
        self._follower = LogFollower(folder) if read_only else None
        self._memtables = None if read_only else Memtables(inner, folder, schema, fsync=fsync)
        self._state: object = None
        self._version = 0

    async def replay(self) -> None:
        """Flush what an earlier process logged and did not flush; nothing for a reader.

        Where the index does not take it, it stays in the log, and ``health()`` tells it.

        Raises:
            EngineError: the log cannot be read.
        """
        if self._memtables is not None:
            await self._memtables.open()

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
        """Change rows when the index has them all."""
        memtables = self._writing()

        async def run() -> T:
            async with memtables.flushed():
                return await change()

        return await to_its_end(run())

    async def flush(self) -> None:
        if self._memtables is not None:
            await self._memtables.flush()

    # Reading: the memtables first, then the index, which may have got their rows meanwhile

    async def _look(self) -> tuple[int, list[Snapshot]]:
        """The memtables' epoch, and their rows as they are now."""
        source = self._follower or self._writing()
        if self._follower is not None:
            await self._follower.refresh()
        epoch = source.epoch
        return epoch, [await memtable.snapshot() for memtable in source.memtables]

    async def _stayed(self, epoch: int) -> bool:
        """Whether no row was flushed since: one that was may be changed in the index by now."""
        if self._follower is None:
            return self._writing().epoch == epoch
        await self._follower.refresh()
        return self._follower.epoch == epoch

    async def _both(
        self, own: Callable[[Snapshot], T], theirs: Callable[[], Awaitable[U]]
    ) -> tuple[list[T], U]:
        """What each memtable answers, and what the index does."""
        left = _TRIES
        while True:
            epoch, memtables = await self._look()
            ours = [own(snapshot) for snapshot in memtables]
            found = await theirs()
            left -= 1
            if not ours or not left or await self._stayed(epoch):
                return ours, found

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        def nearest(snapshot: Snapshot) -> Candidates:
            matching = snapshot.matching(scope, where)
            return snapshot.candidates(*snapshot.nearest(vector, matching, limit))

        ours, theirs = await self._both(
            nearest, lambda: self.inner.search(vector, scope, where, limit)
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
            # From its first batch on, a stream is of one version.
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

    async def health(self) -> dict[str, Any]:
        if self._follower is not None:
            await self._follower.refresh()
        source = self._follower or self._writing()
        epoch, memtables = source.epoch, source.memtables
        health = await self.inner.health()
        writing = self._memtables
        if writing is not None and writing.epoch == epoch and not writing.flush_begun:
            # No need to ask an index that may be damaged for each row.
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


# Answers of both. A row may be in both: it was flushed while the index was asked.


def _merged_candidates(ours: Sequence[Candidates], theirs: Candidates, limit: int) -> Candidates:
    """The best of both, best first, of equals the newest; ``ours`` names no row twice."""
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
    """Rows, the largest ``order_by`` first, of equals the newest; those without one last."""
    keys = [(name, "descending") for name in dict.fromkeys((order_by, "seq"))]
    order = pc.sort_indices(rows, sort_keys=keys)  # nothing comes last by default
    return rows.take(order[:limit] if limit is not None else order)
