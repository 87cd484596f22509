"""The words of rows in memory, asked as a lexical index is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..query import AskedTerms, Candidates, LexicalQuery, RowFilter, Scope
from ..snapshot import Snapshot
from .index import Found, WordIndex
from .question import Asked, QuestionTerms, asked


class SnapshotWords:
    """Finds and weighs words in a snapshot of one user's rows, and asks no engine.

    The answers are those of the lexical index with the same rows. It is made for one recall, whose
    calls share what was found; it has no lock.

    Args:
        snapshot: the rows. Words of theirs that are missing are made at the first call.
        terms: makes the terms of questions.
        average: tells everyone's average length, in terms, given the terms of a question. By
            default, and where it gives None, it is that of these rows.
    """

    name = "words in memory"

    def __init__(
        self,
        snapshot: Snapshot,
        terms: QuestionTerms,
        average: Callable[[Sequence[str]], float | None] = lambda _: None,
    ) -> None:
        self._snapshot = snapshot
        self._terms = terms
        self._average = average
        self._made: WordIndex | None = None
        self._counts: dict[str, int] = {}
        self._asked: tuple[LexicalQuery, Asked] | None = None
        self._scored: tuple[LexicalQuery, NDArray[np.float64], NDArray[np.bool_]] | None = None

    @property
    def _index(self) -> WordIndex:
        if self._made is None:
            snapshot = self._snapshot
            self._made = snapshot.words.of(len(snapshot), snapshot.contents, self._terms.analyser)
        return self._made

    def search(
        self,
        query: LexicalQuery,
        scope: Scope,
        where: RowFilter,
        limit: int,
        *,
        turns: bool = True,
    ) -> Candidates:
        """As of :class:`~bruno_memory_vec.indexers.protocols.LexicalIndex`."""
        score, found = self._scores(query)
        matching = self._snapshot.matching(scope, where)
        rows = np.flatnonzero(found if matching is None else found & matching)
        return self._snapshot.candidates(*best(rows, score[rows], limit))

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.CountsWords`."""
        terms = list(map(self._terms.of_word, words))
        having = self._having(chain.from_iterable(terms)).__getitem__
        total = len(self._snapshot)
        least = [min(map(having, some), default=-1) for some in terms]
        return total, np.minimum(np.array(least, np.int64), total)

    def asked_terms(self, query: LexicalQuery, scope: Scope) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        return self._read(query).asked_terms()

    def terms(self, text: str) -> list[str]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        return self._terms.analyser.terms(text)

    def term_weights(self, query: LexicalQuery, scope: Scope) -> dict[str, float]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        return self._read(query).term_weights()

    def _read(self, query: LexicalQuery) -> Asked:
        if self._asked is None or self._asked[0] != query:
            terms = self._terms.of(query)
            self._asked = query, asked(query, terms, self._having(terms), len(self._snapshot))
        return self._asked[1]

    def _having(self, terms: Iterable[str]) -> dict[str, int]:
        """In how many rows terms stand, these and those that were asked for before.

        The words of a question are counted for its vector, and then again as what it asks for.
        """
        new = list(dict.fromkeys(terms).keys() - self._counts.keys())
        if new:
            self._counts.update(zip(new, self._index.having(new).tolist(), strict=True))
        return self._counts

    def _scores(self, query: LexicalQuery) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        if self._scored is None or self._scored[0] != query:
            what = self._read(query)
            found: Found = self._index.find(what.terms, what.pairs)
            average = self._average(what.terms) or self._index.average
            score, having = found.scores(what.weights, average, len(self._index))
            count = len(self._snapshot)
            self._scored = query, score[:count], having[:count]
        return self._scored[1:]


def best(
    rows: NDArray[np.int64], score: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``limit`` best rows and their scores, of equals the newest first.

    Of those that equal the last one the oldest are in, as in Tantivy. So it makes no difference
    which of the two finds them.

    Args:
        rows: int64 (m,), ascending.
        score: float64 (m,).
        limit: at most so many.
    """
    rounded = score.astype(np.float32)
    if limit < len(rows):
        least = np.partition(rounded, len(rounded) - limit)[len(rounded) - limit]
        kept = rounded > least
        kept[np.flatnonzero(rounded == least)[: limit - np.count_nonzero(kept)]] = True
        rows, rounded = rows[kept], rounded[kept]
    order = np.lexsort((-rows, -rounded))
    return rows[order], rounded[order]
