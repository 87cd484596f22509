"""An open store: its engines, its writer, and how they are brought together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bruno_memory_vec.access import Owners
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import CachedEmbedder
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.run import fingerprint_of
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    IndexDamaged,
    InvalidInputError,
    NotAStoreError,
)
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowIndex, VersionedRowIndex
from bruno_memory_vec.indexers.schema import LOG, row_schema
from bruno_memory_vec.indexers.text.analysis import LANGUAGES, Analyser, analyser
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.recall import Retriever
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.manifest import Manifest
from bruno_memory_vec.upkeep.reembedding.files import Watch, remove, tidy
from bruno_memory_vec.upkeep.upgrade import upgrade
from bruno_memory_vec.writing.known_ids import KnownIds
from bruno_memory_vec.writing.projections import Progress, follow_rows
from bruno_memory_vec.writing.writer import Writer

if TYPE_CHECKING:
    from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex

T = TypeVar("T")
Part = TypeVar("Part", bound=LexicalIndex)

_log = get_logger(__name__)

_DEFAULT_LANGUAGE = "english"
# Calls that began before a re-embedding's switch end with the vectors they began with. In seconds.
_REPLACED_ROWS_STAY = 60.0


@dataclass(slots=True)
class Replaced:
    """What a store answered from before it was re-embedded: calls may still be at it."""

    rows: RowIndex
    embedder: Embedder
    folder: Path
    _removing: asyncio.Future[None] | None = None

    def remove_later(self) -> None:
        """Remove it when the calls that may be at it have ended."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._removing = loop.create_task(self.remove())

        loop.call_later(_REPLACED_ROWS_STAY, begin)

    async def remove(self) -> None:
        """Let go of it, and free its space. Removing twice does nothing."""
        await self.rows.close()
        if isinstance(self.embedder, CachedEmbedder):
            await asyncio.to_thread(self.embedder.close)
        await asyncio.to_thread(remove, self.folder)


