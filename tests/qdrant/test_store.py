"""How a store in Qdrant is made, known again, and refused: in local mode, and on a server."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    FingerprintError,
    MissingDependencyError,
    NotAStoreError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.qdrant import collection
from bruno_memory_vec.indexers.qdrant.server import Server
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.store.deployment import Made, deployment_of
from bruno_memory_vec.store.qdrant import Qdrant
from bruno_memory_vec.store.qdrant_url import settings_of
from bruno_memory_vec.testing.memory_suite import noted, said
from tests.servers.fixtures import QdrantStore

VALUES = HashEmbedder().fingerprint.dimension


@pytest.fixture(params=["local", pytest.param("server", marks=pytest.mark.qdrant_server)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a store that there is not yet. Its sessions are in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    if request.param == "local":
        return f"qdrant+local:{tmp_path / 'store'}"
    store: QdrantStore = request.getfixturevalue("qdrant_store")
    return store.url


@pytest.fixture
def local_url(tmp_path: Path) -> str:
    return f"qdrant+local:{tmp_path / 'store'}"


async def opened(url: str, **settings: Any) -> VectorMemory:
    settings.setdefault("embedder", "hash")
    return await open_memory(url, **settings)


async def server_at(url: str) -> Server:
    return await Server.open(settings_of(url, os.environ.get("QDRANT_API_KEY")))


async def collections_of(server: Server) -> list[str]:
    """The names of the store's collections; a server may have others'."""
    found = await server.call("list", lambda client: client.get_collections())
    store = server.settings.collection
    return [one.name for one in found.collections if one.name.startswith(store)]


async def only_collection(server: Server) -> str:
    (one,) = await collections_of(server)
    return one


async def test_one_collection_behind_an_alias_says_how_it_was_made(url: str) -> None:
    async with await opened(url, language="german"):
        pass
    server = await server_at(url)
    try:
        name = await only_collection(server)
        assert name.startswith(f"{server.settings.collection}__")
        found = await collection.find(server)
        assert found is not None
        assert found.name == name
        assert (found.dimension, found.has_words) == (VALUES, True)
        assert found.manifest is not None
        told = {key: found.manifest[key] for key in ("k1", "b", "average_length", "language")}
        assert told == {"k1": 1.2, "b": 0.75, "average_length": 40.0, "language": "german"}
    finally:
        await server.close()


async def test_it_tells_how_it_was_made_before_it_is_opened(url: str) -> None:
    config = MemoryConfig.build(url=url, embedder="hash")
    assert await Qdrant().made(config) is None
    async with await opened(url, language="none"):
        pass
    assert await Qdrant().made(config) == Made(HashEmbedder().fingerprint, "none")
    assert isinstance(deployment_of(url), Qdrant)
    assert isinstance(deployment_of("qdrants://h/x"), Qdrant)


async def test_another_embedder_is_refused_and_both_are_named(url: str) -> None:
    async with await opened(url):
        pass
    with pytest.raises(FingerprintError) as refused:
        await opened(url, embedder=HashEmbedder(48))
    assert str(HashEmbedder().fingerprint) in str(refused.value)
    assert str(HashEmbedder(48).fingerprint) in str(refused.value)
    async with await opened(url) as memory:
        assert (await memory.health())["rows"]["rows"] == 0


async def remade(url: str, dimension: int, words: bool, **manifest: Any) -> None:
    """Replace the store's collection by one of another layout and the same metadata."""
    from qdrant_client.http import models

    server = await server_at(url)
    try:
        found = await collection.find(server)
        assert found is not None
        assert found.manifest is not None
        told = {**found.manifest, **manifest}
        await server.call("drop", lambda client: client.delete_collection(found.name))
        sparse = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        vectors = {"dense": models.VectorParams(size=dimension, distance=models.Distance.DOT)}
        await server.call(
            "make",
            lambda client: client.create_collection(
                found.name,
                vectors_config=vectors,
                sparse_vectors_config=sparse if words else None,
                metadata={collection.MANIFEST: told},
            ),
        )
        await collection.point_alias(server, found.name)
    finally:
        await server.close()


