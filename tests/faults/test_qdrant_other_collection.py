"""A collection under the store's name that is another's, or has vectors of another dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import FingerprintError
from tests.durability.support import message
from tests.servers.fixtures import qdrant_client_of

pytest.importorskip("qdrant_client")

_OTHER = 7  # dimensions


@dataclass(frozen=True, slots=True)
class Place:
    """A place for a store, and a client of its Qdrant for what a test does there itself."""

    url: str
    name: str
    client: Callable[[], Any]


@pytest.fixture(params=["local", pytest.param("server", marks=pytest.mark.qdrant_server)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """In a folder that the client's local mode opens, and in a real server."""
    from qdrant_client import QdrantClient

    if request.param == "server":
        store = request.getfixturevalue("qdrant_store")
        return Place(store.url, store.name, lambda: qdrant_client_of(store.server))
    folder = str(tmp_path / "qdrant")
    url = f"qdrant+local:{folder}?collection=memory"
    return Place(url, "memory", lambda: QdrantClient(path=folder))


@contextmanager
def _client(place: Place) -> Iterator[Any]:
    client = place.client()
    try:
        yield client
    finally:
        client.close()


def _make(client: Any, name: str, **options: Any) -> None:
    """A collection with our vectors' names, another dimension, and one point."""
    from qdrant_client import models

    vectors = {"dense": models.VectorParams(size=_OTHER, distance=models.Distance.DOT)}
    words = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    client.create_collection(name, vectors_config=vectors, sparse_vectors_config=words, **options)
    point = models.PointStruct(id=1, vector={"dense": [1.0] * _OTHER}, payload={"whose": "mine"})
    client.upsert(name, [point], wait=True)


def _is_untouched(client: Any, name: str) -> bool:
    (point,) = client.scroll(name, with_vectors=True)[0]
    return bool(point.payload == {"whose": "mine"} and len(point.vector["dense"]) == _OTHER)


async def test_a_collection_that_is_anothers_is_refused_and_untouched(
    place: Place, tmp_path: Path
) -> None:
    with _client(place) as client:
        _make(client, place.name)
    with pytest.raises(BrunoError, match="not a store of ours") as raised:
        await open_memory(place.url, sessions=str(tmp_path / "sessions"), embedder="hash")
    assert place.name in str(raised.value)
    with _client(place) as client:
        assert _is_untouched(client, place.name)


async def test_a_store_whose_vectors_have_another_dimension_is_refused_and_untouched(
    place: Place, tmp_path: Path
) -> None:
    """Somebody has made its collection anew, with the metadata and without the right vectors."""
    sessions = str(tmp_path / "sessions")
    async with open_memory(place.url, sessions=sessions, embedder="hash") as memory:
        await memory.store_message(message("here"), "talk", user_id="ana")
    with _client(place) as client:
        (alias,) = (one for one in client.get_aliases().aliases if one.alias_name == place.name)
        name = alias.collection_name
        metadata = client.get_collection(name).config.metadata
        client.delete_collection(name)
        _make(client, name, metadata=metadata)
        _point(client, place.name, name)
    with pytest.raises(BrunoError, match=f"{_OTHER} values a vector, not 64"):
        await open_memory(place.url, sessions=sessions, embedder="hash")
    with _client(place) as client:
        assert _is_untouched(client, name)


async def test_another_embedder_is_refused(place: Place, tmp_path: Path) -> None:
    sessions = str(tmp_path / "sessions")
    async with open_memory(place.url, sessions=sessions, embedder="hash") as memory:
        await memory.store_message(message("here"), "talk", user_id="ana")
    with pytest.raises(FingerprintError):
        await open_memory(place.url, sessions=sessions, embedder="static")
    async with open_memory(place.url, sessions=sessions, embedder="hash") as memory:
        assert [one.content for one in await memory.retrieve_messages("talk")] == ["here"]


def _point(client: Any, alias: str, name: str) -> None:
    from qdrant_client import models

    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=name, alias_name=alias)
            )
        ]
    )
