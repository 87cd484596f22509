"""``chroma://FOLDER``: a store whose rows are in an embedded Chroma, for one process.

In the folder are ``chroma/`` (the rows), ``lexical/`` (Tantivy: an embedded Chroma has no search by
words), ``sessions/`` (SQLite, unless the setting ``sessions`` says otherwise) and the lock. How the
store was made is in the metadata of Chroma's collection.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    IndexDamaged,
    InvalidInputError,
    NotAStoreError,
    StoreError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.protocols import LexicalIndex
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.indexers.text.analysis import Analyser
from bruno_memory_vec.sessions.choice import OpenSessions, session_store_of
from bruno_memory_vec.store.deployment import (
    Made,
    Parts,
    analyser_for,
    close_all,
    language_of,
    with_a_cache,
)
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.session_binding import name_of_sessions
from bruno_memory_vec.writing.projections import Progress
from bruno_memory_vec_chroma.index import ChromaIndex

_SCHEME = "chroma://"
_COLLECTION = "rows"
_FORMAT = "bruno-memory-vec"
# More than Chroma's own values: it is to find what is nearest, and takes longer for it.
_GRAPH = {"space": "ip", "ef_construction": 200, "max_neighbors": 32, "ef_search": 1_000}


class Chroma:
    """Rows in Chroma, words in Tantivy, sessions where the settings say."""

    schemes = ("chroma",)

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """As of ``bruno_memory_vec.store.deployment.Deployment``."""
        language = language_of(config)
        folder = _folder(config.url)
        if config.read_only:
            raise InvalidInputError(
                "read_only",
                "an embedded Chroma has one process, and none beside it",
                fix="Open it to write.",
            )
        lock = await asyncio.to_thread(_locked, folder)
        opened: list[Any] = []
        try:
            client, collection = await asyncio.to_thread(_opened, folder, made_by, language)
            rows = ChromaIndex(
                client, collection, folder / "chroma", made_by.dimension, lock.release
            )
            opened.append(rows)
            made = collection.metadata
            analyser = await asyncio.to_thread(analyser_for, language or made["language"])
            other_terms = made["analysis"] != analyser.name
            lexical = await asyncio.to_thread(_lexical, folder / "lexical", analyser, other_terms)
            opened.append(lexical)
            if other_terms:
                named = {"language": analyser.language or "none", "analysis": analyser.name}
                await asyncio.to_thread(collection.modify, metadata={**made, **named})
            sessions = await _sessions(config, folder, made["rows"])
        except BaseException:
            await close_all(opened)
            lock.release()  # a second time does nothing
            raise
        lease = sessions.lease or LocalLease(sessions.sessions)
        return Parts(
            with_a_cache(rows, config, sessions.versions), lexical, sessions.sessions, lease
        )

    async def made(self, config: MemoryConfig) -> Made | None:
        """As of ``bruno_memory_vec.store.deployment.TellsHowMade``."""
        folder = _folder(config.url)
        if not await asyncio.to_thread(_is_there, folder):
            return None
        lock = await asyncio.to_thread(_locked, folder)
        try:
            return await asyncio.to_thread(_made, folder)
        finally:
            lock.release()


def _folder(url: str) -> Path:
    path = url[len(_SCHEME) :]
    if not path.strip() or "\0" in path:
        raise InvalidInputError(
            "url", f"{url!r} names no folder", fix="Write chroma:///an/absolute/folder."
        )
    return Path(path).expanduser().absolute()


def _locked(folder: Path) -> WriterLock:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackendUnavailable(
            "chroma", "open", str(error), fix=f"Check that {folder} may be written.", cause=error
        ) from error
    return WriterLock(folder)


def _is_there(folder: Path) -> bool:
    return (folder / "chroma" / "chroma.sqlite3").exists()


def _client(folder: Path) -> Any:
    try:
        # It takes a second, and is needed only here.
        chromadb = importlib.import_module("chromadb")
    except ImportError as error:
        raise StoreError(
            "the package 'chromadb' is not installed",
            fix="Run: pip install 'chromadb>=1.5.9'",
            cause=error,
        ) from error
    settings = chromadb.Settings(anonymized_telemetry=False)
    try:
        return chromadb.PersistentClient(path=str(folder / "chroma"), settings=settings)
    except Exception as error:  # Chroma's own, SQLite's, and those of its Rust part
        raise BackendUnavailable(
            "chroma",
            "open",
            f"{folder}: {type(error).__name__}: {error}",
            fix="Restore the folder from a backup.",
            cause=error,
        ) from error


def _opened(folder: Path, made_by: Fingerprint, language: str | None) -> tuple[Any, Any]:
    """The client, and the collection of the rows, which is made if there is none."""
    client = _client(folder)
    try:
        collection = _collection(client)
        if collection is None:
            analyser = analyser_for(language)
            described = {
                "format": _FORMAT,
                "schema": SCHEMA_VERSION,
                "embedder": json.dumps(made_by.to_dict()),
                "language": analyser.language or "none",
                "analysis": analyser.name,
                "rows": uuid4().hex,
            }
            # Without an embedding function: the vectors are ours.
            collection = client.create_collection(
                _COLLECTION,
                metadata=described,
                configuration={"hnsw": _GRAPH},
                embedding_function=None,
            )
        stored = _fingerprint(collection.metadata, folder)
        if stored != made_by:
            raise FingerprintError(
                f"the vectors in {folder} were made by {stored}, not by {made_by}",
                fix="Open it with its own embedder, or copy it to this one: bruno-memory-vec copy "
                "SOURCE TARGET --embedder NAME.",
            )
    except BaseException:
        client.close()
        raise
    return client, collection


def _collection(client: Any) -> Any | None:
    names = {collection.name for collection in client.list_collections()}
    if _COLLECTION not in names:
        return None
    return client.get_collection(_COLLECTION, embedding_function=None)


def _made(folder: Path) -> Made | None:
    client = _client(folder)
    try:
        collection = _collection(client)
        if collection is None:
            return None
        found = collection.metadata
        return Made(_fingerprint(found, folder), str(found["language"]))
    finally:
        client.close()


def _fingerprint(found: dict[str, Any] | None, folder: Path) -> Fingerprint:
    if not found or found.get("format") != _FORMAT:
        raise NotAStoreError(
            f"the Chroma in {folder} is no store of ours", fix="Name another folder."
        )
    if found["schema"] != SCHEMA_VERSION:
        raise StoreVersionError(
            f"{folder} has the format {found['schema']}, and this version reads {SCHEMA_VERSION}",
            fix="Read it with the version that wrote it.",
        )
    return Fingerprint.from_dict(json.loads(found["embedder"]))


def _lexical(folder: Path, analyser: Analyser, anew: bool) -> LexicalIndex:
    """The lexical index; an empty one in place of a damaged one, as it is derived from the rows."""
    from bruno_memory_vec.indexers.tantivy.files import clear
    from bruno_memory_vec.indexers.tantivy.index import TantivyIndex

    if anew or not folder.is_dir():
        clear(folder)
    try:
        return TantivyIndex(folder, analyser)
    except IndexDamaged:
        clear(folder)
        return TantivyIndex(folder, analyser)


async def _sessions(config: MemoryConfig, folder: Path, rows: str) -> OpenSessions:
    url = config.sessions or str(folder / "sessions")
    name = name_of_sessions(url, _COLLECTION, rows)
    return await session_store_of(url).open(url, name, config)
