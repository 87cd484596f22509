"""Vectors by key in one SQLite file of bounded size, shared by processes; failures raise nothing.

Why not a caching library: diskcache has had no release since 2023 and unpickles files from the disk
(CVE-2025-69872, not fixed), and neither it nor other key-value stores read a batch at once. Python
includes SQLite, which is safe with several processes and if one of them is killed.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.forks import spare_in_children
from bruno_memory_vec.indexers.private import (
    make_private_file,
    make_private_folder,
    refuse_link,
)
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)
T = TypeVar("T")

_NAME = re.compile(r"embeddings-([1-9]\d{0,8})\.sqlite")
_APPLICATION_ID = 0x624D5645  # "bMVE": marks a file as ours
# A row takes its vector's bytes and about 100 more. With several rows on a page little is wasted.
_PAGE = 16_384
_ROW_OVERHEAD = 128
_ROWS_A_COMMIT = 1_000
# If another process's commit takes longer than this, the call goes on without the cache.
_WAIT_SECONDS = 2.0
# Resolution of "last used": recording every hit would make every read a write.
_USE_SECONDS = 3_600
# How far an eviction goes below the bound, so that not every commit has to evict.
_KEPT = 0.9

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    key BLOB PRIMARY KEY, used INTEGER NOT NULL, mark BLOB NOT NULL, vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS vectors_by_use ON vectors (used);
"""
# Parts of SQLite's messages that do not mean damage.
_NOT_DAMAGE = ("locked", "unable to open", "full", "disk I/O", "locking protocol", "memory")
_FIND = "SELECT used, mark, vector FROM vectors WHERE key = ?"

# Connections inherited through a fork. SQLite forbids using them, and also closing them.
_inherited: list[sqlite3.Connection] = []


