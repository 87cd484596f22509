"""Memtables: rows that are in the write-ahead log and not yet in the engine, in memory.

:class:`Memtables` is the writing side: it logs rows, keeps them in memory, and flushes them to
the engine. :class:`LogFollower` is the reading side: it reads the log of another process.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import LoopLock, to_its_end
from ..errors import BackendUnavailable, EngineError
from ..protocols import RowIndex
from ..query import EVERYONE, RowFilter
from ..snapshot import HeldRows, Snapshot
from .write_ahead_log import Header, Segment, WriteAheadLog, read_segment, segments, unavailable

#: Of ``seq``, int64 (n,), which rows are known to be deleted, bool (n,).
Gone = Callable[[NDArray[np.int64]], NDArray[np.bool_]]

#: A larger append goes to the engine at once, so that its rows are not written twice.
LOGGED_ROWS, LOGGED_BYTES = 512, 4 * 2**20
#: The most that the memtables hold. A flush begins at half of it; when it is full, appends wait.
MEMTABLE_ROWS, MEMTABLE_BYTES = 4096, 16 * 2**20

# More than this is written in a thread; less takes less time than switching to a thread.
_BYTES_ON_THE_LOOP = 128 * 2**10
# Joining more tables than this would block the event loop for too long.
_JOINED_ON_THE_LOOP = 64
# Seconds after a failed flush before the next one in the background.
_AGAIN = 1.0
# Attempts to read the log while segments disappear. A flush removes them about once a second.
_TRIES = 20


class Memtable:
    """Rows that were logged, and the segments of the log that they are in.

    The arrays for a search are built when the first search needs them. Mostly none does: the rows
    are in the engine one or two seconds later.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []
        #: Segments of ``paths`` that could not be read completely.
        self.damaged: set[Path] = set()
        self.rows = 0
        self.nbytes = 0
        #: The ``seq`` of the first and of the last row; -1 for none.
        self.first = self.last = -1
        #: Whether the engine may have some of the rows, and whether it has them all.
        self.flush_begun = self.flushed = False
        self._tables: list[pa.Table] = []
        # The same rows as arrays; None until a search needs them.
        self._held: HeldRows | None = None

    def add(self, rows: pa.Table, path: Path, nbytes: int) -> None:
        """Add rows newer than all others; they take ``nbytes`` bytes of the segment ``path``."""
        if path not in self.paths:
            self.paths.append(path)
        self.rows += rows.num_rows
        self.nbytes += nbytes
        seqs = rows.column("seq")
        self.first = seqs[0].as_py() if self.first < 0 else self.first
        self.last = seqs[-1].as_py()
        self._tables.append(rows)
        if self._held is not None:
            self._held.add(rows)

    async def snapshot(self) -> Snapshot:
        """The rows as they are now. There must be at least one."""
        if self._held is None:
            tables = list(self._tables)
            many = len(tables) > _JOINED_ON_THE_LOOP
            held = await asyncio.to_thread(_held, tables) if many else _held(tables)
            # Another task may have built it meanwhile, and rows may have been added.
            if self._held is None:
                for rows in self._tables[len(tables) :]:
                    held.add(rows)
                self._held = held
        return self._held.snapshot()

    def table(self) -> pa.Table:
        """The rows as they were logged. Any thread may call it, once no more rows are added."""
        return _join(self._tables)


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()


def _held(tables: Sequence[pa.Table]) -> HeldRows:
    return HeldRows(_join(tables), mixed=True)


