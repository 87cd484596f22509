"""Sessions in SQLite for rows that are elsewhere: a folder, and one process that writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.private import make_private_folder
from bruno_memory_vec.sessions.choice import OpenSessions, folder_of_sessions
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.local import open_sessions
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.manifest import unwritable

if TYPE_CHECKING:
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore


class SQLiteSessions:
    """Opens ``FOLDER/NAME/sessions.sqlite`` as its only writer, or to read beside the writer.

    The url is a path of the folder, ``sqlite:///its/absolute/path``, or ``:memory:``.
    """

    async def open(self, url: str, name: str, config: MemoryConfig) -> OpenSessions:
        """As of :class:`~bruno_memory_vec.sessions.choice.SessionDeployment`."""
        from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

        above = folder_of_sessions(url)
        if above is None:
            if config.read_only:
                raise InvalidInputError(
                    "read_only", f"{url} has nothing to read", fix="Open it to write."
                )
            sessions = await SQLiteSessionStore.open(":memory:", config.max_messages)
            return OpenSessions(sessions, LocalLease(sessions), None)
        folder = above / quote(name, safe="")
        if config.read_only:
            return OpenSessions(await _to_read(folder, config), None, None)
        lock = await _locked(folder)
        try:
            sessions = await open_sessions(folder / "sessions.sqlite", config)
        except BaseException:
            lock.release()
            raise
        return OpenSessions(sessions, LocalLease(sessions, lock), None)


async def _to_read(folder: Path, config: MemoryConfig) -> SQLiteSessionStore:
    path = folder / "sessions.sqlite"
    if not await asyncio.to_thread(path.exists):
        raise NotAStoreError(
            f"there are no sessions in {folder}", fix="Open the memory to write first."
        )
    return await open_sessions(path, config)


async def _locked(folder: Path) -> WriterLock:
    taken: list[WriterLock] = []

    def lock() -> None:
        try:
            make_private_folder(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        taken.append(WriterLock(folder))

    try:
        await to_its_end(asyncio.to_thread(lock))
    except asyncio.CancelledError:
        for one in taken:
            one.release()
        raise
    return taken[0]