class VectorFile:
    """float32 vectors by key; the least recently used ones are evicted first.

    No method raises errors of the disk or of SQLite: a cache that fails acts like an empty one. The
    failure is logged as a warning and shown in `health`. A damaged file stays where it is, and a
    file with the next number is begun, because a file that other processes have open cannot be
    renamed safely. Files before the damaged one are deleted.

    Every vector has a checksum over itself and its key, so that a damaged page, or an index that
    points to the wrong row, gives a miss and not a wrong vector.

    Args:
        folder: made at the first use; holds ``embeddings-1.sqlite`` and SQLite's journal.
        max_bytes: bound of the file's size; the journal takes some MB more. If it is lowered,
            vectors are evicted, but the file shrinks only when it is cleared.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._number = 0
        self._open: tuple[int, sqlite3.Connection] | None = None  # (process, connection)
        self._closer: Any = None
        self._lock = Lock()
        self._problems: dict[
            str, str
        ] = {}  # by operation: a successful read does not clear a failed write
        self._damaged = 0

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, NDArray[np.float32]]:
        """The vectors that are stored and undamaged, float32 of shape (dimension,), read-only."""

        def work(connection: sqlite3.Connection) -> dict[bytes, NDArray[np.float32]]:
            found, idle, broken = {}, [], 0
            now = int(time.time())
            # One transaction, because otherwise SQLite locks the file for every key.
            with _Transaction(connection, "DEFERRED"):
                for key in keys:
                    row = connection.execute(_FIND, (key,)).fetchone()
                    if row is None:
                        continue
                    used, mark, vector = row
                    if not whole(key, mark, vector, dimension):
                        broken += 1
                        continue
                    found[key] = np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False)
                    if not isinstance(used, int) or abs(now - used) > _USE_SECONDS:
                        idle.append(key)
            if broken:
                _log.warning("embedding_cache_rows_damaged", folder=str(self._folder), rows=broken)
            if idle:
                self._touch(connection, idle, now)
            return found

        return self._guarded("read", work, {}) if keys else {}

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store vectors, replacing those with the same keys. A kill leaves no incomplete row."""

        def work(connection: sqlite3.Connection) -> None:
            largest = max(vector.nbytes for vector in vectors.values()) + _ROW_OVERHEAD
            # Commits are far smaller than the bound, so that mostly old vectors are evicted.
            size = max(1, min(_ROWS_A_COMMIT, self._max_bytes // (4 * largest)))
            for keys in _slices(list(vectors), size):
                rows = []
                for key in keys:
                    vector = np.ascontiguousarray(vectors[key], dtype="<f4").tobytes()
                    rows.append((key, int(time.time()), mark_of(key, vector), vector))
                with _Transaction(connection):
                    self._evict(connection, len(rows) * largest)
                    connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?,?,?,?)", rows)

        if vectors:
            self._guarded("write", work, None)

    def clear(self) -> None:
        """Delete everything and shrink the file."""

        def work(connection: sqlite3.Connection) -> None:
            with _Transaction(connection):
                connection.execute("DELETE FROM vectors")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        self._guarded("write", work, None)

    def health(self) -> dict[str, Any]:
        """``folder``, ``vectors`` and ``bytes`` held, ``max_bytes``, ``damaged``, ``problem``."""

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            count = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
            return count, _used_bytes(connection)

        count, size = self._guarded("read", work, (0, 0))
        return {
            "folder": str(self._folder),
            "vectors": count,
            "bytes": size,
            "max_bytes": self._max_bytes,
            "damaged": self._damaged,
            "problem": next(iter(self._problems.values()), None),
        }

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        with self._lock:
            self._disconnect()

    def _guarded(self, what: str, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            # Twice: if the file is damaged, again with a new one.
            for _ in range(2):
                try:
                    result = work(self._connection())
                except (OSError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
                    if not self._is_damage(error) or not self._begin_anew(error):
                        self._done_without(what, error)
                        return otherwise
                else:
                    self._problems.pop(what, None)
                    return result
            return otherwise

    def _done_without(self, what: str, error: Exception) -> None:
        self._disconnect()
        problem = f"the embedding cache in {self._folder} cannot be used ({what}): {error}"
        if what not in self._problems:  # logged once, and not at every call while the disk is full
            _log.warning("embedding_cache_unusable", problem=problem)
        self._problems[what] = problem

    def _connection(self) -> sqlite3.Connection:
        if self._open is not None and self._open[0] != os.getpid():
            _inherited.append(self._open[1])
            self._closer.detach()
            self._open = None
        if self._open is None:
            make_private_folder(self._folder)
            self._number = max(self._number, *_numbers(self._folder), 1)
            path = _file(self._folder, self._number)
            make_private_file(path)
            for ending in ("-wal", "-shm", "-journal"):
                refuse_link(_file(self._folder, self._number, ending))
            connection = _connect(path)
            spare_in_children(self)
            self._open = os.getpid(), connection
            # Closes the connection of an embedder that was not closed, with its last reference.
            self._closer = weakref.finalize(self, connection.close)
            self._closer.atexit = False
        return self._open[1]

    def _disconnect(self) -> None:
        if self._open is not None and self._open[0] == os.getpid():
            self._closer()
            self._open = None

    def _is_damage(self, error: Exception) -> bool:
        """Whether an error means that the file is damaged, and not locked, full, forbidden, ..."""
        if isinstance(error, OSError):
            return False
        if not isinstance(error, sqlite3.OperationalError):
            return True  # a message that is not UTF-8 quotes the damaged schema
        # Python 3.10 has no error codes. Other OperationalErrors are SQLite's answers to a
        # schema or a file format that it cannot use.
        if "readonly" in str(error):  # also the message for a header that needs a newer SQLite
            return os.access(_file(self._folder, self._number), os.W_OK)
        return not any(words in str(error) for words in _NOT_DAMAGE)

    def _begin_anew(self, error: Exception) -> bool:
        """Begin the next file; False if the folder does not permit it."""
        self._disconnect()
        damaged = _file(self._folder, self._number)
        self._damaged += 1
        self._number += 1
        _log.warning("embedding_cache_begun_anew", put_aside=str(damaged), error=str(error))
        try:
            for number in _numbers(self._folder):
                if number < self._number - 1:
                    for ending in ("", "-wal", "-shm"):
                        _file(self._folder, number, ending).unlink(missing_ok=True)
        except OSError as refused:
            _log.warning("embedding_cache_not_removed", error=str(refused))
            return False
        return True

    def _touch(self, connection: sqlite3.Connection, keys: list[bytes], now: int) -> None:
        connection.execute("PRAGMA busy_timeout = 0")  # a read must not wait for it
        try:
            with _Transaction(connection):
                rows = [(now, key) for key in keys]
                connection.executemany("UPDATE vectors SET used = ? WHERE key = ?", rows)
        except sqlite3.OperationalError as error:
            # Another process writes, or the disk is full or read-only. The vectors are read anyway.
            _log.debug("embedding_cache_use_not_noted", error=str(error))
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * _WAIT_SECONDS)}")

    def _evict(self, connection: sqlite3.Connection, coming: int) -> None:
        size = _used_bytes(connection)
        if size + coming <= self._max_bytes:
            return
        count = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        excess = size + coming - _KEPT * self._max_bytes
        connection.execute(
            "DELETE FROM vectors WHERE rowid IN "
            "(SELECT rowid FROM vectors ORDER BY used, rowid LIMIT ?)",
            (int(excess / max(size, 1) * count) + 1,),
        )


def _connect(path: Path) -> sqlite3.Connection:
    # check_same_thread: calls come from a pool of threads, one at a time (VectorFile._lock).
    connection = sqlite3.connect(
        path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # Damage can turn a blob into text, which need not be UTF-8.
        connection.text_factory = bytes
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if _is_foreign(connection):
            raise sqlite3.DatabaseError("it is no embedding cache")
        # WAL lets readers work beside a writer. Without support by the file system, SQLite keeps
        # its default.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {4 * 2**20 // _PAGE}")
        connection.execute(f"PRAGMA journal_size_limit = {8 * 2**20}")
        if _application_id(connection) != _APPLICATION_ID:
            with _Transaction(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_foreign(connection: sqlite3.Connection) -> bool:
    if _application_id(connection) == _APPLICATION_ID:
        columns = connection.execute("SELECT name FROM pragma_table_info('vectors')").fetchall()
        return [name for (name,) in columns] != [b"key", b"used", b"mark", b"vector"]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    # The id is read again, because another process may have made the tables meanwhile.
    return tables > 0 and _application_id(connection) != _APPLICATION_ID


def _application_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


class _Transaction:
    """BEGIN ... COMMIT; rolled back on an error. IMMEDIATE waits for other writers."""

    def __init__(self, connection: sqlite3.Connection, how: str = "IMMEDIATE") -> None:
        self._connection = connection
        self._how = how

    def __enter__(self) -> None:
        self._connection.execute(f"BEGIN {self._how}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def mark_of(key: bytes, vector: bytes) -> bytes:
    """A checksum of 8 bytes over a vector and its key."""
    return hashlib.blake2b(vector, key=key, digest_size=8).digest()


def whole(key: bytes, mark: Any, vector: Any, dimension: int) -> bool:
    """Whether what was stored is the vector of this key, of float32 (dimension,)."""
    return (
        isinstance(vector, bytes) and len(vector) == 4 * dimension and mark == mark_of(key, vector)
    )


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int((pages - free) * connection.execute("PRAGMA page_size").fetchone()[0])


def _file(folder: Path, number: int, ending: str = "") -> Path:
    return folder / f"embeddings-{number}.sqlite{ending}"


def _numbers(folder: Path) -> list[int]:
    found = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return [int(match.group(1)) for match in found if match is not None]


def _slices(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (items[start : start + size] for start in range(0, len(items), size))
