"""A memory with everything in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from tests.copying.support import fill


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        await fill(opened)
        yield opened
