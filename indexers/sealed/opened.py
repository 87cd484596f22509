"""The rows of one user, or of all, opened for questions that the cache does not answer.

Of a user whose rows are held in memory this is not asked. It is for users of very many rows, for
archived ones, and for searches over all users. The rows that were asked for last are kept until
something changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pyarrow as pa

from ..query import Candidates, LexicalQuery, RowFilter, Scope
from ..snapshot import LOADED, HeldRows, Snapshot
from ..text.analysis import Analyser
from ..words.kept import without_terms
from ..words.question import QuestionTerms
from ..words.snapshot_words import SnapshotWords
from ..words.terms import TERMS

# More rows than this are not kept.
_MOST_ROWS = 150_000


class OpenedRows:
    """Rows as a snapshot, with their words.

    Args:
        analyser: makes the terms of rows and of questions.
        read: reads all rows of a scope: the columns that are asked for.
        average: how many terms a row of all users has; None where it is not known.
    """

    def __init__(
        self,
        analyser: Analyser,
        read: Callable[[Scope, tuple[str, ...]], Awaitable[pa.Table]],
        average: Callable[[], float | None],
    ) -> None:
        self.analyser = analyser
        self._read = read
        self._average = average
        self._terms = QuestionTerms(analyser)
        self._kept: tuple[Scope, Snapshot] | None = None
        self._changes = 0

    def drop(self) -> None:
        """Forget the rows: some have changed."""
        self._kept = None
        self._changes += 1

    async def of(self, scope: Scope) -> Snapshot | None:
        """All rows of the scope's users, archived ones too; None where there are none."""
        whole, before = scope.whole, self._changes
        if self._kept is not None and self._kept[0] == whole:
            return self._kept[1]
        table = await self._read(whole, (*LOADED, TERMS))
        if not table.num_rows:
            return None
        mixed = whole.users is None or len(whole.users) > 1
        snapshot = await asyncio.to_thread(_snapshot, table, mixed)
        if before == self._changes and len(snapshot) <= _MOST_ROWS:
            self._kept = whole, snapshot
        return snapshot

    async def search_text(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The best rows by BM25, as of :class:`~..protocols.SearchesText`."""
        snapshot = await self.of(scope)
        if snapshot is None:
            return Candidates.empty()
        words = SnapshotWords(snapshot, self._terms, lambda _: self._average())

        def search() -> Candidates:
            # Of equal rows the newest are to be in, and the words in memory keep the oldest.
            found = words.search(query, scope, where, len(snapshot))
            return _best(found, limit)

        return await asyncio.to_thread(search)


def _best(found: Candidates, limit: int) -> Candidates:
    order = np.lexsort((-found.seq, -found.score))[:limit]
    conversations = tuple(found.conversation_id[i] for i in order.tolist())
    return Candidates(found.seq[order], found.score[order], conversations, found.turn[order])


def _snapshot(table: pa.Table, mixed: bool) -> Snapshot:
    rows, words = without_terms(table)
    return HeldRows(rows, mixed=mixed, words=words).snapshot()
