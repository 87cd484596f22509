"""What the memory asks of an engine.

``VectorIndex`` keeps the rows and finds them by vector. ``LexicalIndex`` finds
them by words and can be rebuilt from the rows. Both name a row by its ``seq``
and never answer without a ``Scope``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .query import EVERYONE, Candidates, LexicalQuery, RowFilter, Scope

if TYPE_CHECKING:
    from .user_rows import UserRows


@dataclass(slots=True)
class Maintenance:
    """What an engine's last upkeep did, for ``health()``."""

    runs: int = 0
    seconds: float = 0.0
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class VectorIndex(Protocol):
    """Keeps the rows and searches them by vector. Calls that write come one at a time."""

    @property
    def name(self) -> str:
        """The engine's name, as errors and ``health()`` give it."""
        ...

    async def append(self, rows: pa.Table) -> None:
        """Add rows whose keys are new, as one commit. The schema is ``row_schema(d)``."""
        ...

    async def replace(self, rows: pa.Table) -> None:
        """Add rows, or put them in the place of those with the same key (``schema.KEYS``).

        Rows of one kind are one commit.
        """
        ...

    async def delete(self, scope: Scope, where: RowFilter) -> NDArray[np.int64]:
        """Delete what matches and return the ``seq`` of each deleted row, int64 (n,)."""
        ...

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The ``limit`` rows nearest to ``vector`` (float32 (d,)), by cosine similarity."""
        ...

    async def around(
        self,
        scope: Scope,
        where: RowFilter,
        seqs: Sequence[int],
        places: Mapping[str, Sequence[int]],
        columns: Sequence[str],
    ) -> pa.Table:
        """Rows named by ``seqs``, and rows at ``places`` (conversation id to turns).

        Neighbours come from the engine, so that a filter holds for them too.
        """
        ...

    async def fetch(self, scope: Scope, seqs: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The named rows that still exist, in any order."""
        ...

    async def scan(
        self,
        scope: Scope,
        where: RowFilter,
        columns: Sequence[str],
        *,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """What matches; with ``order_by``, the largest first, of equals the newest."""
        ...

    async def count(self, scope: Scope, where: RowFilter) -> int:
        """How many rows match."""
        ...

    def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        """Every row of the scope written after ``seq``, in batches, in no particular order."""
        ...

    def in_memory(self, scope: Scope) -> bool:
        """Whether :meth:`held` has a scope's rows at hand."""
        ...

    async def held(self, scope: Scope) -> UserRows | None:
        """Every row of the scope's user, in memory; None where only a search is to answer.

        They may be read for this. What they show is as new as a search would be.
        """
        ...

    async def last_seq(self) -> int:
        """The largest ``seq`` in the rows, -1 where there are none."""
        ...

    async def version(self) -> int:
        """A number that every change of the rows changes, whoever makes it."""
        ...

    async def fill(self, rows: pa.Table) -> None:
        """Set columns of rows that exist, as one commit: ``seq`` and the columns to set."""
        ...

    async def touch(self, uses: Mapping[int, int], at: datetime) -> None:
        """Add to the access counts of rows (``seq`` to how many), last accessed ``at``."""
        ...

    async def flush(self) -> None:
        """Bring rows that were stored, and only logged so far, to where they stay."""
        ...

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        """Compact, refresh the indexes and drop old versions.

        Args:
            keep_none: drop all of them, as nobody may be reading one any more.
        """
        ...

    def due(self) -> bool:
        """Whether enough has been written for :meth:`maintain` to pay."""
        ...

    def untidy(self) -> bool:
        """Whether :meth:`maintain` would pay now that nothing is written."""
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about the engine; raises an :class:`EngineError` where it does not work."""
        ...

    async def close(self) -> None:
        """Let go of the engine. Closing twice does nothing."""
        ...


class LexicalIndex(Protocol):
    """Finds rows by words (BM25). Derived from the rows."""

    @property
    def name(self) -> str:
        """The engine's name, as errors and ``health()`` give it."""
        ...

    def add(self, rows: pa.Table) -> None:
        """Take rows (``LEXICAL_COLUMNS``) to be indexed at the next :meth:`commit`."""
        ...

    def remove(self, seqs: Sequence[int]) -> None:
        """Take rows out at the next :meth:`commit`."""
        ...

    @property
    def own(self) -> bool:
        """Whether it lives in this object alone, so that nobody else brings it new rows."""
        ...

    @property
    def pending(self) -> int:
        """How many changes wait for :meth:`commit`."""
        ...

    async def commit(self) -> None:
        """Make every change so far searchable and durable."""
        ...

    async def refresh(self) -> None:
        """See what another process has committed (readers)."""
        ...

    async def search(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The ``limit`` best rows by BM25, its terms weighed by the rows of the scope's user.

        A text without a word finds nothing.
        """
        ...

    def find(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        limit: int,
        *,
        places: bool = True,
    ) -> Candidates:
        """The same as :meth:`search`, blocking; may be called in any thread.

        Without ``places`` the conversations and turns are not looked up: None and -1.
        """
        ...

    async def last_seq(self) -> int:
        """The largest committed ``seq``, -1 for an empty index."""
        ...

    async def seqs(self) -> NDArray[np.int64]:
        """The ``seq`` of every committed row, int64 (n,), in no particular order."""
        ...

    async def count(self) -> int:
        """How many rows are committed."""
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about the engine; raises an :class:`EngineError` where it does not work."""
        ...

    async def close(self) -> None:
        """Commit what waits and let go. Closing twice does nothing."""
        ...
