"""The protocols of the engines.

``RowIndex`` keeps the rows and finds them by vector. ``LexicalIndex`` finds them by
words and can be rebuilt from the rows. Both identify a row by its ``seq`` and need a ``Scope``
for every search. An engine implements all members of its protocol.

What only some engines can do is a capability, a Protocol of its own: :class:`Versioned`,
:class:`Flushes`, :class:`Compacts`, :class:`Erases`, :class:`ChecksIndexes`, :class:`HoldsRows`,
:class:`KeepsUserFiles`, :class:`KeepsTerms`, :class:`SearchesText`, :class:`Refreshes`,
:class:`DropsRemoved`, :class:`BeginsAnew`, :class:`TellsWhatStays`. An engine has a capability if
it has its methods. Look for one with :func:`~.forwarding.capability`, which looks through wrappers;
never compare an engine's name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .query import EVERYONE, AskedTerms, Candidates, LexicalQuery, RowFilter, Scope

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .text.analysis import Analyser


@dataclass(slots=True)
class Maintenance:
    """The result of an engine's last upkeep, for ``health()``."""

    runs: int = 0
    seconds: float = 0.0
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class RowIndex(Protocol):
    """Keeps the rows and searches them by vector. Callers make one writing call at a time."""

    @property
    def name(self) -> str:
        """The engine's name, as errors and ``health()`` give it."""
        ...

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        """Add rows, replacing those with the same key (``schema.KEYS``).

        Rows of one kind are one commit.

        Args:
            rows: their schema is ``row_schema(d)``.
            all_new: no stored row has the key of one of these. Then none is looked up, and all
                rows are one commit.
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
            seqs: only rows with one of these ``seq``; None for no such condition.
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

        With ``seqs`` or ``turns``, even empty ones, only of the rows that these name. The scope
        and the filter apply to them too.

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
        """Close the engine. Closing twice does nothing."""
        ...


# Capabilities of some engines


@runtime_checkable
class Versioned(Protocol):
    """Shows whether the rows have changed, by this or another process."""

    async def version(self) -> int:
        """A number that changes with every change of the rows."""
        ...


class VersionedRowIndex(RowIndex, Versioned, Protocol):
    """A ``RowIndex`` that is ``Versioned``."""


@runtime_checkable
class Flushes(Protocol):
    """Stores rows in a write-ahead log first, and flushes them later."""

    async def flush(self) -> None:
        """Flush the logged rows to the underlying index."""
        ...


@runtime_checkable
class FollowsLog(Protocol):
    """Sees the newest rows of another process in its write-ahead log."""

    async def newest_logged(self) -> int:
        """The largest ``seq`` in the log, -1 for none.

        What follows the rows may not have it yet.
        """
        ...


@runtime_checkable
class Compacts(Protocol):
    """Needs regular upkeep to stay small and fast."""

    def due(self, *, at_rest: bool = False) -> bool:
        """Whether enough has been written for :meth:`maintain` to pay.

        Args:
            at_rest: nothing is being written now, so fewer writes are enough.
        """
        ...

    async def maintain(self, *, keep_none: bool = False) -> Maintenance:
        """Compact, refresh the indexes and drop old versions.

        Args:
            keep_none: drop all old versions; there must be no reader.
        """
        ...


@runtime_checkable
class ChecksIndexes(Protocol):
    """Has indexes on disk, which are derived from the rows."""

    async def check_indexes(self) -> list[str]:
        """Read every file of the indexes, and make those anew that are damaged.

        Returns:
            What was wrong, by index.

        Raises:
            EngineError: a damaged one could not be made anew, for example by a reader. None is
                used then.
        """
        ...


@runtime_checkable
class Erases(Protocol):
    """Marks rows as deleted; what they held stays in its files until it is erased."""

    @property
    def erasable_since(self) -> float | None:
        """Since when rows that were deleted or replaced wait to be erased.

        In terms of ``time.monotonic()``, also where another process deleted them. None where none
        wait. A killed process does not change that.
        """
        ...

    async def mark_erasable(self) -> None:
        """Remember that something is to be erased, as after a deletion."""
        ...

    async def erase(self) -> Maintenance:
        """Rewrite what holds something of these rows, and remove all old versions.

        A call that is reading an old version goes on with the newest one.
        """
        ...


class Stays(NamedTuple):
    """Where something of a deleted row stays for a while, out of this process's reach.

    Attributes:
        what: where, such as "the segments of the Qdrant server".
        why: why it stays, and until when.
        fix: what to do so that it goes.
    """

    what: str
    why: str
    fix: str


@runtime_checkable
class TellsWhatStays(Protocol):
    """An engine that tells what of a deleted row stays where it cannot erase it.

    One that neither does nor :class:`Erases` promises nothing.
    """

    def what_stays(self) -> Sequence[Stays]:
        """Where something stays; empty where nothing does."""
        ...


@runtime_checkable
class CountsLookups(Protocol):
    """Counts how often what was asked for was in memory."""

    @property
    def lookups(self) -> tuple[int, int]:
        """How often it was there, and how often not; any thread may ask."""
        ...


@runtime_checkable
class HoldsRows(Protocol):
    """Keeps rows of some users in memory, as arrays."""

    def holds(self, scope: Scope) -> bool:
        """Whether the rows of the scope's user are in memory now."""
        ...

    async def snapshot(self, scope: Scope, where: RowFilter = ...) -> Snapshot | None:
        """The rows of the scope's user, as current as a search; read now if not in memory.

        None where they are too many, or not in memory yet, or where not all that a filter lets
        through are held: archived ones are not. Then use ``search``.
        """
        ...


