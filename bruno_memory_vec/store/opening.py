"""A store that is opened at its first use, and closed once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.errors import EmbeddingError, ReadOnlyError, StoreClosedError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.writing.projections import Progress, Projection

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.embedders.protocol import Embedder
    from bruno_memory_vec.writing.writer import Writer


@dataclass(slots=True)
class LazyStore:
    """Shared by a memory and its views.

    Attributes:
        config: how to open it.
        embedder: an embedder, or what :func:`resolve_embedder` makes one of.
        progress: told how far long work of the opening has come.
        projections: what else follows the rows.
    """

    config: MemoryConfig
    embedder: Any
    progress: Progress | None = None
    projections: Sequence[Projection] = ()
    _store: Store | None = None
    _opening: LoopLock = field(default_factory=LoopLock)
    _closed: bool = False
    _closing: asyncio.Future[None] | None = None

    async def get(self) -> Store:
        """The open store; opened now if this is its first use.

        Raises:
            StoreClosedError: it was closed.
            StoreError, EngineError, EmbeddingError: it cannot be opened.
        """
        if self._store is None or self._closed:
            async with self._opening:
                if self._closed:
                    raise StoreClosedError("the memory is closed", fix="Open it again.")
                if self._store is None:
                    embedder = await self._resolve_embedder()
                    self._store = await open_store(
                        self.config, embedder, self.progress, self.projections
                    )
        if self._store.lease is not None:
            self._store.lease.check()
        return self._store

    async def writer(self) -> Writer:
        """The writer of the open store.

        Raises:
            ReadOnlyError: the store was opened to read.
        """
        writer = (await self.get()).writer
        if writer is None:
            raise ReadOnlyError(
                "the memory was opened with read_only=True", fix="Open it without, to write."
            )
        return writer

    async def _resolve_embedder(self) -> Embedder:
        try:
            cache, limit = self.config.embedding_cache, self.config.embedding_cache_mb * 2**20
            return await asyncio.to_thread(
                resolve_embedder, self.embedder, cache=cache, cache_bytes=limit
            )
        except BrunoError:
            raise
        except Exception as error:  # whatever a user's provider raises
            raise EmbeddingError(
                f"the embedder {self.embedder!r} cannot be used: {error}",
                fix="Check that its provider answers.",
                cause=error,
            ) from error

    async def close(self) -> None:
        """Close the store, if it was ever opened. What is closed stays closed.

        A caller that is cancelled leaves the closing itself to finish; calling again waits for it.
        """
        if self._closing is None or self._closing.cancelled():
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._closed = True
        async with self._opening:
            store, self._store = self._store, None
            if store is not None:
                await store.close()
                await close_cache(store.embedder)
