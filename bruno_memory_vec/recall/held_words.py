"""The words of users whose rows are held in memory, for engines that search text themselves.

Such an engine has no lexical index beside it. Where all rows of a user are in memory for the vector
side, their words are indexed in memory, too: so a recall asks no server, and finds and weighs words
as a store in a folder does.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.protocols import LexicalIndex
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.snapshot import Snapshot

# Of more rows, the words of those who asked longest ago are dropped. A row takes some 300 bytes.
_MOST_ROWS = 300_000
_NONE = np.empty(0, np.int64)


class HeldWords:
    """A lexical index in memory that follows the snapshots of the users who asked last.

    Args:
        index: an empty index in memory.
    """

    def __init__(self, index: LexicalIndex) -> None:
        self.index = index
        # The `seq` of each user's rows that are in the index, ascending.
        self._users: OrderedDict[str, NDArray[np.int64]] = OrderedDict()
        self._rows = 0
        self._changing = LoopLock()

    async def of(self, user_id: str, snapshot: Snapshot) -> LexicalIndex:
        """The index, with the words of all rows of a user's snapshot.

        A row that is replaced has another ``seq``, so comparing these finds every change.

        Raises:
            EngineError: it cannot be committed.
        """
        async with self._changing:
            seqs = snapshot.columns["seq"]
            have = self._users.get(user_id, _NONE)
            if not np.array_equal(have, seqs):
                gone = np.setdiff1d(have, seqs, assume_unique=True)
                if len(gone):
                    self.index.remove(gone.tolist())
                added, _ = snapshot.find(np.setdiff1d(seqs, have, assume_unique=True))
                if len(added):
                    self.index.add(snapshot.taken(added, LEXICAL_COLUMNS))
                self._rows += len(seqs) - len(have)
                have = seqs.copy()
            self._users[user_id] = have
            self._users.move_to_end(user_id)
            self._make_room()
            if self.index.pending:
                await self.index.commit()
        return self.index

    def health(self) -> dict[str, int]:
        """How many users' words are held, and of how many rows."""
        return {"users": len(self._users), "rows": self._rows}

    def _make_room(self) -> None:
        while self._rows > _MOST_ROWS and len(self._users) > 1:
            _, gone = self._users.popitem(last=False)
            self.index.remove(gone.tolist())
            self._rows -= len(gone)

    async def close(self) -> None:
        """Drop all of it."""
        self._users.clear()
        self._rows = 0
        await self.index.close()
