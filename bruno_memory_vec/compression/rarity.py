"""How rare the terms of a text are among the rows of a user."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bruno_memory_vec.indexers.protocols import CountsWords
from bruno_memory_vec.indexers.query import Scope

#: Gives the terms of a text, repeats included.
Terms = Callable[[str], Sequence[str]]

# In at most so many of the user's rows a term is rare.
_RARE = 2
_MOST_WORDS = 20_000


@dataclass(frozen=True, slots=True)
class Rarity:
    """Which terms a text has, and in how many rows of its user each stands.

    Attributes:
        terms: makes the terms of a text, without words that say nothing.
        rows: how many rows the user has.
        having: by term, in how many of them it stands; a term that is not there stands in one.
    """

    terms: Terms
    rows: int
    having: Mapping[str, int]

    def weight(self, term: str) -> float:
        """``ln((N + 1) / (n + 0.5))``, and never negative, for n of the user's N rows."""
        return max(0.0, math.log((self.rows + 1) / (self.having.get(term, 1) + 0.5)))

    def rare(self, text: str) -> frozenset[str]:
        """The terms of a text that at most two rows of the user have."""
        return frozenset(
            term for term in self.terms(text) if self.having.get(term, 1) <= _RARE and len(term) > 2
        )


def rarity_of(texts: Sequence[str], terms: Terms, lexical: object, scope: Scope) -> Rarity:
    """The rarity of the terms of these texts. This blocks.

    Where the lexical index counts words, it is counted over all rows of the scope's user, else over
    the texts alone.

    Args:
        texts: each of one row.
        terms: makes the terms of a text.
        lexical: the lexical index of the store, or anything else that counts no words.
        scope: whose rows; narrower ones than a user's count as the user's.
    """
    having: dict[str, int] = {}
    for text in texts:
        for term in set(terms(text)):
            having[term] = having.get(term, 0) + 1
    rows = len(texts)
    if isinstance(lexical, CountsWords) and having:
        names = list(having)[:_MOST_WORDS]
        total, counted = lexical.document_frequencies(names, Scope(scope.user_id))
        rows = max(rows, total)
        for name, number in zip(names, counted.tolist(), strict=True):
            # A stem may not be read as itself; then what was counted here is all that is known.
            having[name] = max(having[name], number)
    return Rarity(terms, rows, having)