async def test_a_wrong_dimension_in_the_collection_is_refused(url: str) -> None:
    async with await opened(url):
        pass
    await remade(url, 7, words=True)
    with pytest.raises(EngineError, match=f"holds 7 values a vector, not {VALUES}"):
        await opened(url)


async def test_a_collection_without_words_is_refused(url: str) -> None:
    async with await opened(url):
        pass
    await remade(url, VALUES, words=False)
    with pytest.raises(EngineError, match="no sparse vectors with IDF"):
        await opened(url)


async def test_a_newer_format_and_a_damaged_manifest_are_refused(url: str) -> None:
    async with await opened(url):
        pass
    await remade(url, VALUES, words=True, schema=99)
    with pytest.raises(StoreVersionError, match="99, newer than"):
        await opened(url)
    await remade(url, VALUES, words=True, schema=1)
    with pytest.raises(StoreVersionError, match="1, other than"):
        await opened(url)
    await remade(url, VALUES, words=True, schema=SCHEMA_VERSION, embedder={"name": "x"})
    with pytest.raises(NotAStoreError, match="damaged"):
        await opened(url)
    await remade(url, VALUES, words=True, format="another")
    with pytest.raises(NotAStoreError, match="not a store of ours"):
        await opened(url)


async def test_somebody_elses_collection_is_not_touched(url: str) -> None:
    from qdrant_client.http import models

    server = await server_at(url)
    store = server.settings.collection
    size = models.VectorParams(size=2, distance=models.Distance.COSINE)
    await server.call("make", lambda client: client.create_collection(store, vectors_config=size))
    await server.close()
    with pytest.raises(EngineError, match="not a store of ours"):
        await opened(url)
    server = await server_at(url)
    assert await only_collection(server) == store
    await server.close()


async def test_what_a_killed_creator_left_is_taken_on(url: str) -> None:
    async with await opened(url) as memory:
        await memory.store_memory(noted("Ana likes tea"))
    server = await server_at(url)
    name = await only_collection(server)

    from qdrant_client.http import models

    gone = models.DeleteAliasOperation(
        delete_alias=models.DeleteAlias(alias_name=server.settings.collection)
    )
    await server.call(
        "unname", lambda client: client.update_collection_aliases(change_aliases_operations=[gone])
    )
    await server.close()
    async with await opened(url) as memory:
        assert len(await memory.recall("tea", user_id="ana")) == 1
    server = await server_at(url)
    assert await only_collection(server) == name
    await server.close()


async def test_two_creators_at_once_make_one_collection(url: str) -> None:
    """Each sees no store, and then both make it, on a server at the same time."""
    server = await server_at(url)
    try:
        assert await collection.find(server) is None
        first, second = await asyncio.gather(
            *(collection.make(server, {"name": "hash"}, {"rows": by}, 8) for by in "ab")
        )
        assert first == second
        assert first.manifest in ({"rows": "a"}, {"rows": "b"})
        assert await only_collection(server) == first.name
        assert await collection.missing_indexes(server, first.name) == []
    finally:
        await server.close()


async def test_the_alias_names_another_collection_after_a_switch(url: str) -> None:
    server = await server_at(url)
    try:
        old = await collection.make(server, {"name": "old"}, {"n": 1}, 8)
        name = collection.name_of(server.settings.collection, {"name": "new"})
        await collection.make_collection(server, name, {"n": 2}, 16)
        found = await collection.find(server)
        assert found is not None
        assert found.name == old.name
        await collection.point_alias(server, name)
        found = await collection.find(server)
        assert found is not None
        assert (found.name, found.dimension, found.manifest) == (name, 16, {"n": 2})
    finally:
        await server.close()


async def test_a_reader_makes_nothing(url: str) -> None:
    with pytest.raises(NotAStoreError, match="no store"):
        await opened(url, read_only=True)
    server = await server_at(url)
    assert await collections_of(server) == []
    await server.close()


