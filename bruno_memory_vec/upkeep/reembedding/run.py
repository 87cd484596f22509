"""Move a store to another embedder; until the switch it answers with the old vectors.

The rows are copied with their new vectors into a new folder; the switch is one write of
``store.json``, which names that folder. A killed process leaves a store of the old embedder or of
the new one. A move that was stopped is continued by the next one to the same embedder.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    InvalidInputError,
    NotAStoreError,
    ReadOnlyError,
    StoreError,
)
from bruno_memory_vec.indexers.forwarding import capability, drop_user_files
from bruno_memory_vec.indexers.protocols import Erases, RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store import moves as files
from bruno_memory_vec.store.manifest import Manifest, folder_of, of_one
from bruno_memory_vec.store.moves import Begun
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.upkeep.reembedding.elsewhere import reembed_elsewhere
from bruno_memory_vec.upkeep.reembedding.move import Move
from bruno_memory_vec.upkeep.reembedding.report import ReembedReport, Unembedding
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface

_log = get_logger(__name__)

_VALUE_BYTES = 4
# Needed space as a multiple of the new rows: they are rewritten once while they are compacted.
_ROOM = 2
_MEGABYTE = 2**20


async def reembed(
    url: str | None = None,
    embedder: str | Embedder | EmbeddingInterface = "static",
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> ReembedReport:
    """Move a store that is not open here to another embedder.

    Other processes may read it meanwhile; after the switch, their reads raise an error that asks
    to open it again. The old embedder is not loaded, so it need not be available. To move an open
    memory, use
    :meth:`VectorMemory.reembed <bruno_memory_vec.VectorMemory.reembed>`.

    Args:
        url: the store's folder, or its URL in Qdrant. Default: ``BRUNO_MEMORY_URL``, else
            ``./bruno-memory``.
        embedder: the one to move to; the store's own one abandons a move that has begun.
        progress: called with the number of rows that are done.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        EmbeddingError: the embedder failed. Finished commits are kept for the next call.
        BackendUnavailable: the folder cannot be written, or has too little space.
        InvalidInputError: a setting is not usable, or the store is not kept in a folder.
    """
    named = {} if url is None else {"url": str(url)}
    config = of_one(MemoryConfig.build(**named, **settings, read_only=False), "a re-embedding")
    if folder_of(config.url) is None:
        return await reembed_elsewhere(config, embedder, progress)
    folder = _folder(config)
    found = await asyncio.to_thread(manifest.read, folder)
    if found is None:
        raise NotAStoreError(f"there is no store in {folder}", fix="Name the folder of a store.")
    store = await open_store(config, Unembedding(found.fingerprint), progress)
    try:
        return await reembed_store(store, embedder, progress)
    finally:
        await store.close()
        await close_cache(store.embedder)


async def reembed_store(
    store: Store,
    embedder: str | Embedder | EmbeddingInterface,
    progress: Progress | None = None,
) -> ReembedReport:
    """Move an open store. Reads and writes go on meanwhile; at the end it uses the new vectors.

    If the caller is cancelled, the move stops at the next commit.

    Args:
        store: the open store.
        embedder, progress: as for :func:`reembed`.

    Raises: as :func:`reembed`, and
        ReadOnlyError: the store was opened to read.
        StoreError: another call is moving it.
        StoreClosedError: it was closed meanwhile.
    """
    folder = _folder(store.config)
    if store.writer is None:
        raise ReadOnlyError(
            "the memory was opened with read_only=True", fix="Open it without, to re-embed it."
        )
    if store.stop_move is not None:
        raise StoreError(
            "this memory is being re-embedded by another call", fix="Wait until that has ended."
        )
    work = _Reembedding(store, folder, progress)
    # A separate task, so that it is stopped only between commits and never during the switch.
    task = asyncio.ensure_future(work.run(embedder))

    async def stop() -> None:
        work.stop()
        if task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])

    store.stop_move = stop
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await stop()
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it
        raise
    finally:
        store.stop_move = None


def _folder(config: MemoryConfig) -> Path:
    folder = folder_of(config.url)
    if folder is None:
        raise InvalidInputError(
            "url",
            f"{masked(config.url)!r} names no folder, and only one can be re-embedded while it is "
            "open",
            fix="Close it. If it is in Qdrant, move it by bruno-memory-vec reembed; any store can "
            "be copied into another one with the other embedder: bruno-memory-vec copy.",
        )
    return folder


class _Reembedding:
    """One call: from an embedder to the switch."""

    def __init__(self, store: Store, folder: Path, progress: Progress | None) -> None:
        self._store = store
        self._folder = folder
        self._progress = progress
        self._move: Move | None = None
        self._stopped = False
        self._settled: set[Path] = set()

    def stop(self) -> None:
        """End soon, unless the switch has begun."""
        self._stopped = True
        if self._move is not None:
            self._move.stop()

    async def run(self, asked: Any) -> ReembedReport:
        started = time.perf_counter()
        embedder = await asyncio.to_thread(
            resolve_embedder,
            asked,
            cache=self._store.config.embedding_cache,
            cache_bytes=self._store.config.embedding_cache_mb * 2**20,
        )
        try:
            report = await self._run(embedder)
        except BaseException:
            await close_cache(embedder)
            raise
        return replace(report, seconds=time.perf_counter() - started)

    async def _run(self, embedder: Embedder) -> ReembedReport:
        fingerprint = await fingerprint_of(embedder)
        found = await asyncio.to_thread(_manifest, self._folder)
        begun = await asyncio.to_thread(files.begun, self._folder, found)
        before = found.fingerprint
        discarded: Fingerprint | None = None
        if begun is not None and not _goes_on(begun, fingerprint):
            await self._give_up(begun)
            discarded, begun = begun.fingerprint, None
        rows = await self._store.rows.count(Scope.all_users(), RowFilter())
        if fingerprint == before:
            return ReembedReport(before, fingerprint, rows, discarded=discarded)
        await self._check_room(rows, fingerprint.dimension - before.dimension)
        copy, name = await self._open_copy(found, begun, fingerprint)
        before_switch = self._store.rows
        try:
            move = self._move = Move(self._store.rows, copy, embedder, self._progress)
            if self._stopped:
                move.stop()
            await move.run()
            await asyncio.to_thread(files.settle, self._folder / name, self._settled)
            waited = await self._switch(move, copy, embedder, name)
        except BaseException:
            if self._store.rows is before_switch:
                await copy.close()
            raise
        rows = await copy.count(Scope.all_users(), RowFilter())
        return ReembedReport(
            before, fingerprint, rows, move.embedded, move.resumed, discarded, 0.0, waited
        )

    async def _open_copy(
        self, found: Manifest, begun: Begun | None, fingerprint: Fingerprint
    ) -> tuple[RowIndex, str]:
        """The index of the move that has begun, or of a new move, and its folder's name."""
        if begun is not None:
            try:
                path = str(self._folder / begun.rows)
                return await self._open(path, fingerprint), begun.rows
            except BackendUnavailable:
                raise
            except EngineError as error:
                _log.warning("reembed_begun_anew", reason=str(error))
                await self._give_up(begun)
        self._store.check()
        begun = await asyncio.to_thread(files.begin, self._folder, found, fingerprint)
        path = str(self._folder / begun.rows)
        return await self._open(path, fingerprint), begun.rows

    async def _open(self, path: str, fingerprint: Fingerprint) -> RowIndex:
        from bruno_memory_vec.indexers.lance.index import LanceIndex

        config, sealing = self._store.config, capability(self._store.rows, SealedIndex)
        copy = await LanceIndex.open(
            path,
            fingerprint.dimension if sealing is None else sealing.stored(fingerprint.dimension),
            fsync=config.fsync,
            approximate=config.approximate_search and sealing is None,
        )
        copy.watch = self._store.check
        return copy if sealing is None else sealing.of_vectors(copy, fingerprint.dimension)

    async def _give_up(self, begun: Begun) -> None:
        self._store.check()
        _log.info("reembed_discarded", embedder=str(begun.fingerprint))
        await asyncio.to_thread(files.forget, self._folder)
        await asyncio.to_thread(files.remove, self._folder / begun.rows)

    async def _check_room(self, rows: int, more_values: int) -> None:
        """Refuse a move for which there is too little space."""
        size = (await self._store.rows.health())["bytes"] + rows * more_values * _VALUE_BYTES
        free = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free
        if free < _ROOM * size:
            raise BackendUnavailable(
                "folder",
                "re-embed the store",
                f"it takes about {_ROOM * size / _MEGABYTE:,.0f} MiB for a while, and "
                f"{free / _MEGABYTE:,.0f} MiB are free",
                fix=f"Make room where {self._folder} is.",
            )

    async def _switch(self, move: Move, copy: RowIndex, embedder: Embedder, name: str) -> float:
        """Copy the newest rows, and switch the store to the copy. Returns the seconds it took."""
        store, writer = self._store, self._store.writer
        assert writer is not None
        async with writer.exclusive:
            started = time.perf_counter()
            await move.catch_up()
            if not await move.is_complete():
                raise EngineError(
                    copy.name,
                    "re-embed the store",
                    "the rows and their copy do not agree",
                    fix="The store is as it was. Run `bruno-memory-vec doctor` on it.",
                )
            if writer.has_erasable:
                # What was deleted is not in the copy, but in the old rows and what is derived.
                erases = capability(copy, Erases)
                assert erases is not None
                await erases.mark_erasable()
            await asyncio.to_thread(files.settle, self._folder / name, self._settled)
            store.check()
            await drop_user_files(store.rows, for_good=True)
            # Not a task, which an ending event loop would cancel: once store.json names the copy,
            # this process has to use it too.
            naming = asyncio.get_running_loop().run_in_executor(
                None, _name_rows, self._folder, name, embedder.fingerprint
            )
            try:
                await asyncio.shield(naming)
            finally:
                await asyncio.wait([naming])
                if naming.exception() is None:
                    names = name, naming.result()
                    store.switch(copy, embedder, *(self._folder / each for each in names))
            seconds = time.perf_counter() - started
        await asyncio.to_thread(files.forget, self._folder)
        return seconds


def _goes_on(begun: Begun, fingerprint: Fingerprint) -> bool:
    return begun.fingerprint == fingerprint and begun.schema == SCHEMA_VERSION


def _manifest(folder: Path) -> Manifest:
    found = manifest.read(folder)
    if found is None:
        raise NotAStoreError(
            f"{folder} has no {manifest.FILE} any more",
            fix="Restore it from a snapshot or a backup.",
        )
    return found


def _name_rows(folder: Path, name: str, fingerprint: Fingerprint) -> str:
    """The switch on disk: one write. Returns the folder of the rows until now."""
    found = _manifest(folder)
    replace(found, rows=name, fingerprint=fingerprint).write(folder)
    return found.rows
