"""The terms of a question, how much each weighs, and which pairs are asked as phrases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..query import AskedTerms, LexicalQuery
from ..text.analysis import Analyser, gram_weight, inverse_document_frequency, is_unspaced

#: Of a very long question, such as a pasted document, only the rarest words are used: a thousand
#: words cost more than they add.
MOST_TERMS = 64
#: No phrase is made of two words that are each in more than this share of all rows and in more than
#: this number of rows: it says little, and the positions in all those rows would have to be read.
COMMON, FEW = 0.02, 1_000
# Of how many words, and of how many questions, the terms are kept.
_KNOWN_WORDS, _KNOWN_QUESTIONS = 4_096, 64


class QuestionTerms:
    """Makes the terms of questions and of single words, and keeps those of the last.

    Args:
        analyser: makes them.
    """

    def __init__(self, analyser: Analyser) -> None:
        self.analyser = analyser
        #: The terms of a word, stop words included.
        self.of_word = lru_cache(_KNOWN_WORDS)(partial(_of_word, analyser))
        self._of_question = lru_cache(_KNOWN_QUESTIONS)(partial(_of_question, analyser))

    def of(self, query: LexicalQuery) -> tuple[str, ...]:
        """The terms of a question, in order, repeats included."""
        return self._of_question(query.text, query.drop_stopwords)


class Asked(NamedTuple):
    """What a question asks of some rows.

    Attributes:
        terms: each once; of a very long question the rarest.
        times: how often the question has each.
        having: int64 (t,), in how many rows each stands.
        total: how many rows there are.
        pairs: adjacent terms that are asked as phrases, by their indices.
        weights: float64 (t + p,), of each term, times as often as it is asked, and behind these of
            each pair; -1 of a term that no row has.
    """

    terms: tuple[str, ...]
    times: tuple[int, ...]
    having: NDArray[np.int64]
    total: int
    pairs: tuple[tuple[int, int], ...]
    weights: NDArray[np.float64]

    def asked_terms(self) -> AskedTerms:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsTerms`."""
        having = dict(zip(self.terms, self.having.tolist(), strict=True))
        return AskedTerms(self.total, dict(zip(self.terms, self.times, strict=True)), having)

    def term_weights(self) -> dict[str, float]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.WeighsTerms`."""
        weights = self.weights[: len(self.terms)].tolist()
        return {
            term: weight for term, weight in zip(self.terms, weights, strict=True) if weight >= 0
        }


def asked(query: LexicalQuery, terms: Sequence[str], count: Mapping[str, int], total: int) -> Asked:
    """Weigh the terms of a question by the rows that are searched.

    Args:
        query: the question.
        terms: its terms, in order, repeats included.
        count: in how many rows each stands.
        total: how many rows there are.
    """
    times = Counter(terms)
    used = list(times)
    cut = len(used) > MOST_TERMS
    if cut:
        used = sorted((term for term in used if count[term]), key=count.__getitem__)[:MOST_TERMS]
    grams = is_unspaced(query.text)
    weigh = gram_weight if grams else inverse_document_frequency
    own = {term: weigh(total, count[term]) for term in used if count[term]}
    weights = [times[term] * own[term] if term in own else -1.0 for term in used]
    pairs: list[tuple[int, int]] = []
    if query.phrase_weight > 0 and not cut and not grams:
        number = {term: at for at, term in enumerate(used)}
        most = max(total * COMMON, FEW)
        for first, second in dict.fromkeys(pairwise(terms)):
            if first == second or first not in own or second not in own:
                continue
            if min(count[first], count[second]) <= most:
                pairs.append((number[first], number[second]))
                weights.append(query.phrase_weight * (own[first] + own[second]))
    return Asked(
        tuple(used),
        tuple(times[term] for term in used),
        np.array([count[term] for term in used], np.int64),
        total,
        tuple(pairs),
        np.array(weights, np.float64),
    )


def _of_word(analyser: Analyser, word: str) -> tuple[str, ...]:
    return tuple(analyser.question(word, drop_stopwords=False))


def _of_question(analyser: Analyser, text: str, drop_stopwords: bool) -> tuple[str, ...]:
    return tuple(analyser.question(text, drop_stopwords=drop_stopwords))
