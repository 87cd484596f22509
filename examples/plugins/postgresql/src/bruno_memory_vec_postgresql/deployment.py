"""A store whose rows are in PostgreSQL, and whose sessions are where the settings say.

Sessions in Redis are shared by all processes, and many may write. Sessions in SQLite have one
process: an advisory lock of the database keeps all others out, on other machines, too, and the
store names its sessions, so that a machine with other ones does not number the same rows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import FingerprintError, NotAStoreError, StoreError
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
from bruno_memory_vec.store.session_binding import bound, name_of_sessions
from bruno_memory_vec.writing.lease import WriterLease
from bruno_memory_vec.writing.projections import Problem, Progress

from .settings import Settings, settings_of

if TYPE_CHECKING:
    from .database import Database
    from .layout import Found

#: Where sessions are if nothing else is said: beside the process that uses a server's rows.
SESSIONS_FOLDER = "./bruno-memory-sessions"


class PostgreSQL:
    """Rows in PostgreSQL with pgvector."""

    schemes = ("postgresql", "postgres")

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """As of :class:`~bruno_memory_vec.store.deployment.Deployment`."""
        language = language_of(config)
        database = _database(settings_of(config.url))
        opened: list[Any] = [database]
        try:
            return await _open(config, made_by, progress, database, language, opened)
        except BaseException:
            await close_all(opened)
            raise

    async def made(self, config: MemoryConfig) -> Made | None:
        """As of :class:`~bruno_memory_vec.store.deployment.TellsHowMade`."""
        from . import layout

        database = _database(settings_of(config.url))
        try:
            found = await layout.find(database)
        finally:
            await database.close()
        if found is None:
            return None
        return Made(found.manifest.fingerprint, found.manifest.language or "none")

    async def diagnose(self, config: MemoryConfig) -> list[Problem]:
        """As of :class:`~bruno_memory_vec.store.deployment.Diagnoses`."""
        from . import layout

        database = _database(settings_of(config.url))
        try:
            if await layout.find(database) is None:
                raise _no_store(database.settings)
            problems = await layout.problems(database)
        finally:
            await database.close()
        return [Problem("postgresql", found, fix) for found, fix in problems]


def _database(settings: Settings) -> Database:
    try:
        from .database import Database
    except ImportError as error:
        raise StoreError(
            "the package 'asyncpg' is not installed",
            fix="Run: pip install asyncpg",
            cause=error,
        ) from error
    return Database(settings)


async def _open(
    config: MemoryConfig,
    made_by: Fingerprint,
    progress: Progress | None,
    database: Database,
    language: str | None,
    opened: list[Any],
) -> Parts:
    from . import layout
    from .index import PostgreSQLIndex

    settings = database.settings
    found = await layout.find(database)
    if found is None:
        if config.read_only:
            raise _no_store(settings)
        analyser = await asyncio.to_thread(analyser_for, language)
        new = layout.Manifest.new(made_by, analyser.language, analyser.name)
        await layout.make(database, new)
        # Another process may have made it at the same time, and differently.
        found = await layout.find(database)
        assert found is not None
    made = found.manifest
    if made.fingerprint != made_by:
        raise FingerprintError(
            f"the vectors in {settings.shown} were made by {made.fingerprint}, not by {made_by}",
            fix="Open it with its own embedder, or copy it into another schema with this one: "
            "bruno-memory-vec copy SOURCE TARGET --embedder NAME.",
        )
    wanted = (made.language or "none") if language is None or config.read_only else language
    analyser = await asyncio.to_thread(analyser_for, wanted)
    index = PostgreSQLIndex(database, made_by.dimension, analyser)
    url = config.sessions or SESSIONS_FOLDER
    name = name_of_sessions(url, settings.store_name, made.rows)
    sessions = await session_store_of(url).open(url, name, config)
    opened.append(sessions)
    lease = await _lease(config, database, found, url, sessions)
    if lease is not None:
        sessions.lease = lease  # so that closing gives up the lock, too
        if analyser.name != made.analysis:
            await index.analyse_anew(progress)
            await layout.set_manifest(database, made.with_terms(analyser.language, analyser.name))
    return Parts(with_a_cache(index, config, sessions.versions), None, sessions.sessions, lease)


async def _lease(
    config: MemoryConfig, database: Database, found: Found, url: str, sessions: OpenSessions
) -> WriterLease | None:
    """The right to write: of all who share the sessions, or of this process alone."""
    from . import layout
    from .guard import Guard, GuardedLease

    if config.read_only:
        return None
    lease = sessions.lease or LocalLease(sessions.sessions)
    if lease.exclusive:
        guard = Guard(database)
        lease = GuardedLease(lease, guard)
        sessions.lease = lease
        await guard.take()
    settings = database.settings
    mine = await bound(url, settings.store_name, found.manifest.rows)
    named = await layout.name_sessions(database, mine, instead=settings.take_over)
    if named != mine:
        raise StoreError(
            f"the sessions of {settings.shown} are elsewhere: another machine, or another folder, "
            "has them, and both would number the same rows",
            fix="Let all share sessions in Redis (sessions=redis://host:6379). Or, if the others "
            "are gone for good, open it once with ?take_over=true in the URL: sessions begin anew "
            "from the rows.",
        )
    return lease


def _no_store(settings: Settings) -> NotAStoreError:
    return NotAStoreError(
        f"there is no store in the schema {settings.schema!r} of {settings.shown}",
        fix="Open it once without read_only to make it.",
    )
