"""A store whose rows are in Qdrant: on a server that many processes write to, or in local mode.

The collection's metadata say how the store was made (:class:`Manifest`), and whose sessions belong
to it. Sessions in Redis are shared by all processes; sessions in SQLite have one process, and the
rows then refuse every other machine's.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from bruno_memory_vec._version import __version__
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    EngineError,
    FingerprintError,
    InvalidInputError,
    MissingDependencyError,
    NotAStoreError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.qdrant import collection as collections
from bruno_memory_vec.indexers.qdrant.collection import MANIFEST, SESSIONS, Collection
from bruno_memory_vec.indexers.qdrant.index import QdrantIndex
from bruno_memory_vec.indexers.qdrant.server import IN_USE, Server
from bruno_memory_vec.indexers.qdrant.settings import IN_MEMORY, QdrantSettings
from bruno_memory_vec.indexers.qdrant.words import K1, B
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.sessions.choice import IN_MEMORY as SESSIONS_IN_MEMORY
from bruno_memory_vec.sessions.choice import OpenSessions, session_store_of
from bruno_memory_vec.store.deployment import (
    Made,
    Parts,
    SecondRows,
    analyser_for,
    close_all,
    language_of,
    with_a_cache,
)
from bruno_memory_vec.store.keys.opening import refuse_key
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.qdrant_url import settings_of, takes_over
from bruno_memory_vec.store.session_binding import bound, name_of_sessions
from bruno_memory_vec.writing.projections import Problem, Progress

_FORMAT = "bruno-memory-vec"
#: Where sessions are if nothing else is said: beside the process that uses a server's rows.
SESSIONS_FOLDER = "./bruno-memory-sessions"
_KEYS = ("QDRANT_API_KEY",)


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a store in Qdrant was made.

    Attributes:
        fingerprint: the embedder of its vectors.
        language: the stemmer of its words, None for none.
        analysis: what made the terms of its words (``Analyser.name``).
        average_length: the average number of words of a row, for BM25.
        rows: identifies its rows.
    """

    fingerprint: Fingerprint
    language: str | None
    analysis: str
    average_length: float
    rows: str

    def to_dict(self) -> dict[str, Any]:
        """It as the collection's metadata have it."""
        return {
            "format": _FORMAT,
            "schema": SCHEMA_VERSION,
            "written_by": __version__,
            "embedder": self.fingerprint.to_dict(),
            "language": self.language,
            "analysis": self.analysis,
            "k1": K1,
            "b": B,
            "average_length": self.average_length,
            "rows": self.rows,
        }

    @classmethod
    def read(cls, found: Collection, shown: str) -> Manifest:
        """The manifest in a collection's metadata.

        Raises:
            NotAStoreError: there is none, or a damaged one.
            StoreVersionError: another version of this package made the store.
        """
        data: Mapping[str, Any] = found.manifest or {}
        if data.get("format") != _FORMAT:
            raise NotAStoreError(
                f"{shown}: the collection {found.name!r} is not a store of ours",
                fix="Name another collection in the URL.",
            )
        schema = data.get("schema")
        if schema != SCHEMA_VERSION:
            newer = isinstance(schema, int) and schema > SCHEMA_VERSION
            raise StoreVersionError(
                f"{shown} has the format {schema!r}, {'newer' if newer else 'other'} than "
                f"{SCHEMA_VERSION}, which this version ({__version__}) reads; it was written by "
                f"{data.get('written_by')}",
                fix="Upgrade with: pip install -U bruno-memory-vec"
                if newer
                else "Copy it into a folder with the version that wrote it "
                "(bruno-memory-vec copy), migrate that (bruno-memory-vec migrate), and copy it "
                "into another collection.",
            )
        try:
            return cls(
                Fingerprint.from_dict(data["embedder"]),
                data["language"],
                str(data["analysis"]),
                float(data["average_length"]),
                str(data["rows"]),
            )
        except (KeyError, TypeError, ValueError, InvalidInputError) as error:
            raise NotAStoreError(
                f"{shown}: the metadata of {found.name!r} are damaged: {error}",
                fix="Restore them from a snapshot of the collection.",
                cause=error,
            ) from error


