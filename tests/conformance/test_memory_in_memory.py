"""``VectorMemory`` without a folder: the same, but nothing is kept."""

from __future__ import annotations

from typing import Any

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import FindingConformance, ListingConformance, RecallConformance


class TestInMemory(RecallConformance):
    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory("memory://", embedder="hash", **settings)


class TestInMemoryListing(ListingConformance):
    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory("memory://", embedder="hash", **settings)


class TestInMemoryFinding(FindingConformance):
    persistent = False

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory("memory://", embedder="hash", **settings)
