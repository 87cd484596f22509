"""The vector of a text whose words count unequally."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from numpy.typing import NDArray

from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.embedders.protocol import WordWeights
from tests.amounts import amount
from tests.embedders.test_word_pieces import texts


def alike(words: Sequence[str]) -> NDArray[np.float64]:
    return np.full(len(words), 3.0)


def by(**weight: float) -> WordWeights:
    return lambda words: np.array([weight.get(word, 1.0) for word in words])


@settings(max_examples=amount(100, 1000))
@given(texts)
def test_equal_weights_give_the_text_s_own_vector(text: str) -> None:
    embedder = StaticEmbedder()
    weighted = embedder.embed_weighted(text, alike)
    assert weighted.dtype == np.float32
    np.testing.assert_allclose(weighted, embedder.embed([text])[0], atol=1e-5)


def test_a_word_of_no_weight_is_not_there() -> None:
    embedder = StaticEmbedder()
    for text, rest in [("Lisbon coffee", "coffee"), ("Lisbon naïve coffee", "naïve coffee")]:
        weighted = embedder.embed_weighted(text, by(lisbon=0.0, Lisbon=0.0))
        np.testing.assert_allclose(weighted, embedder.embed([rest])[0], atol=1e-5)
    assert not embedder.embed_weighted("Lisbon", by(lisbon=0.0)).any()


def test_a_word_of_several_pieces_is_one_word() -> None:
    seen: list[str] = []

    def note(words: Sequence[str]) -> NDArray[np.float64]:
        seen.extend(words)
        return np.ones(len(words))

    embedder = StaticEmbedder()
    embedder.embed_weighted("Unaffable, unaffable saxophonists", note)
    assert seen == ["unaffable", ",", "saxophonists"]
    seen.clear()
    embedder.embed_weighted("Unaffable café 東京", note)
    assert seen == ["unaffable", "café", "東京"]
