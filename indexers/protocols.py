"""What the memory asks of an engine.

``RowIndex`` keeps the rows and finds them by vector. ``LexicalIndex`` finds them by
words and can be rebuilt from the rows. Both name a row by its ``seq`` and never answer
without a ``Scope``. Every engine has all of their members.

What only some engines can do is a capability, a Protocol of its own: :class:`Versioned`,
:class:`Flushes`, :class:`Compacts`, :class:`HoldsRows`, :class:`Refreshes`. An engine has
it by having its methods. Ask for one with :func:`~.forwarding.capability`, which looks
through wrappers, and never for an engine by its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .query import EVERYONE, Candidates, LexicalQuery, RowFilter, Scope

if TYPE_CHECKING:
    from .snapshot import Snapshot


@dataclass(slots=True)
class Maintenance:
    """What an engine's last upkeep did, for ``health()``."""

    runs: int = 0
    seconds: float = 0.0
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class RowIndex(Protocol):
    """Keeps the rows and searches them by vector. Calls that write come one at a time."""

    @property
    def name(self) -> str:
        """The engine's name, as errors and ``health()`` give it."""
        ...

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        """Add rows, or put them in the place of those with the same key (``schema.KEYS``).

        Rows of one kind are one commit.

        Args:
            rows: their schema is ``row_schema(d)``.
            all_new: no row has the key of a stored one, so that none has to be looked for, and
                all are one commit.
        """
        ...

    async def update(self, rows: pa.Table) -> None:
        """Set columns of rows that exist, as one commit: ``seq`` and the columns to set."""
        ...

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Delete what matches and return the ``seq`` of each deleted row, int64 (n,).

        Args:
            scope: whose rows.
            where: which of them.
            seqs: of these only those with one of these ``seq``; None for no such condition.
        """
        ...

    async def search(
        self, vector: NDArray[np.float32], scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The ``limit`` rows nearest to ``vector`` (float32 (d,)), by cosine similarity."""
        ...

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
        """Columns of the rows that match.

        With ``seqs`` or ``turns``, even empty ones, only of the rows that these name. A scope
        and a filter hold for them too, so neighbours of a hit are asked for here.

        Args:
            scope: whose rows.
            where: which of them.
            columns: in this order.
            seqs: rows by their ``seq``.
            turns: rows by their turn, of each conversation id.
            order_by: the largest of this column first, of equals the newest; rows without a value
                last. None: in any order.
            limit: at most so many.
        """
        ...

    async def count(self, scope: Scope, where: RowFilter) -> int:
        """How many rows match."""
        ...

    def after(
        self, seq: int, columns: Sequence[str], scope: Scope = EVERYONE
    ) -> AsyncIterator[pa.RecordBatch]:
        """Every row of the scope written after ``seq``, in batches, in no particular order."""
        ...

    async def last_seq(self) -> int:
        """The largest ``seq`` in the rows, -1 where there are none."""
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about the engine; raises an :class:`EngineError` where it does not work."""
        ...

    async def close(self) -> None:
        """Let go of the engine. Closing twice does nothing."""
        ...


# What some engines can do


@runtime_checkable
class Versioned(Protocol):
    """Says whether the rows have changed, whoever changes them."""

    async def version(self) -> int:
        """A number that every change of the rows changes."""
        ...


class VersionedRowIndex(RowIndex, Versioned, Protocol):
    """A ``RowIndex`` that is ``Versioned``."""


@runtime_checkable
class Flushes(Protocol):
    """Stores rows in a log first, and later where they stay."""

    async def flush(self) -> None:
        """Bring what is only logged to where it stays."""
        ...


@runtime_checkable
class Compacts(Protocol):
    """Needs upkeep now and then to stay small and quick."""

    def due(self, *, at_rest: bool = False) -> bool:
        """Whether enough has been written for :meth:`maintain` to pay.

        Args:
            at_rest: nothing is being written just now, so that less is enough.
        """
        ...

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        """Compact, refresh the indexes and drop old versions.

        Args:
            keep_none: drop all of them, as nobody may be reading one any more.
        """
        ...


@runtime_checkable
class HoldsRows(Protocol):
    """Keeps rows of some users in memory, as arrays."""

    def holds(self, scope: Scope) -> bool:
        """Whether the rows of the scope's user are in memory already."""
        ...

    async def snapshot(self, scope: Scope) -> Snapshot | None:
        """Every row of the scope's user, as new as a search would be. They may be read for this.

        None where they are too many, or the scope is of all users: search instead.
        """
        ...


@runtime_checkable
class Refreshes(Protocol):
    """A ``LexicalIndex`` that another process writes."""

    async def refresh(self) -> None:
        """See what the other process has committed."""
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
    def pending(self) -> int:
        """How many changes wait for :meth:`commit`."""
        ...

    async def commit(self) -> None:
        """Make every change so far searchable and durable."""
        ...

    def search(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        limit: int,
        *,
        turns: bool = True,
    ) -> Candidates:
        """The ``limit`` best rows by BM25, its terms weighed by the rows of the scope's user.

        A text without a word finds nothing. It blocks, and may be called in any thread.

        Args:
            query: the words.
            scope: whose rows.
            where: which of them.
            limit: at most so many.
            turns: whether the conversations and turns are asked for; without, they may be None
                and -1.
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
