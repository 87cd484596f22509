"""``memory://``: a store that lives as long as its object."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.sessions.choice import IN_MEMORY as SESSIONS_IN_MEMORY
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.store.deployment import Made, Parts, analyser_for, language_of
from bruno_memory_vec.store.keys.opening import refuse_key
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.manifest import IN_MEMORY
from bruno_memory_vec.writing.lease import RunsAlone
from bruno_memory_vec.writing.projections import Progress


class InMemory:
    """Rows as arrays, Tantivy and SQLite, all without a file."""

    schemes = ("memory",)

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """As of :class:`~bruno_memory_vec.store.deployment.Deployment`."""
        from bruno_memory_vec.indexers.memory import MemoryIndex
        from bruno_memory_vec.indexers.tantivy.index import TantivyIndex

        language = language_of(config)
        _check(config)
        refuse_key(config, f"{IN_MEMORY} keeps nothing on a disk, and")
        if config.read_only:
            raise InvalidInputError(
                "read_only", f"{IN_MEMORY} has nothing to read", fix="Open it to write."
            )
        analyser = await asyncio.to_thread(analyser_for, language)
        where = config.sessions or SESSIONS_IN_MEMORY[0]
        opened = await session_store_of(where).open(where, uuid4().hex, config)
        rows = MemoryIndex(made_by.dimension)
        try:
            lexical = await asyncio.to_thread(TantivyIndex, None, analyser)
        except BaseException:
            await opened.close()
            raise
        lease = opened.lease or LocalLease(opened.sessions)
        if isinstance(lease, RunsAlone):
            lease.alone()
        return Parts(rows, lexical, opened.sessions, lease)

    async def made(self, config: MemoryConfig) -> Made | None:
        """As of :class:`~bruno_memory_vec.store.deployment.TellsHowMade`: there never is one."""
        _check(config)
        return None


def _check(config: MemoryConfig) -> None:
    if config.url != IN_MEMORY:
        raise InvalidInputError(
            "url", f"{masked(config.url)!r} names nothing in memory", fix=f"Write {IN_MEMORY}."
        )
