"""The tail: rows of the log that the engine may not have yet, in memory, and answers of both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import LoopLock
from ..query import Candidates, RowFilter, Scope
from ..snapshot import RowsView
from ..user_rows import UserRows

# Joining more tables than this takes longer than the event loop has.
_JOINED_ON_THE_LOOP = 64


class Part:
    """Rows that were logged, and the segments that they are in.

    They are made ready to be searched when somebody asks, since most never are: they are in the
    engine a second or two later.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []
        #: Segments of ``paths`` of which something could not be read.
        self.damaged: set[Path] = set()
        self.rows = 0
        self.nbytes = 0
        #: The ``seq`` of the first and of the last row; -1 for none.
        self.first = self.last = -1
        #: Whether the engine may have some of the rows already, and whether it has all.
        self.begun = self.landed = False
        self._tables: list[pa.Table] = []
        # Those that are not in _ready yet.
        self._waiting: list[pa.Table] = []
        self._ready: UserRows | None = None
        self._joining = LoopLock()

    def add(self, rows: pa.Table, path: Path, nbytes: int) -> None:
        """Take rows that came after all others, and that take so many bytes of ``path``."""
        if path not in self.paths:
            self.paths.append(path)
        self.rows += rows.num_rows
        self.nbytes += nbytes
        seqs = rows.column("seq")
        self.first = seqs[0].as_py() if self.first < 0 else self.first
        self.last = seqs[-1].as_py()
        self._tables.append(rows)
        self._waiting.append(rows)

    async def view(self) -> RowsView:
        """The rows as they are now. There is at least one."""
        if len(self._waiting) > _JOINED_ON_THE_LOOP:
            async with self._joining:
                many = list(self._waiting)
                if len(many) > _JOINED_ON_THE_LOOP:
                    joined = await asyncio.to_thread(_join, many)
                    self._waiting[: len(many)] = [joined]
        if self._waiting:
            fresh, self._waiting = _join(self._waiting), []
            if self._ready is None:
                self._ready = UserRows(fresh, mixed=True)
            else:
                self._ready.add(fresh)
        assert self._ready is not None
        return self._ready.view()

    def table(self) -> pa.Table:
        """The rows as they were logged. In any thread, when no more are added."""
        return _join(self._tables)


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()


# Answers of the tail


def nearest(
    tail: Sequence[RowsView],
    vector: NDArray[np.float32],
    scope: Scope,
    where: RowFilter,
    limit: int,
) -> list[Candidates]:
    """The nearest rows of each part."""
    return [
        view.candidates(*view.nearest(vector, view.matching(scope, where), limit)) for view in tail
    ]


def matching(
    tail: Sequence[RowsView], scope: Scope, where: RowFilter, columns: Sequence[str]
) -> list[pa.Table]:
    """Every row of each part that a scope and a filter let pass."""
    found = []
    for view in tail:
        mask = view.matching(scope, where)
        rows = np.arange(len(view)) if mask is None else np.flatnonzero(mask)
        found.append(view.taken(rows, columns))
    return found


# Answers of both. A row may be in both: it has come into the engine while the engine was asked.


def merged_candidates(ours: Sequence[Candidates], theirs: Candidates, limit: int) -> Candidates:
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


def merged_rows(ours: Sequence[pa.Table], theirs: pa.Table) -> pa.Table:
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


def largest(rows: pa.Table, order_by: str, limit: int | None) -> pa.Table:
    """Rows, the largest ``order_by`` first, of equals the newest; those without one last."""
    keys = [(name, "descending") for name in dict.fromkeys((order_by, "seq"))]
    order = pc.sort_indices(rows, sort_keys=keys)  # nothing comes last by default
    return rows.take(order[:limit] if limit is not None else order)
