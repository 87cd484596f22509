"""The cache in front of an index answers as the index does, whatever changes."""

from __future__ import annotations

from bruno_memory_vec.indexers.cached import CachedIndex
from bruno_memory_vec.indexers.lance import LanceIndex
from bruno_memory_vec.testing import VectorIndexConformance


class TestCachedLance(VectorIndexConformance):
    async def make_index(self) -> CachedIndex:
        inner = await LanceIndex.open(str(self.folder / "rows"), self.dimension)
        return CachedIndex(inner, 2**20)
