"""A store in Qdrant moves to another embedder: the next collection, and the alias switched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bruno_memory_vec import MemoryConfig, open_memory, reembed
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EmbeddingError, FingerprintError, InvalidInputError
from bruno_memory_vec.indexers.qdrant import collection
from bruno_memory_vec.indexers.qdrant.server import Server
from bruno_memory_vec.store.qdrant import Qdrant
from bruno_memory_vec.store.qdrant_url import settings_of
from bruno_memory_vec.testing.memory_suite import noted, said
from tests.servers.fixtures import QdrantStore

OLD, NEW = HashEmbedder(32), HashEmbedder(48)


@pytest.fixture(params=["local", pytest.param("server", marks=pytest.mark.qdrant_server)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    if request.param == "local":
        return f"qdrant+local:{tmp_path / 'store'}"
    store: QdrantStore = request.getfixturevalue("qdrant_store")
    return store.url


async def collections_of(url: str) -> tuple[str, list[str]]:
    """The collection that the store's name stands for, and the others of the store."""
    server = await Server.open(settings_of(url, os.environ.get("QDRANT_API_KEY")))
    try:
        found = await collection.find(server)
        assert found is not None
        return found.name, await collection.others(server, found.name)
    finally:
        await server.close()


async def fill(url: str) -> None:
    async with await open_memory(url, embedder=OLD) as memory:
        for number in range(30):
            await memory.store_message(said(f"message {number} about tea"), "talk")
        await memory.store_memory(noted("Ana likes green tea"))


async def test_the_next_collection_takes_the_place_of_the_first(url: str) -> None:
    await fill(url)
    before, _ = await collections_of(url)
    report = await reembed(url, NEW)
    assert (report.before, report.after) == (OLD.fingerprint, NEW.fingerprint)
    assert (report.rows, report.embedded, report.resumed) == (31, 31, 0)
    after, others = await collections_of(url)
    assert after != before
    assert others == []
    with pytest.raises(FingerprintError, match="bruno-memory-vec reembed --store"):
        await open_memory(url, embedder=OLD)
    async with await open_memory(url, embedder=NEW) as memory:
        assert (await memory.recall("green tea", user_id="ana"))[0].content == "Ana likes green tea"
        await memory.store_message(said("one more"), "talk")
        messages = await memory.retrieve_messages("talk", limit=2)
        assert [one.content for one in messages] == ["one more", "message 29 about tea"]
        assert not (await memory.maintain()).problems


async def test_the_same_embedder_has_nothing_to_do(url: str) -> None:
    await fill(url)
    report = await reembed(url, OLD)
    assert (report.before, report.after, report.embedded) == (OLD.fingerprint, OLD.fingerprint, 0)


class Failing(HashEmbedder):
    """Embeds so many texts, and then fails."""

    def __init__(self, dimension: int, texts: int) -> None:
        super().__init__(dimension)
        self.left = texts

    def embed(self, texts, *, kind="document"):  # type: ignore[no-untyped-def]
        self.left -= len(texts)
        if self.left < 0:
            raise RuntimeError("it is broken")
        return super().embed(texts, kind=kind)


async def test_a_move_that_failed_leaves_the_store_and_is_gone_on_with(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bruno_memory_vec.upkeep.reembedding.move._FIRST", 8)
    await fill(url)
    before, _ = await collections_of(url)
    with pytest.raises(EmbeddingError, match="stopped after"):
        await reembed(url, Failing(48, 10))
    now, others = await collections_of(url)
    assert now == before
    assert len(others) == 1
    config = MemoryConfig.build(url=url)
    found = [one.found for one in await Qdrant().diagnose(config)]
    assert [one for one in found if "without TLS" not in one] == [
        f"{others[0]}: what another re-embedding has begun, or has left"
    ]
    async with await open_memory(url, embedder=OLD) as memory:
        await memory.clear_conversation("default", "talk")
        assert len(await memory.recall("tea", user_id="ana")) == 1
    report = await reembed(url, NEW)
    assert (report.rows, report.embedded) == (1, 1)
    assert await collections_of(url) == (others[0], [])


async def test_an_open_memory_says_how_it_is_moved(url: str) -> None:
    async with await open_memory(url, embedder=OLD) as memory:
        with pytest.raises(InvalidInputError, match="bruno-memory-vec reembed"):
            await memory.reembed(NEW)


async def test_a_deployment_that_cannot_says_so() -> None:
    with pytest.raises(InvalidInputError, match="cannot be re-embedded in its place"):
        await reembed("memory://", NEW)
