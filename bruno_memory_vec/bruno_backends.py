"""The backends that bruno-core's configuration names, as URLs of ours."""

from __future__ import annotations

import re

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?(/[^\s]*)?")

_FOLDERS = ("lancedb", "folder", "local", "file")
#: Names that other packages of the family use, and the schemes of their URLs.
_SCHEMES: dict[str, tuple[str, ...]] = {
    "qdrant": ("qdrant", "qdrants", "qdrant+local"),
    "redis": ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "unix"),
    "postgres": ("postgresql", "postgres"),
    "postgresql": ("postgresql", "postgres"),
    "pgvector": ("postgresql", "postgres"),
}
_REFUSED = {
    "sqlite": "SQLite holds no vectors. Take the backend 'lancedb' with a folder; a database file "
    "of bruno-memory is taken over with: bruno-memory-vec ingest FILE --store FOLDER.",
}


def from_connection(backend: str, connection: str) -> dict[str, str]:
    """The setting ``url``, or of "redis" ``sessions``, that a backend and its string stand for.

    Raises:
        InvalidInputError: the two do not fit, or the backend holds no rows.
    """
    name, text = backend.strip().lower(), connection.strip()
    found = _SCHEME.match(text)
    # One letter is a drive, and a host may have a port.
    scheme = None if found is None or text[found.end() :].isdigit() else found[1].lower()
    if name in _REFUSED:
        raise InvalidInputError("backend", f"{backend!r} is no backend", fix=_REFUSED[name])
    if name in ("memory", "in-memory", "inmemory"):
        if text.lower() not in ("memory://", ":memory:", "memory"):
            raise _unfit(backend, text, "memory://")
        return {"url": "memory://"}
    if name in _FOLDERS:
        if scheme not in (None, "file", "memory") and "://" in text:
            raise _unfit(backend, text, "a folder")
        return {"url": text}
    schemes = _SCHEMES.get(name, (name,))
    if name == "qdrant":
        text, scheme = _qdrant(text, scheme)
    if scheme not in schemes:
        raise _unfit(backend, text, f"a URL such as {schemes[0]}://host")
    return {"sessions" if name == "redis" else "url": text}


def _qdrant(text: str, scheme: str | None) -> tuple[str, str | None]:
    """Qdrant's own ways to name a server, as a URL of ours."""
    if scheme in ("http", "https"):
        ours = "qdrant" if scheme == "http" else "qdrants"
        return f"{ours}{text[len(scheme) :]}", ours
    if text == ":memory:":
        return f"qdrant+local:{text}", "qdrant+local"
    if scheme is None and _HOST.fullmatch(text):
        return f"qdrant://{text}", "qdrant"
    return text, scheme


def _unfit(backend: str, connection: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(
        "connection_string",
        f"{masked(connection)!r} does not fit the backend {backend!r}",
        fix=f"Give {wanted}, or the backend that it is of: lancedb, memory, qdrant, redis, "
        "postgres, or another URL's scheme.",
    )