class Qdrant:
    """Rows in Qdrant, sessions where the settings say."""

    schemes = ("qdrant", "qdrants", "qdrant+local")

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """As of :class:`~bruno_memory_vec.store.deployment.Deployment`."""
        language = language_of(config)
        refuse_key(config, "a store in Qdrant")
        settings = _settings(config)
        server = await _connected(settings)
        opened: list[Any] = [server]
        try:
            found = await _found(server, config, made_by, language)
            made = Manifest.read(found, settings.shown)
            _check(found, made, made_by, settings)
            stored = made.language or "none"
            wanted = stored if language is None or config.read_only else language
            analyser = await asyncio.to_thread(analyser_for, wanted)
            index = QdrantIndex(
                server, found.name, made_by.dimension, analyser, made.average_length
            )
            if not config.read_only:
                await collections.add_indexes(server, found.name)
                if analyser.name != made.analysis:
                    await index.rewrite_words(progress)
                    terms = {"language": analyser.language, "analysis": analyser.name}
                    manifest = {**made.to_dict(), **terms}
                    await collections.set_metadata(server, found.name, **{MANIFEST: manifest})
            sessions = await _sessions(config, settings, made)
            opened.append(sessions)
            if not config.read_only:
                await _bind(server, found.name, config, settings, made)
        except BaseException:
            await close_all(opened)
            raise
        lease = None if config.read_only else sessions.lease or LocalLease(sessions.sessions)
        rows = with_a_cache(index, config, sessions.versions)
        return Parts(rows, None, sessions.sessions, lease)

    async def made(self, config: MemoryConfig) -> Made | None:
        """As of :class:`~bruno_memory_vec.store.deployment.TellsHowMade`."""
        settings = _settings(config)
        if settings.path not in (None, IN_MEMORY) and not await _is_there(str(settings.path)):
            return None  # the client would make the folder
        server = await _connected(settings)
        try:
            found = await collections.find(server)
            if found is None:
                return None
            made = Manifest.read(found, settings.shown)
            return Made(made.fingerprint, made.language or "none")
        finally:
            await server.close()

    async def second_rows(
        self, config: MemoryConfig, rows: RowIndex, made_by: Fingerprint
    ) -> SecondRows:
        """As of :class:`~bruno_memory_vec.store.deployment.Reembeds`."""
        own = capability(rows, QdrantIndex)
        assert own is not None
        server = own.server
        found = await collections.described(server, own.collection)
        made = replace(Manifest.read(found, server.settings.shown), fingerprint=made_by)
        name = collections.name_of(server.settings.collection, made_by.to_dict())
        await collections.make_collection(server, name, made.to_dict(), made_by.dimension)
        named = {MANIFEST: made.to_dict(), SESSIONS: found.sessions}
        await collections.set_metadata(server, name, **named)
        second = QdrantIndex(server, name, made_by.dimension, own.analyser, made.average_length)
        return SecondRows(second, lambda: collections.point_alias(server, name))

    async def drop_others(self, config: MemoryConfig) -> None:
        """As of :class:`~bruno_memory_vec.store.deployment.Reembeds`."""
        server = await _connected(_settings(config))
        try:
            found = await collections.find(server)
            if found is not None:
                for name in await collections.others(server, found.name):
                    await collections.drop(server, name)
        finally:
            await server.close()

    async def diagnose(self, config: MemoryConfig) -> list[Problem]:
        """What the server lacks, and what hinders the store; it changes nothing.

        Raises:
            EngineError: the server does not answer.
            StoreError: there is no store, or another's.
        """
        settings = _settings(config)
        server = await _connected(settings)
        try:
            found = await collections.find(server)
            if found is None:
                raise _no_store(settings)
            Manifest.read(found, settings.shown)
            problems = await collections.problems(server, found.name)
            return [Problem("qdrant", problem, fix) for problem, fix in problems]
        finally:
            await server.close()


def _settings(config: MemoryConfig) -> QdrantSettings:
    given = config.qdrant_api_key
    key = given.get_secret_value() if given is not None else None
    for name in _KEYS:
        key = key or os.environ.get(name)
    return settings_of(config.url, key or None)


