"""A recall does not wait until the lexical index has taken in what others have stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.recall import newest_words

# Far beyond what a busy machine needs; a recall that waits for the index waits for ever.
_SOON, _SHORTLY = 30, 0.3


@pytest.fixture(params=["memory://", "folder"])
async def memory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[VectorMemory]:
    monkeypatch.setattr(newest_words, "_MANY", 20)
    monkeypatch.setattr(newest_words, "_MOST_OWN", 10)
    url = request.param if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url, embedder="hash") as opened:
        await say(opened, "ben", "an old apple")
        await opened.recall("apple", user_id="ben")
        yield opened


async def say(memory: VectorMemory, user: str, *texts: str) -> list[Message]:
    messages = [Message(role="user", content=text) for text in texts]
    await memory.store_messages(messages, f"of {user}", user_id=user)
    return messages


async def index_of(memory: VectorMemory) -> TantivyIndex:
    index = (await memory._lazy.get()).lexical
    assert isinstance(index, TantivyIndex)
    return index


async def found(memory: VectorMemory, question: str, user: str) -> list[str]:
    """What is found by its words, sorted."""
    asking = memory.recall(question, user_id=user, profile="lexical")
    return sorted(hit.content for hit in await asyncio.wait_for(asking, _SOON))


async def test_own_new_rows_are_found_while_others_are_indexed(memory: VectorMemory) -> None:
    index = await index_of(memory)
    async with index._committing:
        gone = await say(memory, "ben", "a green apple", "a rotten apple")
        await say(memory, "ana", *(f"apple {number}" for number in range(40)))
        await say(memory, "ben", "a red apple")
        await memory.delete_messages([gone[1].id])
        ours = ["a green apple", "a red apple", "an old apple"]
        assert await found(memory, "apple", "ben") == ours
        assert await found(memory, "apple", "cy") == []
    assert await found(memory, "apple", "ben") == ours
    assert len(await found(memory, "apple", "ana")) == 10
    assert index.pending == 0
    assert (await memory.maintain()).ok


@pytest.mark.parametrize("user", ["ana", ALL_USERS])
async def test_who_stored_them_waits_for_them(memory: VectorMemory, user: str) -> None:
    index = await index_of(memory)
    async with index._committing:
        await say(memory, "ana", *(f"apple {number}" for number in range(40)))
        asking = asyncio.ensure_future(found(memory, "apple 17", user))
        await asyncio.wait([asking], timeout=_SHORTLY)
        assert not asking.done()
    assert "apple 17" in await asking


async def test_a_commit_that_fails_is_told_and_tried_again(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = await index_of(memory)

    def fail() -> None:
        raise BackendUnavailable("tantivy", "commit", "the disk is full", fix="Make room.")

    await say(memory, "ana", *(f"apple {number}" for number in range(40)))
    await say(memory, "ben", "a red apple")
    with monkeypatch.context() as failing:
        failing.setattr(index, "_open_writer", fail)
        assert "a red apple" not in await found(memory, "red", "ben")
        assert (await memory.health())["status"] == "degraded"
    assert await found(memory, "red", "ben") == ["a red apple"]
    assert (await memory.maintain()).ok
    assert (await memory.health())["status"] == "ok"


async def test_the_confidence_knows_the_new_words_too(memory: VectorMemory) -> None:
    index = await index_of(memory)
    async with index._committing:
        await say(memory, "ana", *(f"apple {number}" for number in range(40)))
        await say(memory, "ben", "a turquoise bicycle")
        ask = memory.recall("turquoise apple", user_id="ben", profile="lexical")
        early = await asyncio.wait_for(ask, _SOON)
    later = await memory.recall("turquoise apple", user_id="ben", profile="lexical")
    for hits in (early, later):
        assert hits.evidence is not None
        assert hits.evidence.by_words
        assert hits.evidence.known == pytest.approx(1.0)