class Memtables:
    """The writing side of a log: the active memtable, and the one that is being flushed.

    Appends and changes of rows run one at a time. A flush runs beside appends.

    Args:
        inner: the engine.
        folder: the log's.
        schema: of the rows.
        fsync: an append returns only when it would survive a power cut.
        check: as of :class:`WriteAheadLog`.
    """

    def __init__(
        self,
        inner: RowIndex,
        folder: Path,
        schema: pa.Schema,
        *,
        fsync: bool,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._folder = folder
        self._schema = schema
        self._fsync = fsync
        self._log = WriteAheadLog(folder, schema, fsync=fsync, check=check)
        # Rows are added to _active. _immutable takes no more rows, and its segments are complete.
        self._active = Memtable()
        self._immutable: Memtable | None = None
        # _order is held while rows are appended to the log or changed; _flushing is held while
        # _immutable is flushed. To avoid a deadlock, _order is never taken under _flushing.
        self._order = LoopLock()
        self._flushing = LoopLock()
        # The largest seq in the log and the engine.
        self._newest = -1
        self._flushing_beside: asyncio.Task[None] | None = None
        self._failed_at = -_AGAIN
        #: Why the last flush failed; None where it did not.
        self.problem: str | None = None
        #: Changes whenever rows have left the memtables.
        self.epoch = 0
        #: Changes with each append to the log.
        self.appends = 0

    @property
    def memtables(self) -> list[Memtable]:
        """The memtables that have rows, the oldest rows first."""
        both = (self._immutable, self._active)
        return [memtable for memtable in both if memtable is not None and memtable.rows]

    @property
    def flush_begun(self) -> bool:
        """Whether the engine may have some of the memtables' rows."""
        return self._immutable is not None and self._immutable.flush_begun

    @property
    def segments(self) -> int:
        """How many files of the log hold them."""
        return len(self._active.paths) + (len(self._immutable.paths) if self._immutable else 0)

    async def open(self, gone: Gone | None = None) -> None:
        """Flush rows that an earlier process logged and did not flush.

        If the engine refuses them, they stay in the log, and :attr:`problem` says why.

        Args:
            gone: tells of ``seq`` which are known to be deleted; such rows are not flushed.

        Raises:
            EngineError: the log cannot be read, or holds rows of another shape.
        """
        self._newest = await self._inner.last_seq()
        found = await asyncio.to_thread(self._read)
        if not found:
            return
        memtable = self._immutable = Memtable()
        for segment in found:
            # A killed process leaves only the newest segment incomplete. A segment without a header
            # never had a row.
            cut = segment.torn and segment.header is not None and segment is not found[-1]
            if segment.damaged or cut:
                memtable.damaged.add(segment.path)
            memtable.paths.append(segment.path)
            for rows in segment.rows:
                # Rows are flushed in the order of the log, so the engine has all up to its newest.
                fresh = rows.filter(pc.greater(rows.column("seq"), self._newest))
                if gone is not None and fresh.num_rows:
                    # An older copy of the log was put back.
                    fresh = fresh.filter(pa.array(~gone(fresh.column("seq").to_numpy())))
                if fresh.num_rows:
                    memtable.add(fresh, segment.path, fresh.nbytes)
        self._newest = max(self._newest, memtable.last)
        memtable.flushed = not memtable.rows
        memtable.flush_begun = True
        try:
            await to_its_end(self._flush_immutable())
        except EngineError:
            # The rows are still in the log and can be read. The next append begins another segment;
            # in this one, which is then not the newest, an incomplete end would look like damage.
            self._log.avoid(memtable.paths)
            if found[-1].torn and found[-1].header is not None:
                await asyncio.to_thread(self._log.mend, found[-1])

    def _read(self) -> list[Segment]:
        found = [read_segment(path) for path in segments(self._folder)]
        for segment in found:
            header = segment.header
            if header is not None and not header.schema.equals(self._schema):
                raise EngineError(
                    "write-ahead log",
                    "open",
                    f"{segment.path} holds rows of another shape than the store",
                    fix="Open the store with the version and the embedder that wrote to it.",
                )
        return found

    # Appending

    async def append(self, rows: pa.Table) -> None:
        """Log rows; a large append goes to the engine instead.

        Raises:
            EngineError: the rows were not logged. Of a large append it is not known whether the
                engine has stored them.
        """
        if not rows.num_rows:
            return
        # Not nbytes, which is exact but takes some 100 µs more.
        size = rows.get_total_buffer_size()
        logged = self._is_logged(rows, size)
        # This branch never awaits, so cancellation cannot interrupt it.
        at_once = logged and size <= _BYTES_ON_THE_LOOP and not self._fsync
        if at_once and self._has_room(rows, size) and not self._order.locked():
            rows = self._shaped(rows)
            self._add(rows, *self._log.append(rows))
        else:
            await to_its_end(self._append(rows, size))
        if 2 * self._active.rows >= MEMTABLE_ROWS or 2 * self._bytes() >= MEMTABLE_BYTES:
            self._flush_beside()

    async def _append(self, rows: pa.Table, size: int) -> None:
        async with self._order:
            if not self._is_logged(rows, size):
                await self._flush_all()
                await self._inner.upsert(rows, all_new=True)
                self.saw(rows)
                return
            if not self._has_room(rows, size):
                await self._flush_all()
            rows = self._shaped(rows)
            self._add(rows, *await asyncio.to_thread(self._log.append, rows))

    def _add(self, rows: pa.Table, path: Path, nbytes: int) -> None:
        self._active.add(rows, path, nbytes)
        self._newest = self._active.last
        self.appends += 1

    def _shaped(self, rows: pa.Table) -> pa.Table:
        if rows.schema.equals(self._schema):
            return rows
        return rows.select(self._schema.names).cast(self._schema)

    def _is_logged(self, rows: pa.Table, size: int) -> bool:
        """Whether to log rows: few ones, newer than all others. A replay skips older rows."""
        if rows.num_rows > LOGGED_ROWS or size > LOGGED_BYTES:
            return False
        seqs = rows.column("seq").to_numpy()
        if seqs[0] <= self._newest:
            return False
        return len(seqs) == 1 or bool((np.diff(seqs) > 0).all())

    def _has_room(self, rows: pa.Table, size: int) -> bool:
        held = sum(memtable.rows for memtable in self.memtables)
        return held + rows.num_rows <= MEMTABLE_ROWS and self._bytes() + size <= MEMTABLE_BYTES

    def _bytes(self) -> int:
        return sum(memtable.nbytes for memtable in self.memtables)

    def saw(self, rows: pa.Table) -> None:
        """Note the ``seq`` of rows that went to the engine without the log."""
        if rows.num_rows:
            self._newest = max(self._newest, pc.max(rows.column("seq")).as_py())

    # Flushing

    @asynccontextmanager
    async def flushed(self) -> AsyncIterator[None]:
        """Inside it, the engine has every row and nothing is appended.

        Raises:
            EngineError: the engine does not take the rows.
        """
        async with self._order:
            await self._flush_all()
            yield

    async def flush(self) -> None:
        """Flush the rows that are in the memtables now. Appends go on meanwhile.

        Raises:
            EngineError: the engine does not take them. They stay in the log.
        """
        await to_its_end(self._flush())

    async def _flush(self) -> None:
        newest = self._active.last if self._active.rows else self._newest
        while self._immutable is not None or any(
            memtable.first <= newest for memtable in self.memtables
        ):
            async with self._order:
                self._switch()
            await self._flush_immutable()

    async def _flush_all(self) -> None:
        """Flush everything. The caller holds :attr:`_order`."""
        while self._active.rows or self._immutable is not None:
            self._switch()
            await self._flush_immutable()

    def _switch(self) -> None:
        """Begin a new active memtable, unless the immutable one is not flushed yet."""
        if self._immutable is None and self._active.rows:
            self._log.rotate()
            self._immutable, self._active = self._active, Memtable()

    async def _flush_immutable(self) -> None:
        """Flush the immutable memtable as one commit, and remove its segments."""
        async with self._flushing:
            memtable = self._immutable
            if memtable is None:
                return
            try:
                if not memtable.flushed:
                    rows = await asyncio.to_thread(memtable.table)
                    if memtable.flush_begun:
                        # An earlier attempt failed; the engine may have committed it anyway.
                        rows = await self._missing(rows)
                    memtable.flush_begun = True
                    if rows.num_rows:
                        await self._inner.upsert(rows, all_new=True)
                    memtable.flushed = True
                damaged = frozenset(memtable.damaged)
                await asyncio.to_thread(self._log.remove, memtable.paths, damaged)
            except BaseException as error:
                self.problem, self._failed_at = str(error), time.monotonic()
                raise
            if self._immutable is memtable:  # a later event loop may have done it meanwhile
                self._immutable = None
                self.epoch += 1
            self.problem = None

    async def _missing(self, rows: pa.Table) -> pa.Table:
        """The rows that the engine does not have."""
        seqs = rows.column("seq").to_pylist()
        held = await self._inner.read(EVERYONE, RowFilter(), ["seq"], seqs=seqs)
        known = pc.is_in(rows.column("seq"), held.column("seq").combine_chunks())
        return rows.filter(pc.invert(known))

    def _flush_beside(self) -> None:
        """Flush in the background, unless a flush is running or has just failed."""
        task = self._flushing_beside
        here = asyncio.get_running_loop()
        if task is not None and not task.done() and task.get_loop() is here:
            return

        async def flush() -> None:
            try:
                await self.flush()
            except Exception as error:
                # The rows are in the log. health() reports it, and an append without room raises.
                self.problem = str(error)

        if self.problem is None or time.monotonic() - self._failed_at >= _AGAIN:
            self._flushing_beside = asyncio.create_task(flush())

    async def close(self) -> None:
        """Flush, if the engine takes the rows, and close the log. Closing twice does nothing."""
        try:
            await self.flush()
        except EngineError as error:
            # The rows are in the log; the next opening flushes them.
            self.problem = str(error)
        task = self._flushing_beside
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])
        self._log.close()


