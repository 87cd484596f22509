"""A vector index behind a row log: a small write is one record of a file.

LanceDB pays for each commit, whatever its size: some milliseconds, a fragment, a
version. So small appends are logged (``row_log``) and kept in memory, and reach the
index together, a second or two later (:meth:`LoggedIndex.flush`). What is asked
meanwhile is answered from both. Everything but an append waits until the index has
every row, so that the log never says anything about a row but that it came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import to_its_end
from ..errors import EngineError
from ..protocols import Maintenance, VectorIndex
from ..query import EVERYONE, Candidates, RowFilter, Scope
from ..snapshot import RowsView
from .flusher import Backlog
from .log_reader import LogReader
from .memtable import largest, matching, merged_candidates, merged_rows, nearest
from .write_ahead_log import set_aside

T = TypeVar("T")
U = TypeVar("U")

# Rows leave the tail about once in a second. The last answer is as the rows were, but for a row
# that was replaced in that very moment.
_TRIES = 5


class LoggedIndex:
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
        inner: VectorIndex,
        folder: Path,
        schema: pa.Schema,
        *,
        read_only: bool = False,
        fsync: bool = False,
    ) -> None:
        self.inner = inner
        self._folder = folder
        self._schema = schema
        self._reader = LogReader(folder) if read_only else None
        self._backlog = None if read_only else Backlog(inner, folder, schema, fsync=fsync)
        self._state: object = None
        self._version = 0

    async def replay(self) -> None:
        """Bring to the index what an earlier process logged and did not; nothing for a reader.

        Where the index does not take it, it stays in the log, and ``health()`` tells it.

        Raises:
            EngineError: the log cannot be read.
        """
        if self._backlog is not None:
            await self._backlog.open()

    @property
    def name(self) -> str:
        return self.inner.name

    # Writing

    def _writes(self) -> Backlog:
        if self._backlog is None:
            raise EngineError(
                self.name, "write rows", "it was opened to read", fix="Open it to write."
            )
        return self._backlog

    async def append(self, rows: pa.Table) -> None:
        await self._writes().append(rows)

    async def replace(self, rows: pa.Table) -> None:
        self._writes().saw(rows)
        await self._settled(lambda: self.inner.replace(rows))

    async def delete(self, scope: Scope, where: RowFilter) -> NDArray[np.int64]:
        return await self._settled(lambda: self.inner.delete(scope, where))

    async def fill(self, rows: pa.Table) -> None:
        await self._settled(lambda: self.inner.fill(rows))

    async def touch(self, uses: Mapping[int, int], at: datetime) -> None:
        if uses:
            await self._settled(lambda: self.inner.touch(uses, at))

    async def _settled(self, change: Callable[[], Awaitable[T]]) -> T:
        """Change rows when the index has them all."""
        backlog = self._writes()

        async def run() -> T:
            async with backlog.settled():
                return await change()

        return await to_its_end(run())

    async def flush(self) -> None:
        if self._backlog is not None:
            await self._backlog.flush()

    # Reading: the tail first, then the index, which may have got the tail's rows meanwhile

    async def _look(self) -> tuple[int, list[RowsView]]:
        """The tail as it is now, and its epoch."""
        tail = self._reader or self._writes()
        if self._reader is not None:
            await self._reader.look()
        epoch = tail.epoch
        return epoch, [await part.view() for part in tail.parts]

    async def _stayed(self, epoch: int) -> bool:
        """Whether no row has left the tail: one that has may be changed in the index by now."""
        if self._reader is None:
            return self._writes().epoch == epoch
        await self._reader.look()
        return self._reader.epoch == epoch

    async def _both(
        self, own: Callable[[list[RowsView]], T], theirs: Callable[[], Awaitable[U]]
    ) -> tuple[T | None, U]:
        """What the tail answers (None where it is empty), and what the index does."""
        left = _TRIES
        while True:
            epoch, tail = await self._look()
            ours = own(tail) if tail else None
            found = await theirs()
            left -= 1
            if ours is None or not left or await self._stayed(epoch):
                return ours, found

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        ours, theirs = await self._both(
            lambda tail: nearest(tail, vector, scope, where, limit),
            lambda: self.inner.search(vector, scope, where, limit),
        )
        return theirs if ours is None else merged_candidates(ours, theirs, limit)

    async def around(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int],
        places: Mapping[str, Sequence[int]],
        columns: Sequence[str],
    ) -> pa.Table:
        asked = list(dict.fromkeys((*columns, "seq")))
        ours, theirs = await self._both(
            lambda tail: [view.around(scope, where, seqs, places, asked) for view in tail],
            lambda: self.inner.around(scope, where, seqs, places, asked),
        )
        return merged_rows(ours or (), theirs).select(list(columns))

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
        asked = list(dict.fromkeys((*columns, "seq", *([] if order_by is None else [order_by]))))
        ours, theirs = await self._both(
            lambda tail: matching(tail, scope, where, asked),
            lambda: self.inner.scan(scope, where, asked, order_by=order_by, limit=limit),
        )
        rows = merged_rows(ours or (), theirs)
        if ours and order_by is not None:
            rows = largest(rows, order_by, limit)
        return rows.slice(0, limit).select(list(columns))

    async def count(self, scope: Scope, where: RowFilter) -> int:
        left = _TRIES
        while True:
            epoch, tail = await self._look()
            before = await self.inner.version() if tail else 0
            ours = pa.concat_tables(matching(tail, scope, where, ["seq"])) if tail else None
            twice = 0
            if ours is not None and ours.num_rows:
                seqs = ours.column("seq").to_pylist()
                twice = (await self.inner.fetch(Scope.all_users(), seqs, ["seq"])).num_rows
            count = await self.inner.count(scope, where)
            left -= 1
            if ours is None:
                return count
            if not left or (await self._stayed(epoch) and await self.inner.version() == before):
                return count + int(ours.num_rows) - int(twice)

    async def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        asked = list(dict.fromkeys((*columns, "seq")))
        left = _TRIES
        while True:
            epoch, tail = await self._look()
            batches = self.inner.after(seq, asked, scope)
            first = await anext(batches, None)
            left -= 1
            # From its first batch on, a stream is of one version.
            if not tail or not left or await self._stayed(epoch):
                break
        ours = matching(tail, scope, RowFilter(), asked)
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

    def in_memory(self, scope: Scope) -> bool:
        return False

    async def held(self, scope: Scope) -> None:
        return None

    async def last_seq(self) -> int:
        _, tail = await self._look()
        newest = max((int(view.columns["seq"][-1]) for view in tail), default=-1)
        return max(newest, await self.inner.last_seq())

    async def version(self) -> int:
        if self._reader is not None:
            await self._reader.look()
            log: object = self._reader.state
        else:
            log = self._writes().appends
        state = (log, await self.inner.version())
        if state != self._state:
            self._state = state
            self._version += 1
        return self._version

    # Upkeep

    def due(self) -> bool:
        return self.inner.due()

    def untidy(self) -> bool:
        return self.inner.untidy()

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        await self.flush()
        return await self.inner.maintain(keep_none=keep_none)

    async def health(self) -> dict[str, Any]:
        if self._reader is not None:
            await self._reader.look()
        tail = self._reader or self._writes()
        epoch, parts = tail.epoch, tail.parts
        health = await self.inner.health()
        if self._backlog is not None and tail.epoch == epoch and not self._backlog.landing:
            # No need to ask an index that may be damaged for each row.
            health["rows"] += sum(part.rows for part in parts)
        elif parts:
            health["rows"] = await self.count(Scope.all_users(), RowFilter())
        health["log"] = {
            "rows": sum(part.rows for part in parts),
            "bytes": sum(part.nbytes for part in parts),
            "segments": tail.segments,
            "problem": tail.problem or self._damage(),
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
            f"part of the row log could not be read, and is kept in {self._folder} ({names}). "
            "Rows that are missing can be stored again; then delete these files."
        )

    async def close(self) -> None:
        if self._backlog is not None:
            await self._backlog.close()
        await self.inner.close()
