"""The writing side of a row log: what was logged, and how it reaches the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..aio import LoopLock, to_its_end
from ..errors import EngineError
from ..protocols import VectorIndex
from ..query import Scope
from .memtable import Part
from .write_ahead_log import RowLog, Segment, read_segment, segments

#: A larger append goes to the engine at once: logged first, its rows would be written twice.
LOGGED_ROWS, LOGGED_BYTES = 512, 4 * 2**20
#: What the tail may hold. From half of it on, the engine gets it; at all of it an append waits.
TAIL_ROWS, TAIL_BYTES = 2048, 16 * 2**20

# More than this is written in a thread; less takes less time than a visit to one.
_BYTES_ON_THE_LOOP = 64 * 2**10
# After a failure, how long until another attempt that nobody waits for, in seconds.
_AGAIN = 1.0


class Backlog:
    """Rows that are logged and that the engine may not have yet.

    Appends, and changes of what is there, come one after the other. What reaches the engine
    does so beside appends.

    Args:
        inner: the engine.
        folder: the log's.
        schema: of the rows.
        fsync: an append returns when it would survive a power cut.
    """

    def __init__(self, inner: VectorIndex, folder: Path, schema: pa.Schema, *, fsync: bool) -> None:
        self._inner = inner
        self._folder = folder
        self._schema = schema
        self._log = RowLog(folder, schema, fsync=fsync)
        # Rows come into _active; the engine gets _frozen, whose segments are complete.
        self._active = Part()
        self._frozen: Part | None = None
        # Held by what gives the rows their order; and by who brings _frozen to the engine, which
        # may be asked for while the first is held, never the other way round.
        self._order = LoopLock()
        self._landing = LoopLock()
        self._newest = -1
        self._flushing: asyncio.Task[None] | None = None
        self._failed_at = -_AGAIN
        #: Why rows did not reach the engine at the last attempt; None where they did.
        self.problem: str | None = None
        #: Another number whenever rows have left the tail, and after each append to the log.
        self.epoch = 0
        self.appends = 0

    @property
    def parts(self) -> list[Part]:
        """The tail, oldest rows first; only parts with rows."""
        both = (self._frozen, self._active)
        return [part for part in both if part is not None and part.rows]

    @property
    def landing(self) -> bool:
        """Whether the engine may have some of the tail."""
        return self._frozen is not None and self._frozen.begun

    @property
    def segments(self) -> int:
        """How many files hold it."""
        return len(self._active.paths) + (len(self._frozen.paths) if self._frozen else 0)

    async def open(self) -> None:
        """Take in what an earlier process logged and did not bring to the engine.

        Where the engine refuses it now, it stays in the log, and :attr:`problem` says why.

        Raises:
            EngineError: the log cannot be read, or holds rows of another shape.
        """
        self._newest = await self._inner.last_seq()
        found = await asyncio.to_thread(self._read)
        if not found:
            return
        part = self._frozen = Part()
        for segment in found:
            # Only the last one was written to when its process ended. Without a header there never
            # was a row.
            cut = segment.torn and segment.header is not None and segment is not found[-1]
            if segment.damaged or cut:
                part.damaged.add(segment.path)
            part.paths.append(segment.path)
            for rows in segment.rows:
                # The engine's rows came through the log, in the same order.
                fresh = rows.filter(pc.greater(rows.column("seq"), self._newest))
                if fresh.num_rows:
                    part.add(fresh, segment.path, fresh.nbytes)
        self._newest = max(self._newest, part.last)
        part.landed = not part.rows
        part.begun = True
        try:
            await to_its_end(self._land())
        except EngineError:
            # They can be read, and are as safe as they were. What is written next goes into
            # another segment, after which this one must not look torn.
            self._log.avoid(part.paths)
            if found[-1].torn and found[-1].header is not None:
                await asyncio.to_thread(self._log.mend, found[-1])

    def _read(self) -> list[Segment]:
        found = [read_segment(path) for path in segments(self._folder)]
        for segment in found:
            header = segment.header
            if header is not None and not header.schema.equals(self._schema):
                raise EngineError(
                    "row log",
                    "open",
                    f"{segment.path} holds rows of another shape than the store",
                    fix="Open the store with the version and the embedder that wrote to it.",
                )
        return found

    async def append(self, rows: pa.Table) -> None:
        """Log rows, or where they are many, bring them to the engine.

        Raises:
            EngineError: they were not stored; where they are many, perhaps they were.
        """
        if not rows.num_rows:
            return
        # What nbytes says exactly, for some 100 µs more.
        size = rows.get_total_buffer_size()
        logged = self._is_logged(rows, size)
        # Without a wait there is nothing that a cancelled caller could cut in two.
        at_once = logged and size <= _BYTES_ON_THE_LOOP and not self._log.syncs
        if at_once and self._has_room(rows, size) and not self._order.locked():
            self._take(rows, *self._log.append(self._shaped(rows), self._first(rows)))
        else:
            await to_its_end(self._append(rows, size))
        if 2 * self._active.rows >= TAIL_ROWS or 2 * self._bytes() >= TAIL_BYTES:
            self._begin_flush()

    async def _append(self, rows: pa.Table, size: int) -> None:
        async with self._order:
            if not self._is_logged(rows, size):
                await self._settle()
                await self._inner.append(rows)
                self.saw(rows)
                return
            if not self._has_room(rows, size):
                await self._settle()
            shaped, first = self._shaped(rows), self._first(rows)
            self._take(rows, *await asyncio.to_thread(self._log.append, shaped, first))

    def _take(self, rows: pa.Table, path: Path, nbytes: int) -> None:
        self._active.add(self._shaped(rows), path, nbytes)
        self._newest = self._active.last
        self.appends += 1

    def _shaped(self, rows: pa.Table) -> pa.Table:
        if rows.schema.equals(self._schema):
            return rows
        return rows.select(self._schema.names).cast(self._schema)

    def _first(self, rows: pa.Table) -> int:
        return int(rows.column("seq")[0].as_py())

    def _is_logged(self, rows: pa.Table, size: int) -> bool:
        """Whether rows are few, and come behind all others: else replay would not find them."""
        if rows.num_rows > LOGGED_ROWS or size > LOGGED_BYTES:
            return False
        seqs = rows.column("seq").to_numpy()
        return bool(seqs[0] > self._newest) and bool((np.diff(seqs) > 0).all())

    def _has_room(self, rows: pa.Table, size: int) -> bool:
        held = sum(part.rows for part in self.parts)
        return held + rows.num_rows <= TAIL_ROWS and self._bytes() + size <= TAIL_BYTES

    def _bytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def saw(self, rows: pa.Table) -> None:
        """Rows have a ``seq`` each, which later ones must be above."""
        if rows.num_rows:
            self._newest = max(self._newest, pc.max(rows.column("seq")).as_py())

    # To the engine

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[None]:
        """The engine has every row, and nothing is appended meanwhile.

        Raises:
            EngineError: it does not take them.
        """
        async with self._order:
            await self._settle()
            yield

    async def flush(self) -> None:
        """Bring to the engine what is logged now. Appends go on meanwhile.

        Raises:
            EngineError: it does not take them. They are stored all the same.
        """
        await to_its_end(self._flush())

    async def _flush(self) -> None:
        newest = self._active.last if self._active.rows else self._newest
        while any(part.first <= newest for part in self.parts) or self._frozen is not None:
            async with self._order:
                self._freeze()
            await self._land()

    async def _settle(self) -> None:
        """The same for everything, with :attr:`_order` held."""
        while self._active.rows or self._frozen is not None:
            self._freeze()
            await self._land()

    def _freeze(self) -> None:
        """Complete the newest segment, unless the one before is still on its way."""
        if self._frozen is None and self._active.rows:
            self._log.rotate()
            self._frozen, self._active = self._active, Part()

    async def _land(self) -> None:
        """Bring the frozen rows to the engine as one commit, and let their segments go."""
        async with self._landing:
            part = self._frozen
            if part is None:
                return
            try:
                if not part.landed:
                    rows = await asyncio.to_thread(part.table)
                    if part.begun:
                        # Nobody knows how an earlier attempt ended.
                        rows = await self._missing(rows)
                    part.begun = True
                    if rows.num_rows:
                        await self._inner.append(rows)
                    part.landed = True
                damaged = frozenset(part.damaged)
                await asyncio.to_thread(self._log.remove, part.paths, damaged)
            except BaseException as error:
                self.problem, self._failed_at = str(error), time.monotonic()
                raise
            self._frozen = None
            self.epoch += 1
            self.problem = None

    async def _missing(self, rows: pa.Table) -> pa.Table:
        """Those that the engine does not have."""
        seqs = rows.column("seq").to_pylist()
        held = await self._inner.fetch(Scope.all_users(), seqs, ["seq"])
        known = pc.is_in(rows.column("seq"), held.column("seq").combine_chunks())
        return rows.filter(pc.invert(known))

    def _begin_flush(self) -> None:
        """Flush in the background, unless that is under way or has just failed."""
        task = self._flushing
        here = asyncio.get_running_loop()
        if task is not None and not task.done() and task.get_loop() is here:
            return
        if self.problem is None or time.monotonic() - self._failed_at >= _AGAIN:
            self._flushing = asyncio.create_task(self._flush_beside())

    async def _flush_beside(self) -> None:
        try:
            await self.flush()
        except Exception as error:
            # The rows are stored; health() tells it, and an append at the bound raises it.
            self.problem = str(error)

    async def close(self) -> None:
        """Bring what is logged to the engine, if it takes it. Closing twice does nothing."""
        try:
            await self.flush()
        except EngineError as error:
            # All is stored; the next opening brings it.
            self.problem = str(error)
        if self._flushing is not None and self._flushing.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([self._flushing])
        self._log.close()
