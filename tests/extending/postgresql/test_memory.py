"""A memory over PostgreSQL passes the suites of memories, with its sessions in a folder."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import FindingConformance, ListingConformance, RecallConformance
from bruno_memory_vec.testing.memory_suite import MemorySuite
from tests.extending.postgresql.stores import empty


class OnServer(MemorySuite):
    @pytest_asyncio.fixture(autouse=True)
    async def _give_store(self, server_url: str) -> None:
        self.url = f"{server_url}?schema=memory&pool=2"
        await empty(self.url)

    async def open_memory(self, **settings: Any) -> VectorMemory:
        sessions = str(self.folder / "sessions")
        return await open_memory(self.url, embedder="hash", sessions=sessions, **settings)


@pytest.mark.slow
class TestRecall(OnServer, RecallConformance):
    pass


@pytest.mark.slow
class TestListing(OnServer, ListingConformance):
    pass


@pytest.mark.slow
class TestFinding(OnServer, FindingConformance):
    pass
