"""The URL of a store in Qdrant: where it is, and the settings after the question mark.

======================================== ==================================================
``qdrant://host:6333/NAME``              a server; ``/PREFIX/NAME`` behind a proxy
``qdrants://host:6333/NAME``             the same with TLS
``qdrant+local:PATH``                    the client's local mode in a folder, for one process
``qdrant+local::memory:``                the same, and nothing is kept
======================================== ==================================================

``NAME`` is the store's; without one it is ``bruno-memory``, and in local mode ``?collection=NAME``
gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.qdrant.settings import IN_MEMORY, QdrantSettings
from bruno_memory_vec.indexers.urls import is_secret, masked

#: The scheme of the local mode, with its colon: its URLs have no ``//``.
LOCAL = "qdrant+local:"

_DEFAULT_NAME = "bruno-memory"
_DEFAULT_PORT = 6333
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_KEY_FIX = (
    "Give the API key as BRUNO_MEMORY_QDRANT_API_KEY or QDRANT_API_KEY in the environment, or as "
    "the setting qdrant_api_key: a URL is printed."
)


def is_local(url: str) -> bool:
    """Whether a URL names the client's local mode."""
    return url[: len(LOCAL)].lower() == LOCAL


def absolute(url: str) -> str:
    """A URL of the local mode whose path does not depend on the current directory.

    Raises:
        InvalidInputError: the path leads nowhere.
    """
    path, query = _local_parts(url)
    if path == IN_MEMORY:
        return url
    try:
        return f"{LOCAL}{Path(path).expanduser().absolute()}{query}"
    except (RuntimeError, FileNotFoundError) as error:  # no such home, no current directory
        raise InvalidInputError(
            "url", f"{url!r} leads nowhere: {error}", fix="Give an absolute path.", cause=error
        ) from error


def settings_of(url: str, api_key: str | None) -> QdrantSettings:
    """What a URL says.

    Args:
        url: of a server or of the local mode.
        api_key: the server's key, None for none.

    Raises:
        InvalidInputError: something in it is not known, or not usable.
    """
    if is_local(url):
        path, query = _local_parts(absolute(url))
        given = _query(url, query[1:])
        name = given.pop("collection", _DEFAULT_NAME)
        return QdrantSettings(_named(url, name), masked(url), path=path, **_read(url, given))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _unusable(url, str(error)) from error
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError("url", f"{masked(url)!r} has a login", fix=_KEY_FIX)
    if not host:
        raise _unusable(url, "it names no host")
    if parts.fragment:
        raise _unusable(url, "it has a fragment (#)")
    *prefix, name = [unquote(part) for part in parts.path.strip("/").split("/")]
    tls = parts.scheme.lower() == "qdrants"
    shown = f"[{host}]" if ":" in host else host
    address = f"{'https' if tls else 'http'}://{shown}:{port or _DEFAULT_PORT}"
    return QdrantSettings(
        _named(url, name or _DEFAULT_NAME),
        masked(url),
        address=address,
        prefix="/".join(prefix),
        api_key=api_key,
        **_read(url, _query(url, parts.query)),
    )


def takes_over(url: str) -> bool:
    """Whether the sessions of this process take the place of those that the store names."""
    query = _local_parts(url)[1][1:] if is_local(url) else urlsplit(url).query
    return _truth(dict(parse_qsl(query, keep_blank_values=True)).get(_TAKE_OVER, "false"))


def _local_parts(url: str) -> tuple[str, str]:
    """The path and the query, which begins with its question mark, of a URL of the local mode."""
    path, mark, query = url[len(LOCAL) :].partition("?")
    if path.startswith("//"):
        path = path[2:]
    if not path.strip():
        raise _unusable(url, "it names no folder")
    return path, f"{mark}{query}"


def _named(url: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise _unusable(
            url, f"{name!r} is no name of a collection (letters, digits, '.', '_' and '-')"
        )
    return name


def _query(url: str, query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if is_secret(name):
            raise InvalidInputError("url", f"{masked(url)!r} holds a secret", fix=_KEY_FIX)
        if name in given:
            raise _unusable(url, f"{name!r} is given twice")
        given[name] = value
    return given


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        number = int(value)
        if not least <= number <= most:
            raise ValueError(f"a number of {least} to {most:,} is expected")
        return number

    return read


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        number = float(value)
        if not least <= number <= most:
            raise ValueError(f"a number of {least:g} to {most:g} is expected")
        return number

    return read


def _one_of(*values: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in values:
            raise ValueError(f"one of {', '.join(values)} is expected")
        return value.lower()

    return read


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("true or false is expected")
    return value.lower() == "true"


def _consistency(value: str) -> int | str:
    return int(value) if value.isdecimal() and int(value) > 0 else _one_of(*_AGREEMENTS)(value)


_TAKE_OVER = "take_over"
_AGREEMENTS = ("majority", "quorum", "all")
#: Each setting after the question mark, and how it is read.
_SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "shards": _whole(1, 10_000),
    "replicas": _whole(1, 100),
    "write_consistency": _whole(1, 100),
    "on_disk": _truth,
    "quantization": _one_of("scalar", "binary"),
    "oversampling": _number(1, 100),
    "exact": _whole(0, 10_000_000),
    "average_length": _number(1, 100_000),
    "timeout": _whole(1, 3_600),
    "grpc": _truth,
    "grpc_port": _whole(1, 65_535),
    "consistency": _consistency,
    "ordering": _one_of("weak", "medium", "strong"),
    _TAKE_OVER: _truth,
}


def _read(url: str, given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _SETTINGS:
            raise InvalidInputError(
                "url",
                f"{masked(url)!r}: the setting {name!r} is not known",
                fix=f"The settings are {', '.join(_SETTINGS)}, and in local mode collection.",
            )
        try:
            found[name] = _SETTINGS[name](value)
        except ValueError as error:
            raise _unusable(url, f"{name}={value}: {error}") from error
    found.pop(_TAKE_OVER, None)
    return found


def _unusable(url: str, problem: str) -> InvalidInputError:
    return InvalidInputError(
        "url",
        f"{masked(url)!r} cannot be used: {problem}",
        fix="Write qdrant://host:6333/NAME, qdrants://host:6333/NAME or qdrant+local:PATH.",
    )
