"""A memory over PostgreSQL passes the suites of memories."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import ListingConformance, RecallConformance


class TestPostgreSQL(RecallConformance):
    @pytest.fixture(autouse=True)
    def _give_store(self, url: str) -> None:
        self.url = url

    async def open_memory(self, **settings: Any) -> VectorMemory:
        sessions = str(self.folder / "sessions")
        return await open_memory(self.url, embedder="hash", sessions=sessions, **settings)


class TestPostgreSQLListing(ListingConformance):
    @pytest.fixture(autouse=True)
    def _give_store(self, url: str) -> None:
        self.url = url

    async def open_memory(self, **settings: Any) -> VectorMemory:
        sessions = str(self.folder / "sessions")
        return await open_memory(self.url, embedder="hash", sessions=sessions, **settings)
