"""How the connection to the sessions' file is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

_NORMAL, _FULL = 1, 2


async def settings(store: SQLiteSessionStore) -> tuple[int, str, int]:
    found = []
    for name in ("busy_timeout", "journal_mode", "synchronous"):
        ((value,),) = await store._read(f"PRAGMA {name}")
        found.append(value)
    busy, journal, synchronous = found
    return busy, journal, synchronous


@pytest.mark.parametrize("fsync", [False, True])
async def test_a_writers_connection(tmp_path: Path, fsync: bool) -> None:
    store = await SQLiteSessionStore.open(tmp_path / "sessions.sqlite", 20, fsync=fsync)
    assert await settings(store) == (5000, "wal", _FULL if fsync else _NORMAL)
    await store.close()


async def test_a_readers_connection_waits_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    writer = await SQLiteSessionStore.open(path, 20)
    reader = await SQLiteSessionStore.open(path, 20, read_only=True)
    assert (await settings(reader))[0] == 5000
    await reader.close()
    await writer.close()
