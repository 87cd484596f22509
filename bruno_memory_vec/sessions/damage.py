"""A damaged file of the sessions: how it is found, put aside, and made anew with what it still has.

What is in it follows from the rows, but for sessions and user profiles. SQLite has no checksums of
its pages, so a closed file has one beside it (``sessions.sqlite.checksum``), which goes while the
file is open for writing. Of a file that a killed process left, SQLite's own check has to do.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.sessions.database import connect, kinds

#: The end of the name of the file with the checksum.
CHECKSUM = ".checksum"
#: What a damaged file is called from then on: this and the time.
ASIDE = ".damaged-"

_SESSION = "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)"
_USER = "INSERT INTO users VALUES (?, ?, ?)"
_NOTE = "INSERT INTO notes VALUES (?, ?, ?)"
_PARTS = ("", "-wal", "-shm")
_PART = 2**20
# SQLite's check reads the whole file; of a larger one only what opening needs is looked at.
_CHECKED_BYTES = 2**26
_NOT_DAMAGE = ("locked", "busy", "unable to open", "readonly", "disk i/o", "permission", "full")


@dataclass(frozen=True, slots=True)
class Kept:
    """What could be read of a damaged file.

    Attributes:
        sessions: rows of the table ``sessions``, the oldest first.
        users: rows of the table ``users``.
        notes: rows of the table ``notes``.
    """

    sessions: tuple[tuple[Any, ...], ...]
    users: tuple[tuple[Any, ...], ...]
    notes: tuple[tuple[Any, ...], ...] = ()


def problem_of(path: Path, key: bytes | None = None) -> str | None:
    """What is wrong with a file that no process writes; None if nothing is, or there is none.

    It changes nothing. A file that cannot be reached is not damaged.
    """
    try:
        written = _checksum_beside(path)
        if written is not None and not path.exists():
            return "it is missing"
        if written is not None and written != _checksum_of(path):
            return "it is not as it was when it was closed"
        if path.stat().st_size == 0:
            return None  # made, and never written
        with closing(connect(f"{path.absolute().as_uri()}?mode=ro", key, uri=True)) as database:
            if path.stat().st_size <= _CHECKED_BYTES:
                ((found,),) = database.execute("PRAGMA quick_check(1)")
                if found != "ok":
                    return str(found)
            ((version,),) = database.execute("PRAGMA user_version")
            ((tables,),) = database.execute("SELECT count(*) FROM sqlite_schema")
            if not version:
                return "it has no tables of ours" if tables else None
            named = dict(database.execute("SELECT key, value FROM meta"))
            if not {"last_seq", "max_messages"} <= named.keys():
                return "a table lacks rows that are always there"
    except FileNotFoundError:
        return None
    except kinds("DatabaseError") as error:
        text = str(error)
        return None if any(word in text.lower() for word in _NOT_DAMAGE) else text
    except (OSError, ValueError):
        return None
    return None


def put_aside(path: Path) -> Path:
    """Give a damaged file, with its log, another name; returns it.

    Raises:
        OSError: it cannot be renamed.
    """
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}{ASIDE}{now}")
    for part in _PARTS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(aside.with_name(aside.name + part))
    path.with_name(path.name + CHECKSUM).unlink(missing_ok=True)
    return aside


def salvage(aside: Path, key: bytes | None = None) -> Kept:
    """The sessions and users that a damaged file still has, as far as they can be read."""
    return Kept(
        tuple(_readable(aside, key, "SELECT * FROM sessions ORDER BY started", 6)),
        tuple(_readable(aside, key, "SELECT * FROM users", 2)),
        tuple(_readable(aside, key, "SELECT * FROM notes", 2)),
    )


def put_back(path: Path, kept: Kept, key: bytes | None = None) -> tuple[int, int]:
    """Store what was salvaged in a new file; how many sessions and users it took."""
    taken = [0, 0, 0]
    parts = ((_SESSION, kept.sessions), (_USER, kept.users), (_NOTE, kept.notes))
    with closing(connect(str(path), key)) as database:
        for number, (insert, rows) in enumerate(parts):
            for row in rows:
                with suppress(*kinds()):
                    database.execute(insert, row)
                    taken[number] += 1
        database.commit()
    return taken[0], taken[1]


def seal(path: Path) -> None:
    """Keep the checksum of a file that was just closed; one with a log left has none."""
    with suppress(OSError):
        if not path.with_name(f"{path.name}-wal").exists() and path.exists():
            text = json.dumps(_checksum_of(path))
            beside = path.with_name(path.name + CHECKSUM)
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)


def unseal(path: Path) -> None:
    """Forget the checksum: the file is about to be written.

    Raises:
        OSError: it cannot be removed.
    """
    path.with_name(path.name + CHECKSUM).unlink(missing_ok=True)


def _checksum_beside(path: Path) -> list[int] | None:
    try:
        found = json.loads(path.with_name(path.name + CHECKSUM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, list) and len(found) == 2 and all(isinstance(n, int) for n in found)
    return found if whole else None


def _checksum_of(path: Path) -> list[int]:
    crc = size = 0
    with open(path, "rb") as file:
        while part := file.read(_PART):
            crc, size = zlib.crc32(part, crc), size + len(part)
    return [size, crc]


def _readable(path: Path, key: bytes | None, statement: str, payload: int) -> list[tuple[Any, ...]]:
    """The rows of a statement up to the first that cannot be read, without unreadable ones."""
    found: list[tuple[Any, ...]] = []
    try:
        with closing(connect(str(path), key)) as database:
            # Decoded here, because sqlite3 would end with the first text that is no UTF-8.
            database.text_factory = bytes
            for values in database.execute(statement):
                with suppress(Exception):  # whatever a changed text may do
                    row = tuple(v.decode() if isinstance(v, bytes) else v for v in values)
                    if row[payload] is not None and not isinstance(
                        tagged_json.loads(row[payload]), dict
                    ):
                        continue
                    found.append(row)
    except kinds("Error", UnicodeDecodeError):  # the latter for a column's name
        return found
    return found
