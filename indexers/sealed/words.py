"""The words of all rows, in memory, made at the first question that needs them.

Of a user whose rows are held in memory the words are held, too, and this is not asked. It answers
for users of very many rows, for archived ones, and for searches over all users.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..aio import LoopLock
from ..query import Candidates, LexicalQuery, RowFilter, Scope
from ..schema import LEXICAL_COLUMNS
from ..tantivy.index import TantivyIndex
from ..text.analysis import Analyser


class WordsOfAll:
    """A lexical index of all rows that is on no disk.

    Args:
        analyser: makes the terms of rows and of questions.
        rows: reads all rows, ``LEXICAL_COLUMNS``, newer than a ``seq``.
    """

    def __init__(
        self, analyser: Analyser, rows: Callable[[int], AsyncIterator[pa.RecordBatch]]
    ) -> None:
        self.analyser = analyser
        self._rows = rows
        self._index: TantivyIndex | None = None
        self._making = LoopLock()
        # The ``seq`` of rows that went while the index was being made.
        self._gone: list[NDArray[np.int64]] = []
        self._drops = 0

    @property
    def made(self) -> bool:
        """Whether there is an index."""
        return self._index is not None

    def removed(self, seqs: Sequence[int] | NDArray[np.int64]) -> None:
        """Rows were deleted or replaced."""
        if not len(seqs):
            return
        if self._making.locked():
            self._gone.append(np.asarray(seqs, np.int64))
        elif self._index is not None:
            self._index.remove([int(one) for one in seqs])

    def drop(self) -> None:
        """Forget everything: rows have changed in a way that is not known."""
        self._index = None
        self._drops += 1

    async def search(
        self, query: LexicalQuery, scope: Scope, where: RowFilter, limit: int
    ) -> Candidates:
        """The best rows by BM25, as of :class:`~..protocols.SearchesText`."""
        index = await self._current()
        return await asyncio.to_thread(index.search, query, scope, where, limit)

    async def _current(self) -> TantivyIndex:
        async with self._making:
            index = self._index
            while True:
                if index is None:
                    index = await asyncio.to_thread(TantivyIndex, None, self.analyser)
                self._gone, began = [], self._drops
                async for batch in self._rows(await index.last_seq()):
                    table = pa.Table.from_batches([batch]).select(LEXICAL_COLUMNS)
                    await asyncio.to_thread(index.add, table)
                gone, self._gone = self._gone, []
                if began != self._drops:
                    index = None  # rows have changed meanwhile
                    continue
                for seqs in gone:
                    index.remove(seqs.tolist())
                if index.pending:
                    await index.commit()
                self._index = index
                return index

    async def close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            await index.close()
