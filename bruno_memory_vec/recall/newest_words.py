"""The words of a user's newest rows, while the lexical index takes in many rows of others.

The index takes rows in by their order, twenty thousand or more in half a second. Who recalls
meanwhile does not wait for all that others have stored: the user's own new rows are indexed in
memory, and searched beside what the index has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import (
    CountsWords,
    LexicalIndex,
    SplitsPending,
    TellsTerms,
)
from bruno_memory_vec.indexers.query import AskedTerms, Candidates, LexicalQuery, RowFilter, Scope

# Of more waiting rows than this, others' are not waited for; this many take a tenth of a second.
_MANY = 5_000
# Of more own rows than this, all are waited for: they would take as long here.
_MOST_OWN = 1_000
# Seconds that a recall waits all the same.
_WAITS = 0.1


class NewestWords:
    """Commits a lexical index for recalls.

    Args:
        index: the index.
    """

    def __init__(self, index: LexicalIndex) -> None:
        self._index = index
        self._commit: asyncio.Future[None] | None = None

    async def committed(self, scope: Scope) -> LexicalIndex | None:
        """Commit the index, as far as a recall in ``scope`` needs it.

        Returns:
            An index of the user's newest rows, to be searched too and closed; None if the index
            itself has them all.

        Raises:
            EngineError: it cannot be committed.
        """
        index, user = self._index, scope.user_id
        if index.pending <= _MANY or user is None or not isinstance(index, SplitsPending):
            await index.commit()
            return None
        commit = self._commit
        # One that an ended event loop has left halfway comes to no end.
        if commit is None or commit.done() or commit.get_loop() is not asyncio.get_running_loop():
            commit = self._commit = asyncio.ensure_future(index.commit())
            # Whoever waits for it is told of a failure; the next one tries again.
            commit.add_done_callback(lambda done: done.cancelled() or done.exception())
        own = await asyncio.to_thread(_own, index.pending_rows(), user)
        count = sum(table.num_rows for table in own)
        waits = _WAITS if count <= _MOST_OWN else None
        done, _ = await asyncio.wait([commit], timeout=waits)
        if done:
            commit.result()
            if index.pending <= _MANY:
                await index.commit()  # what has come meanwhile
                return None
        if not count:
            return None
        newest = await asyncio.to_thread(index.beside)
        for table in own:
            newest.add(table)
        await newest.commit()
        return newest


class Both:
    """Two lexical indexes, searched as one.

    Args:
        index: the index.
        newest: the rows that it does not have yet.
    """

    def __init__(self, index: LexicalIndex, newest: LexicalIndex) -> None:
        self._index = index
        self._newest = newest

    def search(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int, **how: Any
    ) -> Candidates:
        """As of :class:`~bruno_memory_vec.indexers.protocols.LexicalIndex`."""
        old = self._index.search(query, scope, where, limit, **how)
        new = self._newest.search(query, scope, where, limit, **how)
        # They may have come into the index by now.
        new = new.without(old.seq, limit)
        seq, score = np.concatenate([old.seq, new.seq]), np.concatenate([old.score, new.score])
        order = np.lexsort((-seq, -score))[:limit]
        conversations = (*old.conversation_id, *new.conversation_id)
        return Candidates(
            seq[order],
            score[order],
            tuple(conversations[i] for i in order.tolist()),
            np.concatenate([old.turn, new.turn])[order],
        )

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`, where both do."""
        old, new = self._index, self._newest
        if not isinstance(old, CountsWords) or not isinstance(new, CountsWords):
            return 0, np.zeros(len(words), np.int64)
        rows, having = old.document_frequencies(words, scope)
        more, besides = new.document_frequencies(words, scope)
        return rows + more, np.where(having < 0, having, having + besides)

    def asked_terms(self, query: LexicalQuery, scope: Scope) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`, where both do."""
        old, new = self._index, self._newest
        if not isinstance(old, TellsTerms) or not isinstance(new, TellsTerms):
            return AskedTerms(0, {}, {})
        return old.asked_terms(query, scope).joined(new.asked_terms(query, scope))


def _own(tables: list[pa.Table], user: str) -> list[pa.Table]:
    found = (table.filter(pc.equal(table.column("user_id"), user)) for table in tables)
    return [table for table in found if table.num_rows]
