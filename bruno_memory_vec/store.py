"""An open store: its engines, its writer, and how they are brought together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from bruno_memory_vec import manifest
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import (
    BackendUnavailable,
    IndexDamaged,
    InvalidInputError,
    NotAStoreError,
)
from bruno_memory_vec.following import Progress, follow_rows
from bruno_memory_vec.indexers.analysis import LANGUAGES, Analyser, analyser
from bruno_memory_vec.indexers.protocols import LexicalIndex, VectorIndex
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.known_ids import KnownIds
from bruno_memory_vec.locking import WriterLock
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.manifest import Manifest
from bruno_memory_vec.recall import Retriever
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.writer import Writer

_log = get_logger(__name__)

_DEFAULT_LANGUAGE = "english"


@dataclass(slots=True)
class Store:
    """The parts of an open memory. Open one with :func:`open_store`."""

    config: MemoryConfig
    embedder: Embedder
    rows: VectorIndex
    lexical: LexicalIndex
    sessions: SessionStore
    writer: Writer | None
    retriever: Retriever
    lock: WriterLock | None

    async def close(self) -> None:
        """Finish, flush and let go of everything, even where one part fails."""
        parts: list[Callable[[], Any]] = [
            self.lexical.close,
            self.sessions.close,
            self.rows.close,
        ]
        if self.writer is not None:
            parts.insert(0, self.writer.close)
        failed: Exception | None = None
        try:
            for close in parts:
                try:
                    await close()
                except Exception as error:
                    _log.error("close_failed", error=str(error))
                    failed = failed or error
        finally:
            if self.lock is not None:
                self.lock.release()
        if failed is not None:
            raise failed


async def open_store(
    config: MemoryConfig, embedder: Embedder, progress: Progress | None = None
) -> Store:
    """Open the store that ``config.url`` names, or make it.

    Raises:
        StoreError: the folder is no store, is locked, or was made by another embedder or version.
        EngineError: an engine cannot be opened.
        InvalidInputError: the url or the language is not known.
    """
    language = _language(config)
    # Reading it may load a model, which is not for the event loop.
    fingerprint = await fingerprint_of(embedder)
    folder = manifest.folder_of(config.url)
    if folder is None:
        return await _open_in_memory(config, embedder, language)
    found = await asyncio.to_thread(manifest.read, folder)
    if found is not None:
        found.check(fingerprint, folder)
    elif config.read_only:
        raise NotAStoreError(
            f"there is no store in {folder}", fix="Open it once without read_only to make it."
        )
    lock = None
    if not config.read_only:
        lock = await asyncio.to_thread(_lock, folder)
    try:
        return await _open_folder(config, embedder, folder, lock, language, progress)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def _language(config: MemoryConfig) -> str | None:
    """The language asked for; None where none was, "none" where there is to be no stemming."""
    if config.language not in (None, "none", *LANGUAGES):
        raise InvalidInputError(
            "language",
            f"there is no stemmer for {config.language!r}",
            fix=f"Choose one of {', '.join(sorted(LANGUAGES))}, or none.",
        )
    return config.language


def _lock(folder: Path) -> WriterLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error
    return WriterLock(folder)


def _stemmer(language: str | None) -> Analyser:
    return analyser(None if language == "none" else language)


async def _open_in_memory(config: MemoryConfig, embedder: Embedder, language: str | None) -> Store:
    from bruno_memory_vec.indexers.reference import ReferenceIndex, ReferenceLexicalIndex
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

    if config.read_only:
        raise InvalidInputError(
            "read_only", f"{manifest.IN_MEMORY} has nothing to read", fix="Open it to write."
        )
    words = await asyncio.to_thread(_stemmer, language or _DEFAULT_LANGUAGE)
    dimension = embedder.fingerprint.dimension
    rows = ReferenceIndex(dimension)
    lexical = ReferenceLexicalIndex(words)
    sessions = await SQLiteSessionStore.open(":memory:", config.max_messages)
    writer = Writer(rows, lexical, sessions, embedder, KnownIds(), 0, row_schema(dimension))
    retriever = Retriever(rows, lexical, embedder, writer)
    return Store(config, embedder, rows, lexical, sessions, writer, retriever, None)


async def _open_folder(
    config: MemoryConfig,
    embedder: Embedder,
    folder: Path,
    lock: WriterLock | None,
    language: str | None,
    progress: Progress | None,
) -> Store:
    from bruno_memory_vec.indexers.lance import LanceIndex

    # Again, under the lock: another process may have made the store a moment ago.
    found = await asyncio.to_thread(manifest.read, folder)
    stored_language = _DEFAULT_LANGUAGE if found is None else (found.language or "none")
    wanted = stored_language if language is None or config.read_only else language
    words = await asyncio.to_thread(_stemmer, wanted)
    if found is not None and await asyncio.to_thread(_lost_its_rows, folder):
        raise NotAStoreError(
            f"{folder} has no rows any more, though it had some",
            fix="Restore its `rows` folder from a backup, or begin anew in another folder.",
        )
    if found is None:
        await asyncio.to_thread(Manifest(embedder.fingerprint, words.language).write, folder)
    else:
        found.check(embedder.fingerprint, folder)
    dimension = embedder.fingerprint.dimension
    opened: list[Any] = []
    try:
        rows = await LanceIndex.open(str(folder / "rows"), dimension, read_only=config.read_only)
        opened.append(rows)
        lexical = await asyncio.to_thread(
            _open_lexical, folder / "lexical", words, config.read_only, wanted != stored_language
        )
        opened.append(lexical)
        if wanted != stored_language:
            await asyncio.to_thread(Manifest(embedder.fingerprint, words.language).write, folder)
        sessions = await _open_sessions(folder / "sessions.sqlite", config)
        opened.append(sessions)
        writer = None
        if not config.read_only:
            known = KnownIds()
            stored = await _load_ids(rows, known)
            await follow_rows(rows, lexical, sessions, progress)
            # A number that was given is never given again, even if its row is gone by now.
            newest = max(stored, await sessions.last_seq(), await lexical.last_seq())
            writer = Writer(
                rows, lexical, sessions, embedder, known, newest + 1, row_schema(dimension)
            )
    except BaseException:
        for part in reversed(opened):
            try:
                await part.close()
            except Exception as error:
                _log.error("close_failed", error=str(error))
        raise
    retriever = Retriever(rows, lexical, embedder, writer)
    return Store(config, embedder, rows, lexical, sessions, writer, retriever, lock)


def _lost_its_rows(folder: Path) -> bool:
    # The sessions are made last, so where they are, there were rows.
    return (folder / "sessions.sqlite").exists() and not (folder / "rows").exists()


def _open_lexical(folder: Path, words: Analyser, read_only: bool, anew: bool) -> LexicalIndex:
    """Open the lexical index; one that is damaged or analysed otherwise is begun anew."""
    import shutil

    from bruno_memory_vec.indexers.tantivy import TantivyIndex

    if read_only:
        try:
            return TantivyIndex(folder, words, read_only=True)
        except BackendUnavailable as error:
            # Even to read, Tantivy makes a lock file. Where it may not, the words of the rows are
            # indexed in memory, as far as they are not yet (Retriever).
            _log.info("lexical_index_in_memory", reason=str(error))
            return TantivyIndex(None, words)
    try:
        if anew and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        try:
            return TantivyIndex(folder, words)
        except IndexDamaged as error:
            _log.warning("lexical_index_rebuilt", reason=str(error))
            shutil.rmtree(folder)
            folder.mkdir()
            return TantivyIndex(folder, words)
    except OSError as error:
        raise manifest.unwritable(folder, error) from error


async def _open_sessions(path: Path, config: MemoryConfig) -> SessionStore:
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

    return await SQLiteSessionStore.open(path, config.max_messages, read_only=config.read_only)


async def _load_ids(rows: VectorIndex, known: KnownIds) -> int:
    """Take in every id that is stored; returns the newest ``seq``."""
    newest = -1
    async for batch in rows.after(-1, ["id", "seq"]):
        if batch.num_rows:
            await asyncio.to_thread(known.add, batch.column("id"))
            newest = max(newest, pc.max(batch.column("seq")).as_py())
    return newest
