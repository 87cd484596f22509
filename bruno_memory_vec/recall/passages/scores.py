"""Which long rows' passages are compared with a question, and how well they answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.snapshot import CONTENT_BYTES, Snapshot
from bruno_memory_vec.recall.passages.reading import RowPassages
from bruno_memory_vec.recall.passages.windows import LEAST_BYTES, Passage

#: How many long rows are looked into, those of the best words and those of the best similarity. It
#: bounds the time of a recall: a row that was not looked into before takes half a millisecond.
BY_WORDS, BY_MEANING = 20, 10
# BM25 as Tantivy has it.
_K1, _B = 1.2, 0.75
_LOW_BITS = 0xFFFF


#: Gives the best passages of some rows (int64 (n,), ascending) of a snapshot; None of short ones.
Look = Callable[[Snapshot, NDArray[np.int64]], "BestPassages | None"]


@dataclass(frozen=True, slots=True, eq=False)
class BestPassages:
    """The best passage of each of some rows.

    Attributes:
        rows: int64 (r,), the rows, ascending.
        lexical: float32 (r,), the largest BM25 of a passage, as if it were a row of its own, of
            the rows' average length at most.
        semantic: float32 (r,), the largest cosine of a passage; NaN without vectors.
        places: int32 (r, 2), where the passage that is best by both stands in the row's text.
    """

    rows: NDArray[np.int64]
    lexical: NDArray[np.float32]
    semantic: NDArray[np.float32]
    places: NDArray[np.int32]

    def aligned(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``lexical`` and ``semantic`` of other rows, float32 (n, 2); NaN for those not here.

        Args:
            rows: int64 (n,), ascending.
        """
        both = np.full((len(rows), 2), np.nan, np.float32)
        at = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
        here = self.rows[at] == rows
        both[here, 0], both[here, 1] = self.lexical[at[here]], self.semantic[at[here]]
        return both

    def passages(self) -> dict[int, Passage]:
        """The best passage by row."""
        return dict(zip(self.rows.tolist(), map(Passage._make, self.places.tolist()), strict=True))


def long_rows(
    snapshot: Snapshot,
    lexical: tuple[NDArray[np.int64], NDArray[np.float32]],
    semantic: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> NDArray[np.int64]:
    """The long rows in which a passage may answer the question, int64 (r,), ascending.

    By words: those of the best BM25 without its division by length, as a passage would have it
    that has every word of the row once.

    Args:
        snapshot: rows in memory.
        lexical: int64 (m,) and float32 (m,), rows and their BM25.
        semantic: int64 (m,) and float32 (m,), rows and their cosines.
    """
    nbytes = snapshot.columns[CONTENT_BYTES]
    found = [np.empty(0, np.int64)]
    for (rows, score), most in ((lexical, BY_WORDS), (semantic, BY_MEANING)):
        long = nbytes[rows] >= LEAST_BYTES
        if not long.any():
            continue
        rows, score = rows[long], score[long]
        if most == BY_WORDS:
            words, average = snapshot.columns["words"], _average(snapshot)
            score = score * (1 + _norm(words[rows], average))
        found.append(rows[np.lexsort((-rows, -score))[:most]])
    return np.unique(np.concatenate(found))


def best_passages(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    read: Sequence[RowPassages],
    weights: Mapping[str, float],
    vector: NDArray[np.float32],
) -> BestPassages | None:
    """The best passages of those rows that have some; None where none has.

    Args:
        snapshot: rows in memory, whose average length is that of BM25.
        rows: int64 (r,), which of them, ascending.
        read: the passages of each.
        weights: the weight of each term of the question.
        vector: float32 (d,), the question's vector; of no values where it has none.
    """
    counts = np.array([len(one.places) for one in read], np.int64)
    having = [one for one in read if len(one.places)]
    if not having:
        return None
    first = np.cumsum(counts[counts > 0]) - counts[counts > 0]
    lexical = _bm25(having, weights, _average(snapshot))
    semantic = np.full(len(lexical), np.nan, np.float32)
    both = lexical / max(float(lexical.max()), 1e-9)
    vectors = np.concatenate([one.vectors for one in having])
    if vectors.shape[1] and len(vector):
        # As in Snapshot.nearest: one thread.
        semantic = np.einsum("ij,j->i", vectors, vector)
        both = both + semantic
    # The first of equally good ones: sorted by row, then by score.
    of = np.repeat(np.arange(len(first)), counts[counts > 0])
    best = np.lexsort((-both, of))[first]
    places = np.concatenate([one.places for one in having])
    return BestPassages(
        rows[counts > 0],
        np.maximum.reduceat(lexical, first),
        np.maximum.reduceat(semantic, first),
        places[best],
    )


def _bm25(
    read: Sequence[RowPassages], weights: Mapping[str, float], average: float
) -> NDArray[np.float32]:
    """BM25 of each passage, float32 (p,), with the term weights and average length of the rows."""
    words = np.concatenate([one.words for one in read])
    terms = np.concatenate([one.terms for one in read])
    ends = np.cumsum(np.concatenate([one.lengths for one in read]))
    # Its length is not its writer's: that it is longer than most rows takes nothing from it.
    norm, score = _norm(np.minimum(words, average), average), np.zeros(len(words), np.float32)
    asked = np.array([hash(term) for term in weights], np.int64)
    # Most terms are none of the question's: one look-up tells that of nearly all of them.
    maybe = np.zeros(_LOW_BITS + 1, np.bool_)
    maybe[asked & _LOW_BITS] = True
    at = np.flatnonzero(maybe[terms & _LOW_BITS])
    terms, of = terms[at], np.searchsorted(ends, at, side="right")
    for term, weight in zip(asked, weights.values(), strict=True):
        held = of[terms == term]
        if len(held):
            times = np.bincount(held, minlength=len(words))
            score += weight * (_K1 + 1) * times / (times + norm)
    return score


def _norm(words: NDArray[Any], average: float) -> NDArray[np.float32]:
    norm: NDArray[np.float32] = (_K1 * (1 - _B + _B * words / average)).astype(np.float32)
    return norm


def _average(snapshot: Snapshot) -> float:
    return max(float(snapshot.columns["words"].mean()), 1.0)
