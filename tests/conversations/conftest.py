"""A memory with rows in LanceDB and sessions in SQLite, and one with Qdrant and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bruno_memory_vec import VectorMemory, open_memory


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis_server)])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    """In both, a fork, an archive and a note are the same."""
    settings: dict[str, Any] = {}
    url = "memory://"
    if request.param == "redis":
        settings["sessions"] = request.getfixturevalue("redis_url")
        url = f"qdrant+local::memory:?collection={uuid4().hex}"
    async with open_memory(url, embedder="hash", **settings) as opened:
        yield opened
