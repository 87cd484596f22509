"""Move a store that is no folder to another embedder, where its deployment can do that.

Nobody has it open meanwhile. The rows are copied with their new vectors beside the old ones, and
the deployment switches in one step. A killed process leaves a store of the old embedder or of the
new one, and the same move goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import EngineError, InvalidInputError, NotAStoreError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.store.deployment import (
    Deployment,
    Reembeds,
    TellsHowMade,
    deployment_of,
)
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.upkeep.reembedding.move import Move
from bruno_memory_vec.upkeep.reembedding.report import ReembedReport, Unembedding
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface


async def reembed_elsewhere(
    config: MemoryConfig,
    asked: str | Embedder | EmbeddingInterface,
    progress: Progress | None,
) -> ReembedReport:
    """Move a store that nobody has open to another embedder.

    Raises:
        InvalidInputError: its deployment cannot, or several processes may be writing to it.
        NotAStoreError: there is no store.
        EmbeddingError: the embedder failed. Finished commits are kept for the next call.
        EngineError: the rows cannot be read or written.
    """
    shown = masked(config.url)
    deployment: Deployment = deployment_of(config.url)
    if not isinstance(deployment, Reembeds) or not isinstance(deployment, TellsHowMade):
        raise InvalidInputError(
            "url",
            f"a store at {shown!r} cannot be re-embedded in its place",
            fix="Copy it into another store with the other embedder: bruno-memory-vec copy SOURCE "
            "TARGET --embedder NAME.",
        )
    made = await deployment.made(config)
    if made is None:
        raise NotAStoreError(f"there is no store at {shown}", fix="Name a store.")
    started = time.perf_counter()
    embedder = await asyncio.to_thread(
        resolve_embedder,
        asked,
        cache=config.embedding_cache,
        cache_bytes=config.embedding_cache_mb * 2**20,
    )
    try:
        fingerprint = await fingerprint_of(embedder)
        store = await open_store(config, Unembedding(made.fingerprint), progress)
        try:
            rows = await store.rows.count(Scope.all_users(), RowFilter())
            if fingerprint == made.fingerprint:
                return ReembedReport(fingerprint, fingerprint, rows)
            _refuse_shared(store, shown)
            second = await deployment.second_rows(config, store.rows, fingerprint)
            move = Move(store.rows, second.rows, embedder, progress)
            await move.run()
            assert store.writer is not None
            async with store.writer.exclusive:
                switching = time.perf_counter()
                await move.catch_up()
                if not await move.is_complete():
                    raise EngineError(
                        second.rows.name,
                        "re-embed the store",
                        "the rows and their copy do not agree",
                        fix="The store is as it was. Run bruno-memory-vec doctor on it.",
                    )
                await second.switch()
                waited = time.perf_counter() - switching
        finally:
            await store.close()
        await deployment.drop_others(config)
    finally:
        await close_cache(embedder)
    seconds = time.perf_counter() - started
    return ReembedReport(
        made.fingerprint,
        fingerprint,
        rows,
        move.embedded,
        move.resumed,
        None,
        seconds,
        waited,
    )


def _refuse_shared(store: Store, shown: str) -> None:
    """Refuse a store that others may write to: their last rows would have the old vectors."""
    if store.lease is None or not store.lease.exclusive:
        raise InvalidInputError(
            "sessions",
            f"other processes may be writing to {shown}, which has shared sessions",
            fix="Copy it into another store with the other embedder, and let all go on there: "
            "bruno-memory-vec copy SOURCE TARGET --embedder NAME.",
        )
