"""``VectorMemory`` in an encrypted folder passes the whole suite as it is."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.testing import (
    FindingConformance,
    ListingConformance,
    RecallConformance,
)

KEY = bytes(range(32))


class _Encrypted:
    folder: Any

    async def open_memory(self, **settings: Any) -> VectorMemory:
        folder = str(self.folder / "memory")
        return await open_memory(folder, embedder="hash", key=KEY, **settings)


class TestEncryptedListing(_Encrypted, ListingConformance):
    pass


@pytest.mark.slow
class TestEncryptedRecall(_Encrypted, RecallConformance):
    pass


@pytest.mark.slow
class TestEncryptedFindingOfNothingHeld(_Encrypted, FindingConformance):
    """No rows are held in memory, so each is opened anew."""

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await super().open_memory(recall_cache_mb=0, **settings)
