"""The files of a store's other form: the sessions in SQLCipher and in SQLite, and what goes."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.private import make_private_file
from bruno_memory_vec.sessions.database import connect, kinds
from bruno_memory_vec.sessions.sqlite import SCHEMA_VERSION

_ENDINGS = ("", "-wal", "-shm", "-journal", ".checksum")


def copy_sessions(source: Path, target: Path, key: bytes, *, encrypt: bool) -> int:
    """Write the sessions of a closed store anew in their other form; returns how many lines.

    Args:
        source: the file as it is.
        target: the file in its other form; one that is there is replaced.
        key: the key of the sealed one.
        encrypt: whether ``target`` is the sealed one.

    Raises:
        BackendUnavailable: a file cannot be read or written.
        EngineError: the copy does not agree with the source.
        MissingDependencyError: ``sqlcipher3`` is not installed.
    """
    try:
        for ending in _ENDINGS:
            target.with_name(target.name + ending).unlink(missing_ok=True)
        make_private_file(target)
        # SQLCipher reads plain files, too, when it is given no key.
        with closing(
            connect(str(source), b"" if encrypt else key, isolation_level=None)
        ) as database:
            said = f"x'{key.hex()}'" if encrypt else ""
            database.execute(f'ATTACH DATABASE ? AS other KEY "{said}"', (str(target),))
            database.execute("SELECT sqlcipher_export('other')")
            database.execute(f"PRAGMA other.user_version = {SCHEMA_VERSION}")
            names = database.execute(
                "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name"
            ).fetchall()
            lines = 0
            for (name,) in names:
                count = f'SELECT count(*) FROM {{}}."{name}"'  # noqa: S608  # of our own schema
                ((mine,),) = database.execute(count.format("main")).fetchall()
                ((theirs,),) = database.execute(count.format("other")).fetchall()
                if mine != theirs:
                    raise EngineError(
                        "sqlite",
                        "copy the sessions",
                        f"the table {name} has {mine:,} lines and its copy {theirs:,}",
                        fix="The store is as it was. Run: bruno-memory-vec doctor",
                    )
                lines += mine
            database.execute("DETACH DATABASE other")
        with target.open("rb+") as file:
            os.fsync(file.fileno())
    except kinds("Error", OSError) as error:
        raise BackendUnavailable(
            "sqlite",
            "copy the sessions",
            str(error),
            fix=f"The store is as it was. Check the free space and permissions of {target.parent}.",
            cause=error,
        ) from error
    return lines
