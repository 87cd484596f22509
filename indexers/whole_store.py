"""All users' rows of a small store, in memory: for searches over all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .protocols import RowIndex
from .query import EVERYONE, RowFilter
from .snapshot import LOADED, Gathered, HeldRows

#: Stores with more rows are searched by the engine.
MOST_ROWS = 30_000
# Seconds before a store that did not fit is looked at again.
_AGAIN = 30.0
# After so many new rows without a question over all users they are given up.
_MOST_UNASKED = 5_000
# Adding more at once would block the event loop for too long.
_MOST_ADDED = 500


class WholeStore:
    """The rows of all users, from the first question over all of them on, while they fit.

    They are read in the background; until then the engine answers. New rows are added. After any
    other change, which is rarer, they are read again.

    Args:
        inner: the index with the rows.
        budget: how many bytes they may take.
    """

    def __init__(self, inner: RowIndex, budget: int) -> None:
        self._inner = inner
        self._budget = budget
        self._rows: HeldRows | None = None
        self._not_before = 0.0
        self._unasked = 0
        # How many changes have begun, and how many have ended. Rows that were read while one was
        # under way are not kept.
        self._begun = self._ended = 0
        self._reading = False

    @property
    def held(self) -> HeldRows | None:
        """The rows; None while they are not in memory."""
        return self._rows

    @property
    def nbytes(self) -> int:
        """About how many bytes they take."""
        return 0 if self._rows is None else self._rows.nbytes

    def ask(self) -> HeldRows | None:
        """The rows, for a question over all users; None where the engine has to answer."""
        self._unasked = 0
        return self._rows

    @property
    def to_be_read(self) -> bool:
        """Whether :meth:`read` is worth a try."""
        return (
            self._rows is None
            and not self._reading
            and self._budget > 0
            and time.monotonic() >= self._not_before
        )

    async def read(self) -> None:
        """Read the rows, unless there are too many."""
        self._reading = True
        try:
            begun, ended = self._begun, self._ended
            rows = await self._read()
            if rows is None:
                self._not_before = time.monotonic() + _AGAIN
            elif begun == ended == self._begun:
                self._rows = rows
        finally:
            self._reading = False

    async def _read(self) -> HeldRows | None:
        count = await self._inner.count(EVERYONE, RowFilter())
        if not 0 < count <= MOST_ROWS:
            return None
        gathered = Gathered(count)
        async for batch in self._inner.after(-1, LOADED):
            await asyncio.to_thread(gathered.add, batch)
            if len(gathered) > MOST_ROWS or gathered.nbytes > self._budget:
                return None
        if not len(gathered):
            return None
        return await asyncio.to_thread(gathered.rows, mixed=True)

    # Changes

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change of the rows; inside it, what has changed is told. If it fails, all rows
        are dropped."""
        self._begun += 1
        try:
            yield
        except BaseException:
            self.drop()
            raise
        finally:
            self._ended += 1

    def added(self, rows: pa.Table) -> None:
        """New rows were stored, newer than all others."""
        held = self._rows
        if held is None:
            return
        self._unasked += rows.num_rows
        archived = rows.column("archived_at").null_count < rows.num_rows
        held_at_most = self._unasked <= _MOST_UNASKED and len(held) + rows.num_rows <= MOST_ROWS
        if rows.num_rows > _MOST_ADDED or archived or not held_at_most:
            self._rows = None
            return
        held.add(rows)
        if held.nbytes > self._budget:
            self._rows = None

    def used(self, rows: pa.Table) -> None:
        """Uses of rows were counted."""
        if self._rows is not None:
            self._rows.set_uses(rows)

    def removed(self, seqs: NDArray[np.int64]) -> None:
        """Rows are gone."""
        if len(seqs):
            self._rows = None

    def drop(self) -> None:
        """Hold no rows; the next question has them read again."""
        self._rows = None