@dataclass(slots=True)
class Store:
    """The parts of an open memory. Open one with :func:`open_store`."""

    config: MemoryConfig
    embedder: Embedder
    rows: RowIndex
    lexical: LexicalIndex
    sessions: SessionStore
    writer: Writer | None
    retriever: Retriever
    owners: Owners
    lock: WriterLock | None
    #: Ends a re-embedding that is under way, and waits until it has ended.
    stop_move: Callable[[], Awaitable[None]] | None = None
    replaced: list[Replaced] = field(default_factory=list)

    def switch(
        self, rows: VersionedRowIndex, embedder: Embedder, folder: Path, before: Path
    ) -> None:
        """Answer from other rows from now on. Hold the writer's exclusion.

        Args:
            rows: the same rows, with vectors that ``embedder`` made.
            embedder: makes the vectors of what comes.
            folder: their folder. It has no log yet.
            before: that of the rows up to now. It goes in a minute, or at :meth:`close`.
        """
        assert self.writer is not None
        dimension = embedder.fingerprint.dimension
        fresh = cached(_logged(rows, folder, dimension, self.config), self.config)
        replaced = Replaced(self.rows, self.embedder, before)
        self.replaced.append(replaced)
        replaced.remove_later()
        self.writer.switch(fresh, embedder, row_schema(dimension))
        self.rows, self.embedder = fresh, embedder
        # A new one: a recall that has begun ends with the vectors it began with.
        timeout = self.config.embed_timeout
        self.retriever = Retriever(fresh, self.lexical, embedder, self.writer, timeout)

    async def close(self) -> None:
        """Finish, flush and let go of everything, even where one part fails."""
        if self.stop_move is not None:
            await self.stop_move()
        parts: list[Callable[[], Any]] = [
            self.lexical.close,
            self.sessions.close,
            self.rows.close,
            *(replaced.remove for replaced in self.replaced),
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
        if config.read_only:
            found.check_readable(folder)
    elif config.read_only:
        raise manifest.no_store(folder)
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
    schema, timeout = row_schema(dimension), config.embed_timeout
    writer = Writer(rows, lexical, sessions, embedder, KnownIds(), 0, schema, timeout)
    retriever = Retriever(rows, lexical, embedder, writer, timeout)
    owners = Owners(sessions, config.default_user)
    return Store(config, embedder, rows, lexical, sessions, writer, retriever, owners, None)


async def _open_folder(
    config: MemoryConfig,
    embedder: Embedder,
    folder: Path,
    lock: WriterLock | None,
    language: str | None,
    progress: Progress | None,
) -> Store:
    from bruno_memory_vec.upkeep.maintenance import BackgroundRecord

    # Again, under the lock: another process may have made the store a moment ago.
    found = await asyncio.to_thread(manifest.read, folder)
    stored_language = _DEFAULT_LANGUAGE if found is None else (found.language or "none")
    wanted = stored_language if language is None or config.read_only else language
    words = await asyncio.to_thread(_stemmer, wanted)
    if found is not None and await asyncio.to_thread(_lost_its_rows, folder, found):
        raise NotAStoreError(
            f"{folder} has no rows any more, though it had some",
            fix=f"Restore its `{found.rows}` folder from a backup, or begin anew in another "
            "folder.",
        )
    if found is None:
        found = Manifest(embedder.fingerprint, words.language)
        await _to_its_end(found.write, folder)
    else:
        found.check(embedder.fingerprint, folder)
    dimension = embedder.fingerprint.dimension
    opened: list[Any] = []
    try:
        rows = await _open_rows(folder, found, dimension, config)
        opened.append(rows)
        if not config.read_only:
            await _to_its_end(tidy, folder, found)
            found = await upgrade(rows, found, folder, progress)
        lexical = await _opened(
            _open_lexical, folder / "lexical", words, config.read_only, wanted != stored_language
        )
        opened.append(lexical)
        if wanted != stored_language:
            await _to_its_end(replace(found, language=words.language).write, folder)
        sessions = await _open_sessions(folder / "sessions.sqlite", config)
        opened.append(sessions)
        writer = None
        if not config.read_only:
            await follow_rows(rows, lexical, sessions, progress)
            # Both know of every row by now. A number that was given is never given again, even if
            # its row is gone.
            newest = max(await sessions.last_seq(), await lexical.last_seq())
            known = KnownIds.unread()
            writer = Writer(
                rows,
                lexical,
                sessions,
                embedder,
                known,
                newest + 1,
                row_schema(dimension),
                config.embed_timeout,
            )
            writer.keep_problems(BackgroundRecord(folder))
            writer.learn_ids()
    except BaseException:
        for part in reversed(opened):
            try:
                await part.close()
            except Exception as error:
                _log.error("close_failed", error=str(error))
        raise
    retriever = Retriever(rows, lexical, embedder, writer, config.embed_timeout)
    owners = Owners(sessions, config.default_user)
    return Store(config, embedder, rows, lexical, sessions, writer, retriever, owners, lock)


async def _to_its_end(work: Callable[..., T], *arguments: Any) -> T:
    """Do work in a thread that changes the folder; the lock is not freed before it has ended."""
    return await to_its_end(asyncio.to_thread(work, *arguments))


async def _opened(open_part: Callable[..., Part], *arguments: Any) -> Part:
    """Open a part of the store in a thread; where the caller is cancelled, it is closed again."""
    opened: list[Part] = []
    try:
        await _to_its_end(lambda: opened.append(open_part(*arguments)))
    except asyncio.CancelledError:
        for part in opened:
            await part.close()
        raise
    return opened[0]


def _lost_its_rows(folder: Path, found: Manifest) -> bool:
    # The sessions are made last, so where they are, there were rows.
    return (folder / "sessions.sqlite").exists() and not (folder / found.rows).exists()


async def _open_rows(
    folder: Path, found: Manifest, dimension: int, config: MemoryConfig
) -> RowIndex:
    from bruno_memory_vec.indexers.lance.index import LanceIndex

    watch = Watch(folder, found)
    try:
        rows = await LanceIndex.open(
            str(folder / found.rows), dimension, read_only=config.read_only, fsync=config.fsync
        )
    except EngineError:
        # Another process may have moved the store on, just now.
        watch()
        raise
    if config.read_only:
        rows.watch = watch
    logged = _logged(rows, folder / found.rows, dimension, config)
    try:
        await logged.replay()
    except BaseException:
        await rows.close()
        raise
    return cached(logged, config)


def _logged(
    rows: VersionedRowIndex, folder: Path, dimension: int, config: MemoryConfig
) -> WriteAheadLogIndex:
    """Rows in a folder, behind the log in it."""
    from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex

    schema = row_schema(dimension)
    return WriteAheadLogIndex(
        rows, folder / LOG, schema, read_only=config.read_only, fsync=config.fsync
    )


def cached(rows: VersionedRowIndex, config: MemoryConfig) -> RowIndex:
    """Rows, with those of users who ask often kept in memory."""
    from bruno_memory_vec.indexers.lance.cache import CachedIndex

    if config.recall_cache_mb == 0:
        return rows
    return CachedIndex(rows, config.recall_cache_mb * 2**20, shared=config.read_only)


def _open_lexical(folder: Path, words: Analyser, read_only: bool, anew: bool) -> LexicalIndex:
    """Open the lexical index; one that is damaged or analysed otherwise is begun anew."""
    import shutil

    from bruno_memory_vec.indexers.tantivy.index import TantivyIndex, TantivyReader

    if read_only:
        try:
            return TantivyReader(folder, words)
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

    return await SQLiteSessionStore.open(
        path, config.max_messages, read_only=config.read_only, fsync=config.fsync
    )
