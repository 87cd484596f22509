"""The URL of a store in PostgreSQL: where it is, and the settings after the question mark.

``postgresql://user:password@host:5432/database?schema=NAME``, as PostgreSQL's own clients write it.
What is not named below goes to the client as it is: ``sslmode``, ``host`` of a unix socket, and so
on. A password may also come from ``PGPASSWORD`` or a ``~/.pgpass``.

================== ==================================================================
``schema``         the store's name and its schema in the database; ``bruno_memory``
``pool``           how many connections at most; 10
``timeout``        seconds that one statement may take; 60
``connect``        seconds that a connection may take to be made; 10
``hnsw_above``     make an HNSW index when there are more rows; without it, never
``take_over``      let this process's sessions take the place of lost ones; false
================== ==================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a URL says.

    Attributes:
        dsn: for the client: the URL without the settings that are this package's.
        shown: the URL without its secrets, for errors.
        database: the database, as far as the URL names it.
        schema: the store's name, and the schema of its tables.
        pool: how many connections at most.
        timeout: seconds that one statement may take.
        connect: seconds that a connection may take to be made.
        hnsw_above: with more rows than this, an HNSW index is made. None: never.
        take_over: whether the sessions of this process take the place of those that the store
            names.
    """

    dsn: str
    shown: str
    database: str
    schema: str = "bruno_memory"
    pool: int = 10
    timeout: float = 60.0
    connect: float = 10.0
    hnsw_above: int | None = None
    take_over: bool = False

    @property
    def store_name(self) -> str:
        """What the sessions know the store by."""
        return f"{self.database}.{self.schema}" if self.database else self.schema


def settings_of(url: str) -> Settings:
    """What a URL says.

    Raises:
        InvalidInputError: something in it is not usable.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is checked when it is read
    except ValueError as error:
        raise _unusable(url, str(error)) from error
    if parts.fragment:
        raise _unusable(url, "it has a fragment (#)")
    found: dict[str, Any] = {}
    passed: list[tuple[str, str]] = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _SETTINGS:
            passed.append((name, value))
        elif name in found:
            raise _unusable(url, f"{name!r} is given twice")
        else:
            try:
                found[name] = _SETTINGS[name](value)
            except ValueError as error:
                raise _unusable(url, f"{name}={value}: {error}") from error
    dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(passed), ""))
    return Settings(dsn, masked(url), unquote(parts.path.strip("/")), **found)


def _name(value: str) -> str:
    # No dot: a quoted name may hold one, and other tools would take it for two names.
    if not _NAME.fullmatch(value):
        raise ValueError("letters, digits, '_' and '-' are expected, at most 63")
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        number = int(value)
        if not least <= number <= most:
            raise ValueError(f"a number of {least} to {most:,} is expected")
        return number

    return read


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 < number <= 3_600:
        raise ValueError("seconds, at most 3600, are expected")
    return number


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("true or false is expected")
    return value.lower() == "true"


_SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "schema": _name,
    "pool": _whole(1, 1_000),
    "timeout": _seconds,
    "connect": _seconds,
    "hnsw_above": _whole(0, 10**12),
    "take_over": _truth,
}


def _unusable(url: str, problem: str) -> InvalidInputError:
    return InvalidInputError(
        "url",
        f"{masked(url)!r} cannot be used: {problem}",
        fix="Write postgresql://user@host:5432/database?schema=NAME.",
    )
