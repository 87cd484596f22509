"""The vector of a question, in which the user's rare words count more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import WeighsWords
from bruno_memory_vec.indexers.protocols import CountsWords
from bruno_memory_vec.indexers.query import Scope

# A text of more different words is no question, but a document that was pasted into one: each of
# its words would have to be counted, and none says much.
_MOST_WORDS = 64


def weighted_vector(
    embedder: WeighsWords, text: str, counts: CountsWords, scope: Scope, power: float
) -> NDArray[np.float32]:
    """The question's vector, float32 (d,), by what the words of the scope's user tell apart.

    A word counts ``ln((N + 1) / (df + 0.5)) ** power``, where df of the user's N rows have it: the
    rows' vectors are plain sums, and the question's points to what few of them have. At 0.5 the
    product of a word with itself in a row has the weight of the word in BM25. Punctuation counts as
    what every row has. This blocks.
    """

    def weigh(words: Sequence[str]) -> NDArray[np.float64]:
        if len(words) > _MOST_WORDS:
            return np.ones(len(words))
        total, having = counts.document_frequencies(words, scope)
        return rarity(total, having, power)

    return embedder.embed_weighted(text, weigh)


def rarity(total: int, having: NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """``ln((N + 1) / (df + 0.5)) ** power`` of each word, float64 (n,), above 0.

    Args:
        total: N, the number of rows.
        having: df, the number of rows with each word; -1 for what is no word.
        power: at least 0.
    """
    # A word that no row has tells nothing apart: it counts no more than one that a single row has.
    known = np.where(having < 0, total, np.maximum(having, min(total, 1)))
    weight: NDArray[np.float64] = np.log((total + 1) / (known + 0.5))
    return weight**power