async def test_a_folder_of_local_mode_has_one_user(local_url: str) -> None:
    async with await opened(local_url) as memory:
        await memory.store_memory(noted("tea"))
        with pytest.raises(StoreLockedError, match="open in another process"):
            await opened(local_url)


async def test_another_machines_sessions_are_refused(url: str, tmp_path: Path) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    async with await opened(url, sessions=here) as memory:
        await memory.store_message(said("hello"), "talk")
    with pytest.raises(StoreError, match="are elsewhere"):
        await opened(url, sessions=there)
    async with await opened(url, sessions=here) as memory:
        await memory.store_message(said("again"), "talk")
    # The others are gone for good.
    async with await opened(f"{url}?take_over=true", sessions=there) as memory:
        await memory.store_message(said("from here on"), "talk")
        turns = [one.content for one in (await memory.get_context("default", "talk")).messages]
        assert turns == ["hello", "again", "from here on"]
    with pytest.raises(StoreError, match="are elsewhere"):
        await opened(url, sessions=here)


async def test_sessions_of_other_rows_are_refused(tmp_path: Path) -> None:
    sessions = str(tmp_path / "sessions")
    async with await opened(f"qdrant+local:{tmp_path / 'a'}", sessions=sessions):
        pass
    with pytest.raises(StoreError, match="belong to other rows"):
        await opened(f"qdrant+local:{tmp_path / 'b'}", sessions=sessions)


async def test_another_language_makes_the_words_anew(url: str) -> None:
    async with await opened(url, language="english", recall_cache_mb=0) as memory:
        await memory.store_memory(noted("Die Katzen schlafen"))
        await memory.store_memory(noted("Ein Hund bellt"))

    async def finds(memory: VectorMemory) -> list[str]:
        hits = await memory.recall("Katze", user_id="ana", profile="lexical")
        return [hit.content for hit in hits]

    async with await opened(url, recall_cache_mb=0) as memory:
        assert await finds(memory) == []
    async with await opened(url, language="german", recall_cache_mb=0) as memory:
        assert await finds(memory) == ["Die Katzen schlafen"]
    async with await opened(url, recall_cache_mb=0) as memory:
        assert await finds(memory) == ["Die Katzen schlafen"], "it does not remember its language"


async def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "S3CRET")
    started = time.monotonic()
    with pytest.raises(BackendUnavailable) as away:
        await opened("qdrant://127.0.0.1:9/x?timeout=2", sessions=":memory:")
    assert "qdrant://127.0.0.1:9/x" in str(away.value)
    assert "tried 5 times" in str(away.value)
    assert "Check that the server runs" in away.value.fix
    assert "S3CRET" not in str(away.value)
    assert time.monotonic() - started < 30


async def test_a_missing_package_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[qdrant\]"):
        await opened(url)


async def test_a_doctor_finds_nothing_wrong(url: str) -> None:
    config = MemoryConfig.build(url=url, embedder="hash")
    with pytest.raises(NotAStoreError, match="no store"):
        await Qdrant().diagnose(config)
    async with await opened(url):
        pass
    found = [one.found for one in await Qdrant().diagnose(config)]
    assert [one for one in found if "without TLS" not in one] == []


def test_one_event_loop_after_another(url: str) -> None:
    memory = VectorMemory(url, embedder="hash")
    asyncio.run(memory.store_memory(noted("Ana likes tea")))

    async def ask() -> list[str]:
        return [hit.content for hit in await memory.recall("tea", user_id="ana")]

    assert asyncio.run(ask()) == ["Ana likes tea"]
    asyncio.run(memory.close())


async def test_health_names_the_server_and_its_collection(url: str) -> None:
    async with await opened(url) as memory:
        health = (await memory.health())["rows"]
    assert health["url"] == url
    assert "__" in health["collection"]
    assert health["per_user_weights"]
