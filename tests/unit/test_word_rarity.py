"""In the vector of a question, the words count that few of the user's rows have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec import load_profile, open_memory
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.embedders.protocol import WeighsWords
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.recall.word_rarity import rarity, weighted_vector

ANA = Scope("ana")


class Counts:
    """Counts that are as given, for words that are asked for."""

    def __init__(self, total: int, **having: int) -> None:
        self.total, self.having = total, having
        self.asked: list[str] = []

    def document_frequencies(
        self, words: Sequence[str], scope: Scope
    ) -> tuple[int, NDArray[np.int64]]:
        self.asked.extend(words)
        return self.total, np.array([self.having.get(word, -1) for word in words], np.int64)


def test_the_formula() -> None:
    having = np.array([0, 1, 9, 10, -1], np.int64)
    wanted = np.log(11 / (np.array([1, 1, 9, 10, 10]) + 0.5))
    np.testing.assert_allclose(rarity(10, having, 1.0), wanted)
    np.testing.assert_allclose(rarity(10, having, 0.5), np.sqrt(wanted))
    assert (rarity(10, having, 0.5) > 0).all()
    # In an empty store all words are alike.
    assert len(set(rarity(0, np.array([0, 0, -1], np.int64), 0.5).tolist())) == 1


def test_a_rare_word_draws_the_vector_towards_itself() -> None:
    embedder = StaticEmbedder()
    plain, rare, common = embedder.embed(["the coffee in Lisbon", "lisbon", "coffee"])
    counts = Counts(100, the=90, coffee=60, lisbon=1)
    counts.having["in"] = 80
    weighted = weighted_vector(embedder, "the coffee in Lisbon", counts, ANA, 0.5)
    assert counts.asked == ["the", "coffee", "in", "lisbon"]
    assert np.linalg.norm(weighted) == pytest.approx(1, abs=1e-5)
    assert weighted @ rare > plain @ rare + 0.05
    assert weighted @ common < plain @ common


def test_a_pasted_document_is_not_counted() -> None:
    embedder = StaticEmbedder()
    text = " ".join(f"word{number}" for number in range(200))
    counts = Counts(10)
    weighted = weighted_vector(embedder, text, counts, ANA, 0.5)
    assert counts.asked == []
    np.testing.assert_allclose(weighted, embedder.embed([text])[0], atol=1e-6)


def test_the_static_embedder_weighs_words() -> None:
    assert isinstance(StaticEmbedder(), WeighsWords)


@pytest.mark.parametrize("where", ["memory://", "folder"])
async def test_a_recall_by_meaning_finds_the_rare_word(where: str, tmp_path: Path) -> None:
    semantic = load_profile("semantic")
    texts = [f"we talked about my garden plans for month {number}" for number in range(30)]
    texts.append("the saxophone is broken")
    profiles = [
        replace(semantic, query=replace(semantic.query, rarity=power)) for power in (0.0, 0.5)
    ]
    url = where if "://" in where else str(tmp_path / where)
    question = "what did we say about my garden plans and the saxophone?"
    async with open_memory(url) as memory:
        messages = [Message(role="user", content=text) for text in texts]
        await memory.store_messages(messages, "talk", user_id="ana")
        best = [
            (await memory.recall(question, user_id="ana", k=1, profile=profile))[0].content
            for profile in profiles
        ]
        assert best[0] != texts[-1]
        assert best[1] == texts[-1]


async def test_the_least_similarity_is_that_of_the_texts() -> None:
    balanced = load_profile("balanced")
    profile = replace(balanced, query=replace(balanced.query, rarity=0.5))
    text = "my garden and the saxophone"
    async with open_memory("memory://") as memory:
        others = [Message(role="user", content=f"my garden {number}") for number in range(9)]
        await memory.store_messages([*others, Message(role="user", content=text)], "t", user_id="a")
        hits = await memory.recall(text, user_id="a", min_similarity=0.999, profile=profile)
        assert [hit.content for hit in hits] == [text]