@runtime_checkable
class KeepsUserFiles(Protocol):
    """Keeps a file for each user, derived from the rows, so that a first recall reads one file."""

    async def write_user_files(
        self, *, at_rest: bool = False, goes_on: Callable[[], bool] = ...
    ) -> int:
        """Write the file of each user who has none, or an outdated one.

        Args:
            at_rest: take a tenth of a thread's time, and leave files that lack little.
            goes_on: asked before each user; where it answers False, the rest is left.

        Returns:
            How many were written.
        """
        ...

    async def drop_user_files(self, *, for_good: bool = False) -> None:
        """Remove all files: the rows are others than they were made from.

        Args:
            for_good: write no more of them.
        """
        ...


@runtime_checkable
class KeepsTerms(Protocol):
    """Keeps the terms of rows beside their texts, so that reading whole rows gives their words.

    Its ``read`` gives the column :data:`.words.terms.TERMS`, too: lists of numbers, null where they
    are of another analysis.
    """

    @property
    def terms_analysis(self) -> str:
        """The name of the analyser that made them."""
        ...


@runtime_checkable
class HidesIds(Protocol):
    """Has keyed hashes in place of its rows' ids: whether an id is stored is known without a row
    being opened."""

    #: The length of each hash, in bytes; at most that of an id.
    hidden_width: int

    def hidden_ids(self, ids: Sequence[str]) -> list[str]:
        """The hashes of ids. Any thread may call it."""
        ...

    def stored_ids(self) -> AsyncIterator[pa.RecordBatch]:
        """The hashes of all rows' ids, as batches with the column ``id``."""
        ...


@runtime_checkable
class SearchesText(Protocol):
    """A ``RowIndex`` that finds rows by their words itself.

    So every process finds what any has written, and there is no lexical index beside it.
    """

    @property
    def analyser(self) -> Analyser:
        """How it makes the terms of rows and of questions."""
        ...

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The ``limit`` best rows by BM25, as of :meth:`LexicalIndex.search`."""
        ...

    async def search_both(
        self,
        vector: NDArray[np.float32],
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        *,
        nearest: int,
        text: int,
    ) -> tuple[Candidates, Candidates]:
        """The ``nearest`` rows by vector and the ``text`` best by words, in one round trip.

        Either may be 0, for none.
        """
        ...


#: How often a user's rows have changed, as the last number, behind what else tells versions apart.
#: Compared by equality only.
Version = tuple[int | str, ...]


class UserVersions(Protocol):
    """Tells the processes that share a store whose rows have changed."""

    async def current(self, user_id: str) -> Version | None:
        """The version of a user's rows; None where it is not known now, so none may be used.

        Raises:
            EngineError: it cannot be told, and the store is not to go on without.
        """
        ...

    async def changed(self, users: Collection[str] | None) -> Mapping[str, Version]:
        """Give users a new version, because their rows have changed just now.

        Args:
            users: which; None for all users.

        Returns:
            The new version of each of ``users``. Where nobody else has changed a user's rows, its
            last number is one more than before, and the others are the same.
        """
        ...


@runtime_checkable
class Refreshes(Protocol):
    """A ``LexicalIndex`` that another process writes."""

    async def refresh(self) -> None:
        """Make the other process's commits visible."""
        ...


