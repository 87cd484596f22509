"""The connection to the sessions' file, and the one that is made where its thread has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore, thread_of

_NORMAL, _FULL = 1, 2


async def settings(store: SQLiteSessionStore) -> tuple[int, str, int]:
    found = []
    for name in ("busy_timeout", "journal_mode", "synchronous"):
        ((value,),) = await store._read(f"PRAGMA {name}")
        found.append(value)
    busy, journal, synchronous = found
    return busy, journal, synchronous


async def end_its_thread(store: SQLiteSessionStore) -> None:
    """As when an answer comes for a caller whose event loop is closed."""
    connection = store._connection
    await connection.close()
    for _ in range(12_000):
        if not thread_of(connection).is_alive():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("its thread goes on")


@pytest.mark.parametrize("fsync", [False, True])
async def test_a_connection_made_anew_is_as_safe_as_the_first(tmp_path: Path, fsync: bool) -> None:
    store = await SQLiteSessionStore.open(tmp_path / "sessions.sqlite", 20, fsync=fsync)
    first = (5000, "wal", _FULL if fsync else _NORMAL)
    assert await settings(store) == first
    await store.set_current_conversation("ana", "talk")
    await end_its_thread(store)
    assert await settings(store) == first
    await store.leave("another", "ana")
    assert await store.current_conversation("ana") == "talk"
    await store.close()


async def test_a_readers_connection_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    writer = await SQLiteSessionStore.open(path, 20)
    reader = await SQLiteSessionStore.open(path, 20, read_only=True)
    await end_its_thread(reader)
    assert (await settings(reader))[0] == 5000
    assert await reader.last_seq() == -1
    await reader.close()
    await writer.close()
