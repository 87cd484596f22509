"""Whether the first hits hold an answer, by the words of the question and of the hits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import AskedTerms
from bruno_memory_vec.indexers.text.analysis import (
    gram_weight,
    inverse_document_frequency,
    is_unspaced,
)
from bruno_memory_vec.rankers import Evidence, Pool, Question, Ranking, read_evidence
from bruno_memory_vec.rankers.confidence import FIRST
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.rows.models import Row


def evidence_of(
    pool: Pool,
    ranking: Ranking,
    shown: Sequence[Row],
    request: RecallRequest,
    question: Question,
    terms: AskedTerms | None,
) -> Evidence:
    """What says whether the first hits hold an answer.

    A row that the request names as seen is none.

    Args:
        pool: the candidates.
        ranking: their ranking.
        shown: the rows of the ranking's order, with their ``id``.
        request: the request.
        question: its cues.
        terms: the question's terms, counted; None where words were not asked for.
    """
    counts = [row["id"] not in request.seen for row in shown[:FIRST]]
    weight, known = _weighed(request.query, terms)
    return read_evidence(
        pool, ranking, question, weight=weight, known=known, counts=np.array(counts, bool)
    )


def _weighed(text: str, terms: AskedTerms | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The weight of each term, and whether any row has it; nothing where there are none."""
    if terms is None:
        return np.empty(0, np.float64), np.empty(0, bool)
    weigh = gram_weight if is_unspaced(text) else inverse_document_frequency
    # As in word_rarity: a word that no row has weighs no more than one that a single row has. In a
    # store of a few rows it would outweigh all others.
    least = min(terms.total, 1)
    having = [terms.having[term] for term in terms.times]
    weight = [
        times * weigh(terms.total, max(rows, least))
        for times, rows in zip(terms.times.values(), having, strict=True)
    ]
    known = [rows > 0 for rows in having]
    return np.array(weight, np.float64), np.array(known, bool)
