"""``VectorMemory`` in a folder passes the whole suite as it is."""

from __future__ import annotations

from typing import Any

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import ListingConformance, RecallConformance


class TestFolder(RecallConformance):
    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)


class TestFolderListing(ListingConformance):
    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)
