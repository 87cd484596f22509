"""The words of users whose rows are held in memory: a recall of these asks no lexical index.

They are made of the rows, kept beside them and follow them, so a row is found by its words as soon
as it is in memory. Few are made when they are asked for; many in the background, while the lexical
index answers. Scores are those of the lexical index: everyone's average length is asked of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import SearchesPending
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.indexers.text.analysis import Analyser
from bruno_memory_vec.indexers.words.index import WordIndex
from bruno_memory_vec.indexers.words.question import QuestionTerms
from bruno_memory_vec.indexers.words.row_words import RowWords
from bruno_memory_vec.indexers.words.snapshot_words import SnapshotWords
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)

# Of so many rows the words are made for the recall that asks for them: some 5 milliseconds.
_FEW = 200
# Of so many users the lengths are kept, where no lexical index tells everyone's.
_MOST_USERS = 10_000


class HeldWords:
    """Makes the words of rows in memory.

    Args:
        analyser: makes the terms of rows and of questions.
        lexical: the lexical index of the same rows; None where the engine searches text itself.
            Then the average length is that of the users who asked.
        failed: told where the lexical index fails.
    """

    def __init__(
        self,
        analyser: Analyser,
        lexical: SearchesPending | None,
        failed: Callable[[EngineError], None],
    ) -> None:
        self._terms = QuestionTerms(analyser)
        self._lexical = lexical
        self._failed = failed
        self._making: set[RowWords] = set()
        # How many rows and terms the words of each user have, and of all of them.
        self._lengths: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._rows = self._tokens = 0
        # Each recall counts in its own thread.
        self._counting = Lock()

    def ready(self, snapshot: Snapshot) -> bool:
        """Whether the words of a snapshot are made, but for a few.

        If not, they are made in the background from now on. Where the user has archived rows, too,
        the lexical index answers, which counts these.
        """
        if snapshot.mixed or not snapshot.whole:
            return False
        if snapshot.words.missing(len(snapshot)) <= _FEW:
            return True
        self._make(snapshot)
        return False

    def _make(self, snapshot: Snapshot) -> None:
        words = snapshot.words
        if words in self._making:
            return
        self._making.add(words)
        loop = asyncio.get_running_loop()
        making = loop.run_in_executor(
            None, words.of, len(snapshot), snapshot.contents, self._terms.analyser
        )

        def made(done: asyncio.Future[WordIndex]) -> None:
            self._making.discard(words)
            error = None if done.cancelled() else done.exception()
            if error is not None:
                _log.error("words_not_made", error=str(error))

        making.add_done_callback(made)

    def of(self, snapshot: Snapshot, user_id: str) -> SnapshotWords:
        """The words of a snapshot, for one recall. What is missing is made when they are used.

        Args:
            snapshot: all rows of the user that are not archived.
            user_id: the user.
        """
        return SnapshotWords(
            snapshot, self._terms, lambda terms: self._average(snapshot, user_id, terms)
        )

    def _average(self, snapshot: Snapshot, user_id: str, terms: Sequence[str]) -> float | None:
        """Everyone's average length; None where it is not known."""
        if self._lexical is None:
            index = snapshot.words.index
            with self._counting:
                if index is not None:
                    self._note(user_id, len(index), index.tokens)
                return self._tokens / max(self._rows, 1)
        try:
            return self._lexical.average_length(terms)
        except EngineError as error:
            self._failed(error)
            return None

    def _note(self, user_id: str, rows: int, tokens: int) -> None:
        before = self._lengths.pop(user_id, (0, 0))
        self._lengths[user_id] = rows, tokens
        self._rows, self._tokens = self._rows + rows - before[0], self._tokens + tokens - before[1]
        while len(self._lengths) > _MOST_USERS:
            _, gone = self._lengths.popitem(last=False)
            self._rows, self._tokens = self._rows - gone[0], self._tokens - gone[1]

    def health(self) -> dict[str, int]:
        """Of how many users words were made, and of how many rows."""
        return {"users": len(self._lengths), "rows": self._rows}
