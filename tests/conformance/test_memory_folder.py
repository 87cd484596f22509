"""``VectorMemory`` in a folder passes the whole suite as it is."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import FindingConformance, ListingConformance, RecallConformance


class TestFolder(RecallConformance):
    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)


class TestFolderListing(ListingConformance):
    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)


@pytest.mark.slow
class TestFolderFinding(FindingConformance):
    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)


class TestFolderFindingOfNothingHeld(FindingConformance):
    """No rows are held in memory, so each is read from LanceDB."""

    async def open_memory(self, **settings: Any) -> VectorMemory:
        folder = str(self.folder / "memory")
        return await open_memory(folder, embedder="hash", recall_cache_mb=0, **settings)
