"""A question of very many words is carried by its most telling ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.query import LexicalQuery
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing.engine_suite import ANY, EVERYONE
from bruno_memory_vec.testing.rows import message, table

# Words that no stemmer changes and no two of which are alike.
COMMON = [f"c{number:03}x" for number in range(90)]
RARE = [f"r{number:03}x" for number in range(3)]


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


@pytest.fixture
async def memory(tmp_path: object) -> AsyncIterator[VectorMemory]:
    async with open_memory(f"{tmp_path}/memory", embedder="hash", profile="lexical") as opened:
        texts = [f"{word} {other}" for word in COMMON for other in ("one", "two", "three")]
        await opened.store_messages([said(text) for text in texts], "talk", user_id="ana")
        await opened.store_messages([said(f"{word} alone") for word in RARE], "talk", user_id="ana")
        yield opened


async def found(memory: VectorMemory, question: str, k: int = 1000) -> dict[str, float]:
    hits = await memory.recall(question, user_id="ana", k=k)
    return {hit.content: hit.signals["lexical"] for hit in hits if hit.signals.get("lexical")}


@pytest.mark.parametrize("place", [0, 45, 90])
async def test_the_rarest_words_are_kept(memory: VectorMemory, place: int) -> None:
    words = [*COMMON[:place], *RARE, *COMMON[place:]]
    hits = await found(memory, " ".join(words))
    assert {f"{word} alone" for word in RARE} <= hits.keys()
    assert next(iter(hits)).endswith("alone")


async def test_words_that_nobody_used_take_no_place(memory: VectorMemory) -> None:
    unknown = " ".join(f"u{number:03}x" for number in range(200))
    hits = await found(memory, f"{unknown} {COMMON[7]} {' '.join(RARE)} {unknown}")
    # The signal of the least of them, a common word's, is zero.
    assert {content.split()[0] for content in hits} == set(RARE)


async def test_a_word_counts_as_often_as_it_is_asked(memory: VectorMemory) -> None:
    """In a long question as in a short one."""
    words = " ".join(COMMON)
    once = await found(memory, f"{words} {RARE[0]} {RARE[1]}")
    twice = await found(memory, f"{words} {RARE[0]} {RARE[1]} {RARE[1]}")
    assert once[f"{RARE[0]} alone"] == pytest.approx(once[f"{RARE[1]} alone"])
    assert twice[f"{RARE[1]} alone"] > twice[f"{RARE[0]} alone"]


async def test_a_thousand_words_are_not_all_looked_for() -> None:
    """Each costs as much as the next, and the commonest say nothing."""
    rows = [message(seq, word) for seq, word in enumerate((*COMMON, *COMMON, *RARE))]
    index = TantivyIndex(None, analyser("english"))
    index.add(table(rows, 8).select(list(LEXICAL_COLUMNS)))
    await index.commit()
    query = LexicalQuery(" ".join((*COMMON, *RARE)), phrase_weight=0.5)
    found = index.search(query, EVERYONE, ANY, 1_000)
    terms = {rows[seq]["content"] for seq in found.seq.tolist()}
    assert set(RARE) < terms
    assert len(terms) == 64
    few = LexicalQuery(" ".join((*COMMON[:61], *RARE)))
    found = index.search(few, EVERYONE, ANY, 1_000)
    assert len(found) == 2 * 61 + len(RARE), "as many words as this are all looked for"
    await index.close()
