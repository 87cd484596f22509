"""Exact phrases: against the plain definition, and where very many rows hold one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.text.analysis import plain
from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.recall import exact
from bruno_memory_vec.recall.phrase import Phrase, _FoldedTexts
from bruno_memory_vec.rows.models import message_row

# Letters that folding changes, in one or two characters and from another; marks; other scripts.
ODD = "aAbB \n%_*.[\\é\u0301ßſ\u212aﬁİıς\u03c3ΣøÆ京都\uf900가\u1100アｱ\u3099🎉\u200d\ufe0f\x00“’"
TEXTS = st.text(alphabet=ODD, max_size=12)


@given(st.lists(TEXTS, max_size=8), st.text(alphabet=ODD, min_size=1, max_size=4))
def test_what_holds_a_phrase_is_what_the_plain_texts_say(texts: list[str], phrase: str) -> None:
    held = pa.array(texts, pa.string())
    wanted = plain(phrase)
    expected = [wanted in plain(text) if wanted else phrase in text for text in texts]
    assert Phrase(phrase).among(held).tolist() == expected
    assert Phrase(phrase).among(pa.chunked_array([held, held])).tolist() == 2 * expected
    letters = Phrase(phrase, match_case=True)
    assert letters.among(held).tolist() == [phrase in text for text in texts]


@given(TEXTS, TEXTS, st.sampled_from(["京都", "Straße", "ΣΟΣ", "가나", "👍🏽", "ｱｲｳ", "don’t"]))
def test_a_phrase_is_found_wherever_it_stands(before: str, after: str, phrase: str) -> None:
    # A mark behind a letter makes another letter of it in some scripts.
    text = f"{before} {phrase} {after}"
    for written in (phrase, phrase.upper(), phrase.lower()):
        assert Phrase(written).among(pa.array([text, "no"])).tolist() == [True, False]


def test_folded_texts_are_kept_up_to_a_bound() -> None:
    kept = _FoldedTexts(2_000)
    texts = [f"é{number}" + "x" * 50 for number in range(50)]
    for text in (*texts, *reversed(texts)):
        assert kept.of(text) == plain(text)
    assert 0 < len(kept._texts) < 10
    assert kept._bytes <= 2_000
    assert kept.of("é" * 30_000) == "e" * 30_000
    assert "é" * 30_000 not in kept._texts


@pytest.mark.parametrize("cache", [160, 0])
async def test_among_more_rows_than_are_told_by_their_ids(cache: int, tmp_path: Any) -> None:
    """1,200 rows hold it, and 1,200 others answer the question better."""
    memory = await open_memory(str(tmp_path), embedder="hash", recall_cache_mb=cache)
    async with memory:
        texts = [f"alpha number {i}" for i in range(1_200)]
        texts += [f"beta melons melons {i}" for i in range(1_200)]
        texts += ["alpha: the melons of June", "alpha: one more about melons"]
        messages = [Message(role=MessageRole.USER, content=text) for text in texts]
        await memory.store_messages(messages, "talk", user_id="ana")
        hits = await memory.recall("melons", user_id="ana", exact="ALPHA", strategy="fulltext")
        assert {hit.content for hit in hits} == set(texts[-2:])
        hits = await memory.recall("melons", user_id="ana", exact="alpha", k=1_000)
        assert len(hits) == 1_000
        assert {hit.content for hit in hits[:2]} == set(texts[-2:])
        assert all("alpha" in hit.content for hit in hits)


async def test_of_very_many_that_are_not_in_memory_the_newest_are_ranked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(exact, "MOST_RANKED", 3)
    monkeypatch.setattr(exact, "_AT_ONCE", 2)
    async with await open_memory(str(tmp_path), embedder="hash", recall_cache_mb=0) as memory:
        for number in range(6):
            message = Message(role=MessageRole.USER, content=f"zebra {number}")
            await memory.store_message(message, "talk", user_id="ana")
        hits = await memory.recall("zebra", user_id="ana", exact="zebra")
        assert {hit.content for hit in hits} == {"zebra 3", "zebra 4", "zebra 5"}
        hits = await memory.recall("", user_id="ana", exact="zebra")
        assert [hit.content[-1] for hit in hits] == list("543210")


async def test_what_is_found_by_a_phrase_counts_as_used_and_a_timeline_does_not() -> None:
    async with await open_memory("memory://", embedder="hash") as memory:
        message = Message(role=MessageRole.USER, content="the zebra")
        await memory.store_message(message, "talk", user_id="ana")
        await memory.timeline("ana")
        await memory.recall("", user_id="ana", strategy="temporal")
        writer = await memory._lazy.writer()
        assert dict(writer.pending_uses) == {}
        await memory.recall("", user_id="ana", exact="zebra")
        assert list(writer.pending_uses.values()) == [1]


async def test_our_own_notes_are_no_hits() -> None:
    async with await open_memory("memory://", embedder="hash") as memory:
        fact = Message(role=MessageRole.USER, content="the zebra is called Zed")
        await memory.store_message(fact, "before", user_id="ana")
        context = await memory.get_context("ana", "talk")
        asked = Message(role=MessageRole.USER, content="What is the zebra called?")
        context.add_message(asked)
        await memory.store_message(asked, "talk")
        (notes,) = [one for one in context.messages if is_notes(one.content)]
        assert "zebra is called Zed" in notes.content
        # As a version before stored it, when a whole context was saved.
        writer = await memory._lazy.writer()
        await writer.write([message_row(notes, "ana", "talk", memory.config.bounds)])
        for query in ("", "zebra"):
            hits = await memory.recall(query, user_id="ana", exact="zebra")
            assert {hit.content for hit in hits} == {fact.content, asked.content}


def test_flags_are_plain_arrays() -> None:
    found = Phrase("x").among(pa.array([], pa.string()))
    assert (found.dtype, len(found)) == (np.bool_, 0)


async def test_a_least_value_without_a_question_says_what_it_needs() -> None:
    async with await open_memory("memory://", embedder="hash") as memory:
        for least in ("min_similarity", "min_confidence_of_answer"):
            with pytest.raises(InvalidInputError, match=f"{least} needs a question"):
                await memory.recall("", user_id="ana", exact="x", **{least: 0.3})  # type: ignore[arg-type]
