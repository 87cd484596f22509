"""Long texts are not copied for each reader, and only their beginnings are read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import ALL_USERS, open_memory
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.long_texts import LONG, LongTexts
from bruno_memory_vec.indexers.protocols import HoldsRows
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.recall.request import READ_CHARACTERS
from bruno_memory_vec.recall.sources import texts_of
from bruno_memory_vec.testing import HashEmbedder
from tests.durability.support import message

_TEXT = "boiler " + "lorem ipsum ü " * 8_000


def test_the_texts_read_last_are_kept_up_to_a_bound() -> None:
    texts = LongTexts(budget=10_000)
    made: list[str] = []

    def decode(text: str) -> str:
        made.append(text[0])
        return text

    for name in "abcb":
        assert texts.get(name, lambda name=name: decode(name * 3_000)) == name * 3_000
    assert made == ["a", "b", "c"]
    assert texts.get("d", lambda: decode("d" * 3_000))[0] == "d"
    assert texts.nbytes <= 10_000
    assert texts.get("b", lambda: decode("b" * 3_000))[0] == "b"  # the oldest, "a", had to go
    assert made == ["a", "b", "c", "d"]
    assert texts.get("long", lambda: decode("l" * 50_000)) is texts.get("long", lambda: "")
    assert texts.nbytes < 51_000


def test_equal_texts_become_one() -> None:
    texts = LongTexts()
    first, second = ("x" * (LONG + 1) for _ in range(2))
    assert first is not second
    assert texts.shared(first) is texts.shared(second) is first
    assert texts.shared("y" * (LONG + 1)) != first
    short = "".join(["a", "b"])
    assert texts.shared(short) is short


@pytest.mark.parametrize(("where", "cache"), [("memory://", 160), ("folder", 160), ("folder", 0)])
async def test_those_who_ask_at_once_share_the_texts(
    tmp_path: Path, where: str, cache: int
) -> None:
    url = where if where == "memory://" else str(tmp_path / where)
    async with open_memory(url, embedder=HashEmbedder(), recall_cache_mb=cache) as memory:
        for number in range(3):
            await memory.store_message(message(f"{number} {_TEXT}"), "talk", user_id="ana")
        for user in ("ana", ALL_USERS):
            answers = await asyncio.gather(
                *(memory.recall("boiler", user_id=user, k=3) for _ in range(10))
            )
            assert {len(hits) for hits in answers} == {3}
            assert len({id(hit.content) for hits in answers for hit in hits}) <= 2 * 3
        contexts = await asyncio.gather(*(memory.get_context("ana", "talk") for _ in range(10)))
        held = {id(one.content) for context in contexts for one in context.messages}
        assert len(held) <= 2 * 3
        # What is deleted and stored anew is not mistaken for what was there.
        await memory.clear_history("talk")
        await memory.store_message(message(f"new {_TEXT}"), "talk", user_id="ana")
        (hit,) = await memory.recall("boiler", user_id="ana")
        assert hit.content.startswith("new boiler")
        assert (await memory.get_context("ana", "talk")).messages[-1].content == hit.content


async def test_a_question_may_be_a_whole_document() -> None:
    async with open_memory("memory://", embedder=HashEmbedder()) as memory:
        await memory.store_message(message("the boiler is red"), "talk", user_id="ana")
        words = " ".join(f"word{number}" for number in range(200_000))
        (hit,) = await memory.recall(f"boiler {words}", user_id="ana")
        assert hit.content == "the boiler is red"
        (like,) = await memory.recall(f"boiler {words}"[:READ_CHARACTERS], user_id="ana")
        assert hit.signals["lexical"] == like.signals["lexical"]


@pytest.mark.parametrize("unit", ["x", "ü", "語", "😀"])
async def test_rankers_read_beginnings(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruno_memory_vec.indexers.snapshot._MUCH", 50_000)
    async with open_memory("memory://", embedder=HashEmbedder()) as memory:
        texts = [unit * 60_000, unit * 5, unit * READ_CHARACTERS, unit * (READ_CHARACTERS + 1)]
        for text in texts:
            said = Message(role=MessageRole.USER, content=text)
            await memory.store_message(said, "talk", user_id="ana")
        held = capability((await memory._lazy.get()).rows, HoldsRows)
        assert held is not None
        snapshot = await held.snapshot(Scope.user("ana"))
        assert snapshot is not None
        for _ in range(2):
            read = texts_of(snapshot, np.arange(4))
            assert read == [text[:READ_CHARACTERS] for text in texts]
            monkeypatch.setattr("bruno_memory_vec.indexers.snapshot._MUCH", 2**20)
