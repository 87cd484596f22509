"""Connections to the file of the sessions: of SQLite, or with a key of SQLCipher."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, cast

from bruno_memory_vec.errors import MissingDependencyError


def connect(path: str, key: bytes | None, **how: Any) -> sqlite3.Connection:
    """A connection to a path, or with ``uri=True`` to a URI.

    Args:
        path: where the file is.
        key: 32 bytes, for a file that SQLCipher encrypts: every page, and its log. None for none;
            an empty one for SQLCipher without a key, which reads a plain file.
        how: as of :func:`sqlite3.connect`.

    Raises:
        sqlite3.Error or SQLCipher's: it cannot be opened; see :func:`kinds`.
        MissingDependencyError: there is a key, and no ``sqlcipher3``.
    """
    if key is None:
        return cast("sqlite3.Connection", sqlite3.connect(path, **how))
    try:
        from sqlcipher3 import dbapi2
    except ImportError as error:
        raise MissingDependencyError("sqlcipher3", "encryption", cause=error) from error
    database = dbapi2.connect(path, **how)
    try:
        if key:
            # A key of 32 bytes is used as it is. Nobody logs this statement.
            database.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    except BaseException:
        database.close()
        raise
    return cast("sqlite3.Connection", database)


def kinds(name: str = "Error", *others: type[Exception]) -> tuple[type[Exception], ...]:
    """The errors of a name, of SQLite and of SQLCipher, whose errors are no kinds of SQLite's.

    Args:
        name: as :mod:`sqlite3` has it.
        others: further errors.
    """
    cipher = sys.modules.get("sqlcipher3.dbapi2")
    own = getattr(sqlite3, name)
    return (own, *others) if cipher is None else (own, getattr(cipher, name), *others)
