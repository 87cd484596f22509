"""The terms of a question, counted in the candidates, where no index can count a user's rows."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bruno_memory_vec.indexers.query import AskedTerms, LexicalQuery
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.indexers.text.analysis import (
    Analyser,
    gram_weight,
    inverse_document_frequency,
    is_unspaced,
)
from bruno_memory_vec.recall.sources import texts_of


def terms_in_pool(
    snapshot: Snapshot, query: LexicalQuery, analyser: Analyser, total: int
) -> AskedTerms:
    """The question's terms, and how many of the loaded rows have each.

    A rare term's rows are all among the candidates. A common one stands in more rows than were
    loaded, so it is taken to be rarer than it is.

    Args:
        snapshot: the candidates and the turns around them.
        query: the question.
        analyser: how the engine reads texts.
        total: how many rows the scope's user has.
    """
    times = Counter(analyser.question(query.text, drop_stopwords=query.drop_stopwords))
    having = dict.fromkeys(times, 0)
    for text in texts_of(snapshot, np.arange(len(snapshot))):
        for term in times.keys() & set(analyser.terms(text)):
            having[term] += 1
    return AskedTerms(max(total, len(snapshot)), dict(times), having)


def weights_of(asked: AskedTerms, query: LexicalQuery) -> dict[str, float]:
    """The weight of each term of a question that some row has, by the formulas of the indexes."""
    weigh = gram_weight if is_unspaced(query.text) else inverse_document_frequency
    return {
        term: times * weigh(asked.total, asked.having[term])
        for term, times in asked.times.items()
        if asked.having[term]
    }