# The log of another process

# A file's name, size, time of its last change, and number.
_Status = tuple[str, int, int, int]


@dataclass(slots=True)
class _Followed:
    """A segment of another process, as far as it was read."""

    memtable: Memtable
    header: Header | None
    end: int
    damaged: int
    status: _Status


class LogFollower:
    """The memtables of a store that another process writes, read from its log.

    A refresh lists the log's folder. A segment that has grown is read whole, and only its new part
    is parsed.

    Args:
        folder: the log's; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._followed: dict[str, _Followed] = {}
        self._seen: tuple[_Status, ...] = ()
        self._reading = LoopLock()
        #: Changes whenever rows have left the memtables.
        self.epoch = 0

    @property
    def state(self) -> object:
        """A value that changes whenever the log does."""
        return self._seen

    @property
    def memtables(self) -> list[Memtable]:
        """The memtables that have rows, the oldest rows first."""
        return [one.memtable for one in self._followed.values() if one.memtable.rows]

    @property
    def segments(self) -> int:
        """How many files of the log hold them."""
        return len(self._followed)

    @property
    def problem(self) -> str | None:
        """Which segments are damaged; None where none is."""
        named = [name for name, one in self._followed.items() if one.damaged]
        if not named:
            return None
        return f"part of the write-ahead log cannot be read: {', '.join(named)} in {self._folder}"

    async def refresh(self) -> None:
        """Read what is new in the log.

        Raises:
            BackendUnavailable: it cannot be read.
        """
        if self._listing() == self._seen:
            return
        async with self._reading:
            for _ in range(_TRIES):
                now = self._listing()
                if now == self._seen:
                    return
                try:
                    read = await asyncio.to_thread(self._read, now)
                except FileNotFoundError:
                    # A segment is gone: its rows are in the engine, which is read after this.
                    continue
                self._take(now, read)
                return
        raise BackendUnavailable(
            "write-ahead log",
            "read",
            f"{self._folder} changes faster than it can be read",
            fix="Try again.",
        )

    def _listing(self) -> tuple[_Status, ...]:
        found = []
        for path in segments(self._folder):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unavailable("read", path, error) from error
            found.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _read(self, now: tuple[_Status, ...]) -> dict[str, Segment]:
        read = {}
        for status in now:
            known = self._followed.get(status[0])
            if known is None:
                read[status[0]] = read_segment(self._folder / status[0])
            elif known.status != status:
                # A segment that is shorter than what was read was truncated, and is read anew.
                goes_on = known.header is not None and status[1] >= known.end
                read[status[0]] = read_segment(
                    self._folder / status[0], known.header, known.end if goes_on else 0
                )
        return read

    def _take(self, now: tuple[_Status, ...], read: dict[str, Segment]) -> None:
        followed: dict[str, _Followed] = {}
        for status in now:
            name = status[0]
            known, found = self._followed.pop(name, None), read.get(name)
            if found is not None:
                if known is None or not found.begin or found.begin != known.end:
                    self.epoch += known is not None
                    known = _Followed(Memtable(), None, 0, 0, status)
                for rows in found.rows:
                    known.memtable.add(rows, found.path, rows.nbytes)
                known.header, known.end = found.header, found.end
                known.damaged, known.status = known.damaged + found.damaged, status
            assert known is not None
            followed[name] = known
        # What is left in _followed are segments that were removed from the folder.
        self.epoch += bool(self._followed)
        self._followed, self._seen = followed, now
