"""Session stores chosen by a URL, whatever engine has the rows.

A session deployment is a class with :class:`SessionDeployment`'s method. It is registered as an
entry point of the group ``bruno_memory_vec.session_stores`` whose name is the scheme (``sqlite``
for a path without one). This package has SQLite and Redis; another package adds ``mine://`` by an
entry point in its own ``pyproject.toml``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import unquote

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.protocols import UserVersions
from bruno_memory_vec.plugins import Plugins
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.sessions.redis.address import SCHEMES

if TYPE_CHECKING:
    from bruno_memory_vec.writing.lease import WriterLease

#: The name of the session deployment of a path without a scheme.
SQLITE = "sqlite"
#: The URLs of sessions that are kept in this process's memory; the first one is told to users.
IN_MEMORY = ("sqlite://:memory:", "sqlite://", ":memory:")

_STORES = Plugins(
    "bruno_memory_vec.session_stores",
    field="sessions",
    what="session store",
    ours={
        SQLITE: "bruno_memory_vec.store.sqlite_sessions:SQLiteSessions",
        **dict.fromkeys(SCHEMES, "bruno_memory_vec.store.redis_sessions:RedisSessions"),
    },
)
# A path has no scheme; one letter is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


@dataclass(slots=True)
class OpenSessions:
    """An open session store, and what comes with it.

    Attributes:
        sessions: sessions, owners, hot context.
        lease: of a store that many processes write. None: only one process writes; whoever opens
            to write gives a ``LocalLease``.
        versions: tells a process what others have changed. None: only one process writes.
    """

    sessions: SessionStore
    lease: WriterLease | None
    versions: UserVersions | None

    async def close(self) -> None:
        """Close the store and give up the lease, where another part has failed to open."""
        try:
            await self.sessions.close()
        finally:
            if self.lease is not None:
                self.lease.release()


class SessionDeployment(Protocol):
    """Opens session stores of one kind."""

    async def open(self, url: str, name: str, config: MemoryConfig) -> OpenSessions:
        """Open the session store that ``url`` names, or make it.

        If it fails, nothing stays open or locked.

        Args:
            url: where it is.
            name: the store's name. Two stores with different names share nothing at one ``url``.
            config: the settings of the memory. With ``read_only`` the lease is None.

        Raises:
            BackendUnavailable: it cannot be reached, read or written.
            InvalidInputError: the URL or a setting is not usable.
            MissingDependencyError: a package that it needs is not installed.
            StoreLockedError: another process writes to it, and only one can.
        """
        ...


def session_store_of(url: str) -> SessionDeployment:
    """The session deployment of a URL. For a path it is SQLite.

    Raises:
        InvalidInputError: none is installed for its scheme.
    """
    found = _SCHEME.match(url)
    scheme = SQLITE if found is None else found[1].lower()
    try:
        return cast("SessionDeployment", _STORES.instance(scheme))
    except LookupError:
        raise InvalidInputError(
            "sessions",
            f"the scheme {scheme!r} is not known",
            fix=f"Give a folder, or {', '.join(f'{name}://' for name in _STORES.names())}.",
        ) from None


def folder_of_sessions(url: str) -> Path | None:
    """The folder that a URL of sessions names, as an absolute path; None where it names none.

    Raises:
        InvalidInputError: it should name a folder, and does not.
    """
    found = _SCHEME.match(url)
    if url.lower() in IN_MEMORY or (found is not None and found[1].lower() != SQLITE):
        return None
    path = url if found is None else unquote(url[found.end() :])
    if not path.strip() or (found is not None and not path.startswith("/")):
        raise InvalidInputError(
            "sessions",
            f"{url!r} names no folder",
            fix=f"Give a path, sqlite:///an/absolute/path, or {IN_MEMORY[0]}.",
        )
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, FileNotFoundError) as error:  # no such home, no current directory
        raise InvalidInputError(
            "sessions", f"{url!r} leads nowhere: {error}", fix="Give an absolute path.", cause=error
        ) from error
