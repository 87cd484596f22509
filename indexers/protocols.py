"""What the memory asks of an engine.

``VectorIndex`` keeps the rows and finds them by vector. ``LexicalIndex`` finds
them by words and can be rebuilt from the rows. Both name a row by its ``seq``
and never answer without a ``Scope``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .user_rows import UserRows


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a call may see. Make one with :meth:`user` or :meth:`all_users`.

    Engines apply it before ranking, so a row outside it never takes a place.
    """

    user_id: str | None
    conversation_id: str | None = None

    @classmethod
    def user(cls, user_id: str) -> Scope:
        """The rows of one user."""
        return cls(user_id)

    @classmethod
    def all_users(cls) -> Scope:
        """Every row of the store. Spelled out, so that it is never an oversight."""
        return cls(None)

    def within(self, conversation_id: str | None) -> Scope:
        """The same scope, narrowed to one conversation (None leaves it as it is)."""
        if conversation_id is None:
            return self
        return replace(self, conversation_id=conversation_id)


#: The scope of who works on all rows.
EVERYONE = Scope.all_users()


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows of a scope. An empty tuple or None means no condition.

    A condition on a column that a row does not have (a role, for a memory)
    leaves the row out.

    Attributes:
        kinds: "message", "memory".
        roles: values of ``MessageRole``.
        memory_types: values of ``MemoryType``.
        tags: rows that have any of these.
        categories: rows whose category is one of these.
        since: created at this time or later (timezone-aware).
        until: created before this time (timezone-aware).
        min_importance: 0..1, inclusive.
        min_confidence: 0..1, inclusive.
        alive_at: leave out rows that have expired at this time (timezone-aware).
        ids: only these ids.
    """

    kinds: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    memory_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_importance: float = 0.0
    min_confidence: float = 0.0
    alive_at: datetime | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A question for a lexical index. ``text`` is analysed, never parsed.

    Attributes:
        text: the user's words, in any form.
        drop_stopwords: leave out question words ("what", "did"), unless nothing else is left.
        phrase_weight: extra weight of adjacent question words that are adjacent in a row too.
    """

    text: str
    drop_stopwords: bool = True
    phrase_weight: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What one engine proposes, best first.

    Attributes:
        seq: int64 (n,), names the rows.
        score: float32 (n,), BM25 or cosine similarity.
        conversation_id: n conversation ids, None for a row without one.
        turn: int64 (n,), -1 for a row without one.
    """

    seq: NDArray[np.int64]
    score: NDArray[np.float32]
    conversation_id: tuple[str | None, ...]
    turn: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Candidates:
        """No candidate."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), (), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.seq)


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
