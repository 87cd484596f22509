"""Memories over an engine that searches text itself, from its own search and from held rows."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.reference import SearchingReferenceIndex
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.store.deployment import Parts, analyser_for, language_of
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.testing import ListingConformance, MemoryConformance, RecallConformance


class TextDeployment:
    schemes = ("memory",)

    def __init__(self, held: bool) -> None:
        self.held = held

    async def open(self, config: Any, made_by: Any, progress: Any) -> Parts:
        analyser = analyser_for(language_of(config))
        rows: Any = SearchingReferenceIndex(made_by.dimension, analyser)
        if self.held:
            rows = CachedIndex(rows, 2**24)
        sessions = await SQLiteSessionStore.open(":memory:", config.max_messages)
        return Parts(rows, None, sessions, LocalLease(sessions))


class TextEngine:
    persistent = False
    held = False

    @pytest.fixture(autouse=True)
    def _deployed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "bruno_memory_vec.store.store.deployment_of", lambda url: TextDeployment(self.held)
        )

    async def open_memory(self, **settings: Any) -> Any:
        settings.setdefault("embedder", "hash")
        return await open_memory("memory://", **settings)


class HeldTextEngine(TextEngine):
    held = True


class TestTextEngineMemory(TextEngine, MemoryConformance):
    pass


class TestTextEngineRecall(TextEngine, RecallConformance):
    pass


class TestTextEngineListing(TextEngine, ListingConformance):
    pass


class TestHeldMemory(HeldTextEngine, MemoryConformance):
    pass


class TestHeldRecall(HeldTextEngine, RecallConformance):
    pass
