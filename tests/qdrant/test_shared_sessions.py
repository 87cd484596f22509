"""Rows in Qdrant with sessions in Redis, which many processes may share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory, reembed
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import InvalidInputError, StoreError
from bruno_memory_vec.testing.memory_suite import said
from tests.servers.fixtures import QdrantStore

pytestmark = pytest.mark.redis_server


async def test_rows_that_have_shared_sessions_refuse_others(
    tmp_path: Path, redis_url: str, store_name: str
) -> None:
    url = f"qdrant+local:{tmp_path / 'store'}?collection={store_name}"
    async with await open_memory(url, embedder="hash", sessions=redis_url) as memory:
        await memory.store_message(said("hello"), "talk")
    async with await open_memory(url, embedder="hash", sessions=redis_url) as memory:
        await memory.store_message(said("again"), "talk")
        context = await memory.get_context("default", "talk")
        assert [one.content for one in context.messages] == ["hello", "again"]
    with pytest.raises(StoreError, match="are elsewhere"):
        await open_memory(url, embedder="hash", sessions=str(tmp_path / "sqlite"))
    with pytest.raises(InvalidInputError, match="other processes may be writing"):
        await reembed(url, HashEmbedder(48), sessions=redis_url)


@pytest.mark.qdrant_server
async def test_two_memories_of_one_server_see_each_other(
    qdrant_store: QdrantStore, redis_url: str
) -> None:
    url = qdrant_store.url
    async with (
        await open_memory(url, embedder="hash", sessions=redis_url) as one,
        await open_memory(url, embedder="hash", sessions=redis_url) as other,
    ):
        await one.store_message(said("The door is blue"), "talk")
        assert len(await other.recall("door", user_id="default")) == 1
        await other.store_message(said("And the key is red"), "talk")
        assert len(await one.recall("key", user_id="default")) == 2
        for memory in (one, other):
            context = await memory.get_context("default", "talk")
            assert [message.content for message in context.messages] == [
                "The door is blue",
                "And the key is red",
            ]