@runtime_checkable
class SearchesPending(Protocol):
    """A ``LexicalIndex`` whose :meth:`~LexicalIndex.add` and :meth:`~LexicalIndex.remove` count at
    once: no recall waits for a commit.

    It tells what is needed to search rows in memory as it would search them, too.
    """

    @property
    def analyser(self) -> Analyser:
        """Makes the terms of rows and of questions."""
        ...

    def average_length(self, terms: Sequence[str]) -> float | None:
        """How many terms a row of all users has on average, as BM25 divides by it.

        This blocks, and any thread may call it; all but the first call after a change take no time.

        Args:
            terms: some terms that rows have.

        Returns:
            None where it cannot be told: no row has any of the terms.
        """
        ...


@runtime_checkable
class CountsWords(Protocol):
    """A ``LexicalIndex`` that tells in how many rows a word stands."""

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        """How many rows the scope's user has, and in how many of them each word stands.

        This blocks, and any thread may call it.

        Args:
            words: in any form. One that becomes several terms counts as its rarest term.
            scope: whose rows; only its user counts. Without one, all rows.

        Returns:
            The number of rows, and int64 (len(words),), -1 for what is no word (punctuation).
        """
        ...


@runtime_checkable
class WeighsTerms(Protocol):
    """A ``LexicalIndex`` that tells how it reads a text and weighs a question's terms.

    So what is no row of it, as a passage of one, can be scored like its rows.
    """

    def terms(self, text: str) -> list[str]:
        """The terms of a row's text, in order, repeats included. Any thread may call it."""
        ...

    def term_weights(self, query: LexicalQuery, scope: Scope) -> dict[str, float]:
        """The weight of each term of a question in a search of this scope, phrases aside.

        Terms that the scope's user does not have are left out. This blocks, and any thread may
        call it; right after a search with the same query it takes some microseconds.
        """
        ...


@runtime_checkable
class TellsTerms(Protocol):
    """A ``LexicalIndex`` that tells how rare a question's terms are, also those that no row has."""

    def asked_terms(self, query: LexicalQuery, scope: Scope) -> AskedTerms:
        """The terms that a question is searched by, and in how many rows each stands.

        This blocks, and any thread may call it; right after a search with the same query it takes
        some microseconds.

        Args:
            query: the question.
            scope: whose rows are counted; only its user counts. Without one, all rows.
        """
        ...


@runtime_checkable
class DropsRemoved(Protocol):
    """A ``LexicalIndex`` whose parts keep removed rows until every row of the part is removed."""

    async def beside_removed(self) -> NDArray[np.int64]:
        """The ``seq`` of committed rows in parts that hold removed rows, int64 (n,), ascending.

        Where each of these is removed and added again, the removed rows are gone.
        """
        ...

    async def settle_files(self) -> None:
        """Wait until the index has stopped rewriting its files, and delete those that it left."""
        ...


@runtime_checkable
class BeginsAnew(Protocol):
    """A ``LexicalIndex`` on disk that may be damaged, and can then be filled from the rows."""

    async def begin_anew(self, reason: str, *, in_memory: bool = False) -> None:
        """Drop everything, also what is pending; from now on it is an empty index.

        Args:
            reason: what was wrong, for ``health()``.
            in_memory: give its folder up, and keep it in this process's memory from now on.

        Raises:
            EngineError: its folder cannot be used.
        """
        ...

    @property
    def displaced(self) -> str | None:
        """Why it is in memory in place of its folder; None where it is not."""
        ...

    async def check(self) -> None:
        """Compare every file with its checksum.

        Raises:
            IndexDamaged: one differs.
        """
        ...

    @property
    def checked(self) -> bool:
        """Whether opening compared every file; if not, :meth:`check` still has to."""
        ...


class LexicalIndex(Protocol):
    """Finds rows by words (BM25). It is derived from the rows."""

    @property
    def name(self) -> str:
        """The engine's name, as errors and ``health()`` give it."""
        ...

    def add(self, rows: pa.Table) -> None:
        """Add rows (``LEXICAL_COLUMNS``) at the next :meth:`commit`."""
        ...

    def remove(self, seqs: Sequence[int]) -> None:
        """Remove rows at the next :meth:`commit`."""
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
        """The ``limit`` best rows by BM25, with the term weights of the rows of the scope's user.

        A query without a word finds nothing. This blocks, and any thread may call it.

        Args:
            query: the words.
            scope: whose rows.
            where: which of them.
            limit: at most so many.
            turns: whether conversations and turns are needed; if not, they may be None and -1.
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
        """Commit pending changes and close. Closing twice does nothing."""
        ...
