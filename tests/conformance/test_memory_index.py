"""The engine of ``memory://`` passes the suite of all engines."""

from __future__ import annotations

from bruno_memory_vec.indexers.memory import MemoryIndex
from bruno_memory_vec.testing import RowIndexConformance


class TestMemoryIndex(RowIndexConformance):
    persistent = False

    async def make_index(self) -> MemoryIndex:
        return MemoryIndex(self.dimension)
