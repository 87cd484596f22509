"""Qdrant passes the suites of engines: in the client's local mode, and on a server if there is one.

A server is named by ``QDRANT_URL`` (``http://localhost:6333``) and its key, where it has one, by
``QDRANT_API_KEY``. Each test makes its own collection there and deletes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.qdrant import collection
from bruno_memory_vec.indexers.qdrant.index import QdrantIndex
from bruno_memory_vec.indexers.qdrant.server import Server
from bruno_memory_vec.indexers.qdrant.settings import QdrantSettings
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing import RowIndexConformance, SearchesTextConformance

MADE_BY = {"name": "hash"}
GRPC_PORT = 6334


async def opened(settings: QdrantSettings, dimension: int) -> QdrantIndex:
    """The index of a store, which is made if there is none."""
    server = await Server.open(settings)
    found = await collection.find(server)
    if found is None:
        found = await collection.make(server, MADE_BY, {}, dimension)
    return QdrantIndex(server, found.name, dimension, analyser("english"), settings.average_length)


def locally(folder: Path) -> QdrantSettings:
    path = str(folder / "qdrant")
    return QdrantSettings("store", f"qdrant+local:{path}", path=path)


def on_server(name: str, *, grpc: bool = False) -> QdrantSettings:
    url = os.environ["QDRANT_URL"]
    return QdrantSettings(
        name, url, address=url, grpc=grpc, api_key=os.environ.get("QDRANT_API_KEY")
    )


async def drop(settings: QdrantSettings) -> None:
    """Delete every collection of a store."""
    server = await Server.open(settings)
    try:
        every = await server.call("list", lambda client: client.get_collections())
        for one in every.collections:
            if one.name.startswith(f"{settings.collection}__"):
                await server.call(
                    "drop", lambda client, name=one.name: client.delete_collection(name)
                )
    finally:
        await server.close()


class TestLocalMode(RowIndexConformance):
    async def make_index(self) -> QdrantIndex:
        return await opened(locally(self.folder), self.dimension)


class TestLocalText(SearchesTextConformance):
    async def make_index(self) -> QdrantIndex:
        settings = QdrantSettings("store", "qdrant+local::memory:", path=":memory:")
        return await opened(settings, self.dimension)


class OnServer:
    """Each test has a collection of its own on the server."""

    grpc = False

    @pytest_asyncio.fixture(autouse=True)
    async def _collection(self) -> AsyncIterator[None]:
        self.settings = on_server(f"bmv-test-{uuid4().hex}", grpc=self.grpc)
        yield
        await drop(self.settings)

    async def make_index(self) -> QdrantIndex:
        return await opened(self.settings, self.dimension)  # type: ignore[attr-defined]


@pytest.mark.qdrant_server
class TestServer(OnServer, RowIndexConformance):
    pass


@pytest.mark.qdrant_server
class TestServerText(OnServer, SearchesTextConformance):
    pass


class ByGrpc(OnServer):
    grpc = True

    @pytest.fixture(autouse=True, scope="class")
    def _answers_grpc(self) -> None:
        host = urlsplit(os.environ["QDRANT_URL"]).hostname or "localhost"
        try:
            socket.create_connection((host, GRPC_PORT), timeout=2).close()
        except OSError as error:
            pytest.skip(f"needs Qdrant's gRPC at {host}:{GRPC_PORT}: {error}")


@pytest.mark.qdrant_server
class TestServerByGrpc(ByGrpc, RowIndexConformance):
    pass


@pytest.mark.slow
@pytest.mark.qdrant_server
class TestServerTextByGrpc(ByGrpc, SearchesTextConformance):
    pass
