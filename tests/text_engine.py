"""A deployment of an engine that searches text itself, for tests: the reference engine."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.reference import SearchingReferenceIndex
from bruno_memory_vec.sessions.choice import IN_MEMORY, session_store_of
from bruno_memory_vec.store.deployment import Parts, analyser_for, language_of
from bruno_memory_vec.store.lease import LocalLease


class TextDeployment:
    """Opens the reference engine, with its rows held in memory or asked each time."""

    schemes = ("memory",)

    def __init__(self, *, held: bool) -> None:
        self.held = held

    async def open(self, config: Any, made_by: Any, progress: Any) -> Parts:
        analyser = analyser_for(language_of(config))
        url = config.sessions or IN_MEMORY[0]
        opened = await session_store_of(url).open(url, uuid4().hex, config)
        rows: Any = SearchingReferenceIndex(made_by.dimension, analyser)
        if self.held:
            rows = CachedIndex(rows, 2**24, versions=opened.versions)
        lease = opened.lease or LocalLease(opened.sessions)
        return Parts(rows, None, opened.sessions, lease)
