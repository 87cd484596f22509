"""Where a benchmark's store is: the options ``--url`` and ``--sessions``."""

from __future__ import annotations

import argparse
import importlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked

#: A store in the run's own folder.
FOLDER_URL = "{folder}/store"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?!//|:)(.+)")
# What a scheme's engine imports when it opens a store: the time for it is no cost of a store.
_CLIENTS = {
    "qdrant": "qdrant_client",
    "qdrants": "qdrant_client",
    "qdrant+local": "qdrant_client",
    "postgresql": "asyncpg",
    "chroma": "chromadb",
    "redis": "redis.asyncio",
    "rediss": "redis.asyncio",
    "redis+cluster": "redis.asyncio",
    "redis+sentinel": "redis.asyncio",
    "unix": "redis.asyncio",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A store's URL and its sessions'.

    As options they may hold ``{folder}``, an empty folder of the run's own, and ``{name}``, a new
    name in each run.

    Attributes:
        url: what `open_memory` is given.
        sessions: likewise; None for what the URL's deployment chooses.
    """

    url: str = FOLDER_URL
    sessions: str | None = None

    def filled(self, folder: Path) -> Address:
        """The address of one run, whose folder exists."""
        values = {"{folder}": str(folder), "{name}": f"bench_{uuid4().hex[:12]}"}

        def fill(text: str) -> str:
            return re.sub(r"\{(folder|name)\}", lambda found: values[found[0]], text)

        return Address(fill(self.url), None if self.sessions is None else fill(self.sessions))

    @property
    def settings(self) -> dict[str, Any]:
        """What `open_memory` is given besides the URL."""
        return {} if self.sessions is None else {"sessions": self.sessions}

    @property
    def folder(self) -> Path | None:
        """Where the rows' files are; None for a store in memory or on a server."""
        path = _PATH.fullmatch(self.url)
        if path is not None:
            return Path(path[1])
        return None if _SCHEME.match(self.url) else Path(self.url)

    @property
    def kept(self) -> bool:
        """Whether the store is there after it was closed."""
        return not self.url.startswith("memory:") and not self.url.endswith(":memory:")

    @property
    def label(self) -> str:
        """The engine and the session store by their schemes: "qdrant+local, redis"."""
        named = [_scheme(self.url) or "folder"]
        if self.sessions is not None:
            named.append(_scheme(self.sessions) or "sqlite")
        return ", ".join(named)

    def to_dict(self) -> dict[str, Any]:
        """The fields without passwords, for a report."""
        return {name: value and masked(value) for name, value in asdict(self).items()}

    def load(self) -> None:
        """Import the clients of its engines.

        Raises:
            ImportError: one is not installed.
        """
        for url in (self.url, self.sessions):
            client = _CLIENTS.get(_scheme(url) or "") if url else None
            if client is not None:
                importlib.import_module(client)

    async def open(self, **settings: Any) -> VectorMemory:
        """Open the store, or make it."""
        return await VectorMemory(self.url, **self.settings, **settings).connect()

    async def open_empty(self, **settings: Any) -> VectorMemory:
        """Make the store.

        Raises:
            InvalidInputError: there are rows in it already.
        """
        memory = await self.open(**settings)
        if await memory.list_users():
            await memory.close()
            raise InvalidInputError(
                "url",
                f"{masked(self.url)} holds rows already",
                fix="Put {name} into --url, for a new store in each run, or name an empty one.",
            )
        return memory


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--url`` and ``--sessions``."""
    more = "{folder}: an empty folder of the run's own; {name}: a new name in each run"
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where the store is, as open_memory takes it; an empty one, which is left as it is "
        f"on a server. {more} (default: {FOLDER_URL})",
    )
    parser.add_argument(
        "--sessions", metavar="URL", help="its session store (default: the URL's own choice)"
    )


def chosen(arguments: argparse.Namespace) -> Address:
    """What the options say."""
    return Address(arguments.url or FOLDER_URL, arguments.sessions)


def _scheme(url: str) -> str | None:
    found = _SCHEME.match(url)
    return None if found is None else (urlsplit(url).scheme or found[1]).lower()
