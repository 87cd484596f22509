"""A call of many rows is embedded before its commit, and others' calls are committed meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole
from numpy.typing import NDArray

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.errors import EmbeddingError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.writing.queue import _LARGE_ROWS
from tests.durability.support import message, rows_of, turns_of

_MANY = _LARGE_ROWS + 700
_HANGS = 60


class Gated(HashEmbedder):
    """Holds texts with the word "slow" until it is let go, and refuses those with "bad"."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.go = threading.Event()
        self.calls: list[int] = []

    def embed(self, texts: Sequence[str], **kind: Any) -> NDArray[np.float32]:
        self.calls.append(len(texts))
        self.begun.set()
        if any("slow" in text for text in texts):
            assert self.go.wait(_HANGS)
        if any("bad" in text for text in texts):
            raise ValueError("a text that it cannot read")
        return super().embed(texts, **kind)


@pytest.fixture
def embedder() -> Gated:
    return Gated()


@pytest.fixture
async def memory(embedder: Gated) -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder=embedder) as opened:
        yield opened
        embedder.go.set()


def many(word: str, count: int = _MANY) -> list[Message]:
    return [message(f"{word} {number}") for number in range(count)]


async def stored(memory: VectorMemory, **whose: Any) -> int:
    rows = await rows_of(memory)
    return sum(all(row[name] == value for name, value in whose.items()) for row in rows)


async def test_another_user_does_not_wait(memory: VectorMemory, embedder: Gated) -> None:
    large = asyncio.create_task(memory.store_messages(many("slow"), "large", user_id="ana"))
    assert await asyncio.to_thread(embedder.begun.wait, _HANGS)
    for number in range(5):
        await asyncio.wait_for(
            memory.store_message(message(f"small {number}"), "talk", user_id="ben"), _HANGS
        )
    assert not large.done()
    assert await stored(memory, user_id="ana") == 0
    # Its own later calls keep their place behind it.
    behind = asyncio.create_task(memory.store_message(message("last"), "large", user_id="ana"))
    await memory.store_message(message("small 5"), "talk", user_id="ben")
    assert not behind.done()
    embedder.go.set()
    await asyncio.wait_for(asyncio.gather(large, behind), _HANGS)
    said = [text for _, text in await turns_of(memory, "large")]
    assert said == [*(one.content for one in many("slow")), "last"]
    assert [turn for turn, _ in await turns_of(memory, "large")] == list(range(_MANY + 1))


async def test_it_is_one_commit_all_or_none(memory: VectorMemory) -> None:
    messages = many("fine")
    messages[-1] = message("bad")
    with pytest.raises(EmbeddingError):
        await memory.store_messages(messages, "talk", user_id="ana")
    assert await stored(memory) == 0
    await memory.store_messages(messages[:-1], "talk", user_id="ana")
    assert await stored(memory) == _MANY - 1


async def test_vectors_are_those_of_the_rows(memory: VectorMemory, embedder: Gated) -> None:
    """Also where a message is given twice: the last one counts, in the place of the first."""
    messages = many("text")
    messages[700] = Message(
        id=messages[3].id, role=MessageRole.USER, content="the newer words of the fourth"
    )
    await memory.store_messages(messages, "talk", user_id="ana")
    assert max(embedder.calls) < _MANY  # in parts
    rows = await rows_of(memory)
    assert len(rows) == _MANY - 1
    by_turn = sorted(rows, key=lambda row: int(row["turn"]))
    assert by_turn[3]["content"] == "the newer words of the fourth"
    held = (await memory._lazy.get()).rows
    columns = ("content", "vector")
    for row in (await held.read(Scope.all_users(), RowFilter(), columns)).to_pylist():
        (expected,) = await embed_texts(embedder, [row["content"]])
        np.testing.assert_allclose(row["vector"], expected, atol=1e-6)


async def test_large_calls_of_two_users_share_the_embedder(
    memory: VectorMemory, embedder: Gated
) -> None:
    await asyncio.gather(
        memory.store_messages(many("one"), "a", user_id="ana"),
        memory.store_messages(many("two"), "b", user_id="ben"),
        *(memory.store_message(message(f"three {n}"), "c", user_id="cem") for n in range(20)),
    )
    assert [await stored(memory, user_id=user) for user in ("ana", "ben", "cem")] == [
        _MANY,
        _MANY,
        20,
    ]
    assert await memory.recall("two 1100", user_id=ALL_USERS, k=1)


async def test_a_large_call_that_is_cancelled_stops_nobody(
    memory: VectorMemory, embedder: Gated
) -> None:
    large = asyncio.create_task(memory.store_messages(many("slow"), "large", user_id="ana"))
    assert await asyncio.to_thread(embedder.begun.wait, _HANGS)
    behind = asyncio.create_task(memory.store_message(message("after"), "talk", user_id="ana"))
    large.cancel()
    await asyncio.wait([large])
    embedder.go.set()
    await asyncio.wait_for(behind, _HANGS)
    assert await stored(memory, content="after") == 1
    assert await stored(memory) in {1, _MANY + 1}


async def test_closing_waits_for_a_large_call(embedder: Gated, tmp_path: Any) -> None:
    memory = await open_memory(str(tmp_path), embedder=embedder)
    large = asyncio.create_task(memory.store_messages(many("slow"), "large", user_id="ana"))
    assert await asyncio.to_thread(embedder.begun.wait, _HANGS)
    closing = asyncio.create_task(memory.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    embedder.go.set()
    await asyncio.wait_for(asyncio.gather(large, closing), _HANGS)
    async with open_memory(str(tmp_path), embedder=embedder) as again:
        assert await stored(again) == _MANY