async def _is_there(path: str) -> bool:
    return await asyncio.to_thread(Path(path).exists)


async def _connected(settings: QdrantSettings) -> Server:
    try:
        # The first import takes a second, which would block the event loop.
        await asyncio.to_thread(__import__, "qdrant_client")
    except ImportError as error:
        raise MissingDependencyError("qdrant-client", "qdrant", cause=error) from error
    try:
        return await Server.open(settings)
    except EngineError as error:
        if settings.is_local and IN_USE in str(error):
            raise StoreLockedError(
                f"{settings.shown} is {IN_USE}",
                fix="Close it. Local mode has one process; several need a server.",
                cause=error,
            ) from error
        raise


async def _found(
    server: Server, config: MemoryConfig, made_by: Fingerprint, language: str | None
) -> Collection:
    """The store's collection, which is made if there is none."""
    found = await collections.find(server)
    if found is not None:
        return found
    settings = server.settings
    if config.read_only:
        raise _no_store(settings)
    analyser = await asyncio.to_thread(analyser_for, language)
    manifest = Manifest(
        made_by, analyser.language, analyser.name, settings.average_length, uuid4().hex
    )
    return await collections.make(server, made_by.to_dict(), manifest.to_dict(), made_by.dimension)


def _check(
    found: Collection, made: Manifest, made_by: Fingerprint, settings: QdrantSettings
) -> None:
    """Refuse a store of another embedder, or a collection that is not laid out like one of ours."""
    if made.fingerprint != made_by:
        raise FingerprintError(
            f"the vectors in {settings.shown} were made by {made.fingerprint}, not by {made_by}",
            fix="Open it with its own embedder, or move it to this one with: bruno-memory-vec "
            f"reembed --store {shlex.quote(settings.shown)} --embedder NAME.",
        )
    if found.dimension != made_by.dimension:
        raise EngineError(
            QdrantIndex.name,
            "open",
            f"{settings.shown}: the collection {found.name!r} holds {found.dimension} values a "
            f"vector, not {made_by.dimension}",
            fix="Restore it from a snapshot, or name another collection in the URL.",
        )
    if not found.has_words:
        raise EngineError(
            QdrantIndex.name,
            "open",
            f"{settings.shown}: the collection {found.name!r} has no sparse vectors with IDF",
            fix="Restore it from a snapshot, or name another collection in the URL.",
        )


def _sessions_url(config: MemoryConfig, settings: QdrantSettings) -> str:
    if config.sessions is not None:
        return config.sessions
    if settings.path is None:
        return SESSIONS_FOLDER
    # Local mode has one process, and keeps all in one folder.
    return SESSIONS_IN_MEMORY[0] if settings.path == IN_MEMORY else f"{settings.path}/sessions"


async def _sessions(config: MemoryConfig, settings: QdrantSettings, made: Manifest) -> OpenSessions:
    url = _sessions_url(config, settings)
    name = name_of_sessions(url, settings.collection, made.rows)
    return await session_store_of(url).open(url, name, config)


async def _bind(
    server: Server, name: str, config: MemoryConfig, settings: QdrantSettings, made: Manifest
) -> None:
    """Let the rows name their sessions, and refuse to write with other ones.

    Raises:
        StoreError: the rows name other sessions, or these sessions belong to other rows.
    """
    mine = await bound(_sessions_url(config, settings), settings.collection, made.rows)
    named = (await collections.described(server, name)).sessions
    if named is None or (named != mine and takes_over(config.url)):
        await collections.set_metadata(server, name, **{SESSIONS: mine})
        # Of two who come first at once, the one whose name stayed goes on.
        named = (await collections.described(server, name)).sessions
    if named != mine:
        raise StoreError(
            f"the sessions of {settings.shown} are elsewhere: another machine, or another folder, "
            "has them, and both would number the same rows",
            fix="Let all share sessions in Redis (sessions=redis://host:6379). Or, if the others "
            "are gone for good, open it once with ?take_over=true in the URL: sessions begin anew "
            "from the rows.",
        )


def _no_store(settings: QdrantSettings) -> NotAStoreError:
    return NotAStoreError(
        f"there is no store at {settings.shown}",
        fix="Open it once without read_only to make it.",
    )
