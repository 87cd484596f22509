"""The words of rows that grow: made when they are first asked for, and then kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

from ..text.analysis import Analyser
from .index import WordIndex

#: The contents of the rows from one on, up to another one.
Texts = Callable[[int, int], Sequence[str]]


class RowWords:
    """The words of rows in memory. All snapshots of these rows share it.

    Rows are only added behind the others, so an index of more rows serves an older snapshot, too.

    Args:
        index: the words of the first rows; None where none are made yet.
    """

    def __init__(self, index: WordIndex | None = None) -> None:
        self._index = index
        self._making = Lock()

    @property
    def index(self) -> WordIndex | None:
        """What there is, of the first rows or of all; None for nothing."""
        return self._index

    def missing(self, rows: int) -> int:
        """How many of the first ``rows`` rows have no words here."""
        return max(rows - (0 if self._index is None else len(self._index)), 0)

    def of(self, rows: int, texts: Texts, analyser: Analyser) -> WordIndex:
        """The words of the first ``rows`` rows, and perhaps of more.

        What is missing is made now, which blocks for some 25 microseconds a row. Any thread may
        call it.

        Args:
            rows: how many.
            texts: gives their contents.
            analyser: makes their terms, the same at each call.
        """
        index = self._index
        if index is not None and len(index) >= rows:
            return index
        with self._making:
            index = self._index
            if index is None:
                index = WordIndex.of(texts(0, rows), analyser)
            elif len(index) < rows:
                index = index.extended(texts(len(index), rows), analyser)
            self._index = index
        return index
