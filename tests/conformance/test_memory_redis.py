"""``VectorMemory`` with its sessions in Redis passes the whole suite as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import ListingConformance, MemoryConformance, RecallConformance
from tests.text_engine import TextDeployment

if TYPE_CHECKING:
    from tests.servers.fixtures import QdrantStore
    from tests.servers.redis_cluster import RedisCluster

pytestmark = pytest.mark.redis_server


class WithRedis:
    """Sessions in the Redis that tests share, each store under its own name."""

    @pytest.fixture(autouse=True)
    def _sessions(self, redis_url: str) -> None:
        self.sessions = redis_url


class InFolder:
    sessions: str
    folder: Any

    async def open_memory(self, **settings: Any) -> VectorMemory:
        url = str(self.folder / "memory")
        return await open_memory(url, embedder="hash", sessions=self.sessions, **settings)


@pytest.mark.slow
class TestFolder(WithRedis, InFolder, RecallConformance): ...


@pytest.mark.slow
class TestFolderListing(WithRedis, InFolder, ListingConformance): ...


@pytest.mark.slow
class TestFolderWithSQLiteElsewhere(InFolder, ListingConformance):
    @pytest.fixture(autouse=True)
    def _sessions(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.sessions = str(tmp_path_factory.mktemp("sessions"))


class InQdrant:
    """Rows in Qdrant's local mode, in memory. The lease is the one that many processes share."""

    persistent = False
    sessions: str

    async def open_memory(self, **settings: Any) -> VectorMemory:
        # Redis keeps its part, so each one that is opened is another store.
        url = f"qdrant+local::memory:?collection={uuid4().hex}"
        return await open_memory(url, embedder="hash", sessions=self.sessions, **settings)


class TestQdrant(WithRedis, InQdrant, MemoryConformance): ...


@pytest.mark.slow
class TestQdrantRecall(WithRedis, InQdrant, RecallConformance): ...


@pytest.mark.slow
class TestQdrantListing(InQdrant, ListingConformance):
    @pytest.fixture(autouse=True)
    def _sessions(self, redis_cluster: RedisCluster) -> None:
        self.sessions = redis_cluster.url


class OnQdrantServer:
    """Where many processes write: rows on a Qdrant server, sessions in Redis."""

    sessions: str

    @pytest.fixture(autouse=True)
    def _store(self, qdrant_store: QdrantStore) -> None:
        self.store = qdrant_store

    async def open_memory(self, **settings: Any) -> VectorMemory:
        url = self.store.url
        return await open_memory(url, embedder="hash", sessions=self.sessions, **settings)


@pytest.mark.qdrant_server
class TestQdrantServer(WithRedis, OnQdrantServer, RecallConformance): ...


@pytest.mark.qdrant_server
class TestQdrantServerListing(WithRedis, OnQdrantServer, ListingConformance): ...


class InReference:
    """The reference engine, whose rows are held in memory; it searches text itself."""

    persistent = False
    sessions: str

    @pytest.fixture(autouse=True)
    def _deployed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        deployment = TextDeployment(held=True)
        monkeypatch.setattr("bruno_memory_vec.store.store.deployment_of", lambda url: deployment)

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory("memory://", embedder="hash", sessions=self.sessions, **settings)


@pytest.mark.slow
class TestReference(WithRedis, InReference, RecallConformance): ...
