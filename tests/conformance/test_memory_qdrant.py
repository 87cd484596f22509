"""``VectorMemory`` over Qdrant: in local mode, and on a server if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import FindingConformance, ListingConformance, RecallConformance
from bruno_memory_vec.testing.memory_suite import noted, said
from tests.servers.fixtures import QdrantStore


class LocalMode:
    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory("qdrant+local::memory:", embedder="hash", **settings)


class TestLocalMode(LocalMode, RecallConformance):
    pass


@pytest.mark.slow
class TestLocalModeListing(LocalMode, ListingConformance):
    pass


@pytest.mark.slow
class TestLocalModeFinding(LocalMode, FindingConformance):
    pass


class TestFoundByTheEngine(FindingConformance):
    """As :class:`TestSearchedByTheEngine`."""

    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        url = "qdrant+local::memory:"
        return await open_memory(url, embedder="hash", recall_cache_mb=0, **settings)


@pytest.mark.slow
class TestSearchedByTheEngine(RecallConformance):
    """No rows are held, so each recall is Qdrant's own search for words and vectors."""

    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        url = "qdrant+local::memory:"
        return await open_memory(url, embedder="hash", recall_cache_mb=0, **settings)


class OnServer:
    folder: Path

    @pytest.fixture(autouse=True)
    def _store(self, qdrant_store: QdrantStore) -> None:
        self.store = qdrant_store

    async def open_memory(self, **settings: Any) -> VectorMemory:
        settings.setdefault("sessions", str(self.folder / "sessions"))
        return await open_memory(self.store.url, embedder="hash", **settings)


@pytest.mark.qdrant_server
class TestServer(OnServer, RecallConformance):
    pass


@pytest.mark.qdrant_server
class TestServerFinding(OnServer, FindingConformance):
    pass


@pytest.mark.qdrant_server
class TestServerListing(OnServer, ListingConformance):
    pass


@pytest.mark.slow
@pytest.mark.qdrant_server
class TestSearchedByTheServer(OnServer, RecallConformance):
    """As :class:`TestSearchedByTheEngine`."""

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await super().open_memory(recall_cache_mb=0, **settings)


async def test_a_folder_of_local_mode_keeps_everything(tmp_path: Path) -> None:
    url = f"qdrant+local:{tmp_path / 'store'}"
    async with await open_memory(url, embedder="hash") as memory:
        await memory.store_message(said("The key is under the mat"), "talk")
        await memory.store_memory(noted("Ana likes green tea"))
        session = await memory.create_session("ana")
    async with await open_memory(url, embedder="hash") as memory:
        assert [one.content for one in await memory.retrieve_messages("talk")] == [
            "The key is under the mat"
        ]
        assert (await memory.recall("tea", user_id="ana"))[0].content == "Ana likes green tea"
        assert await memory.get_session(session.session_id) is not None
        await memory.store_message(said("And the door is blue"), "talk")
        assert len((await memory.get_context("default", "talk")).messages) == 2
        report = await memory.maintain()
        assert not report.problems, report.problems
    async with await open_memory(url, embedder="hash", read_only=True) as memory:
        assert len(await memory.recall("door", user_id="default")) == 2
