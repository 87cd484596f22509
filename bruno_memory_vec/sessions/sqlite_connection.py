"""Connecting to a SQLite file, and its failures in our shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from bruno_memory_vec.errors import BackendUnavailable, EngineError

ENGINE = "sqlite"

T = TypeVar("T")


@contextmanager
def errors(operation: str, path: str) -> Iterator[None]:
    """Give every failure of SQLite our shape."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise BackendUnavailable(
            ENGINE,
            operation,
            str(error),
            fix=f"Check that the folder of {path} has free space and may be written. If the file "
            f"is damaged, {_MOVE_AWAY}",
            cause=error,
        ) from error
    except ValueError as error:
        # aiosqlite says so when its connection is gone. Else the file holds what was never written:
        # text that is none, or no row where there always is one.
        gone = "connection" in str(error).lower()
        raise EngineError(
            ENGINE,
            operation,
            str(error),
            fix="Open the memory again." if gone else f"{path} is damaged: {_MOVE_AWAY}",
            cause=error,
        ) from error


_MOVE_AWAY = (
    "close the store and move it away: it is rebuilt from the rows, without sessions and user "
    "profiles."
)


def thread_of(connection: aiosqlite.Connection) -> Any:
    """The thread in which a connection's calls run."""
    # Older versions of aiosqlite are a thread themselves.
    return getattr(connection, "_thread", connection)


async def connect(path: str, read_only: bool) -> aiosqlite.Connection:
    """An open connection to a path or a ``file:`` URI."""
    if not read_only:
        return await _start(path)
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"  # noqa: ASYNC240  # reads no file
    connection = await _start(uri)
    try:
        await connection.execute_fetchall("PRAGMA user_version")
    except sqlite3.OperationalError:
        await connection.close()
        # In a folder that may not be written, the file cannot be shared with a writer, and there
        # is none that could change it.
        connection = await _start(f"{uri}&immutable=1")
    return connection


async def _start(path: str) -> aiosqlite.Connection:
    connection = aiosqlite.connect(path, uri=path.startswith("file:"))
    # A forgotten close() must not keep the interpreter from ending: aiosqlite's thread is no
    # daemon, and would be waited for.
    thread_of(connection).daemon = True
    await connection
    return connection


async def transact(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do a whole transaction on the connection's thread, in one visit to it.

    A visit costs as much as a dozen statements, so work of several is not awaited one by one.
    Where it fails, or its caller is cancelled before it commits, nothing of it stays.
    """
    abandoned = False

    def run(database: sqlite3.Connection) -> T:
        try:
            result = work(database)
            if abandoned:
                database.rollback()
            else:
                database.commit()
        except BaseException:
            database.rollback()
            raise
        return result

    # What aiosqlite's own methods are made of: none of them takes a function.
    visit: Callable[..., Awaitable[T]] = connection._execute
    try:
        return await visit(run, connection._conn)
    except BaseException:
        abandoned = True
        # Behind it in the thread's queue: whoever comes next finds it ended.
        await connection.rollback()
        raise
