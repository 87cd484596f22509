"""BM25 by sparse vectors: the words of a row, and those of a question.

A sparse vector has a place for each term, which is a 32-bit hash of it. Terms of one hash count as
one. A row's value there is the part of BM25 that does not depend on other rows,

    tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average))

with :data:`K1` and :data:`B` as in Tantivy. ``length`` is the row's number of words and ``average``
one number for the whole store, which is set when it is made: the true average changes with each
row. Of a script without spaces, whose characters and bigrams are terms, five terms count as a word,
so that the same average suits texts of any language. The server multiplies each place by how rare
it is among the user's rows (``Modifier.IDF``).

Two terms that follow each other have a place, too, so that a question's adjacent words count more
where they are adjacent in a row. How rare the pair is stands for the sum of both terms' rarities
that Tantivy takes; of terms that occur independently the two are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

from ..query import LexicalQuery
from ..text.analysis import UNSPACED, Analyser, is_unspaced

K1, B = 1.2, 0.75

# Of a very long question, such as a pasted document, so many different terms are asked, ...
_MOST_QUERY_TERMS = 4_000
# ... and no pairs if it has more than so many.
_MOST_TERMS_IN_PAIRS = 64
# What a single character of an unspaced script weighs beside its bigrams: most are common, and the
# server has no list of stop words for them. See `gram_weight`, which Tantivy uses.
_CHARACTER = 0.5
_WORDS_A_GRAM = 0.2
# Between the two terms of a pair; no term has a space.
_AND = " "

#: The places of a sparse vector, ascending, and their values.
Sparse = tuple[list[int], list[float]]


class Words:
    """Makes the sparse vectors of one store.

    Args:
        analyser: how text becomes terms.
        average: the average number of words of a row.
    """

    def __init__(self, analyser: Analyser, average: float) -> None:
        self._analyser = analyser
        self._average = average

    def of_row(self, text: str) -> Sparse | None:
        """The sparse vector of a row; None where it has no term."""
        terms = self._analyser.terms(text)
        if not terms:
            return None
        counts: Counter[int] = Counter(map(_place, terms))
        counts.update(
            _place(f"{first}{_AND}{second}")
            for first, second in pairwise(terms)
            if first != second and not UNSPACED.match(first)
        )
        norm = K1 * (1 - B + B * _length(terms) / self._average)
        places = sorted(counts)
        return places, [
            count * (K1 + 1) / (count + norm) for count in (counts[place] for place in places)
        ]

    def of_question(self, query: LexicalQuery) -> Sparse | None:
        """The sparse vector of a question; None where it has no term."""
        terms = self._analyser.question(query.text, drop_stopwords=query.drop_stopwords)
        times = Counter(terms)
        few = len(times) <= _MOST_TERMS_IN_PAIRS
        grams = is_unspaced(query.text)
        weights: dict[int, float] = {}
        for term in list(times)[:_MOST_QUERY_TERMS]:
            weight = float(times[term])
            if grams and len(term) == 1 and UNSPACED.match(term) and len(times) > 1:
                weight *= _CHARACTER
            weights[_place(term)] = weights.get(_place(term), 0.0) + weight
        if query.phrase_weight > 0 and few and not grams:
            for first, second in dict.fromkeys(pairwise(terms)):
                if first != second and not UNSPACED.match(first):
                    place = _place(f"{first}{_AND}{second}")
                    weights[place] = weights.get(place, 0.0) + query.phrase_weight
        if not weights:
            return None
        places = sorted(weights)
        return places, [weights[place] for place in places]


def _length(terms: Sequence[str]) -> float:
    """How many words terms stand for."""
    grams = sum(1 for term in terms if UNSPACED.match(term))
    return len(terms) - grams * (1 - _WORDS_A_GRAM)


@lru_cache(maxsize=65_536)
def _place(term: str) -> int:
    return int.from_bytes(blake2b(term.encode(), digest_size=4).digest(), "little")
