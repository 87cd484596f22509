"""A store of another version's format is refused as it is, and says what to do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import diagnose_store, open_memory
from bruno_memory_vec.errors import StoreVersionError
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION

READING = pytest.mark.parametrize("read_only", [False, True])


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    made = tmp_path / "memory"
    async with open_memory(str(made), embedder="hash") as memory:
        await memory.store_message(
            Message(role=MessageRole.USER, content="Hello."), "talk", user_id="ana"
        )
    return made


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but what only says that somebody is there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("writer.") and "sqlite-" not in path.name
    }


async def refused(folder: Path, **settings: Any) -> str:
    before, threads = files(folder), set(threading.enumerate())
    with pytest.raises(StoreVersionError) as refusal:
        async with open_memory(str(folder), embedder="hash", **settings):
            pass
    assert files(folder) == before
    # Nobody is left behind with a file in hand; what asyncio keeps has none.
    for one in set(threading.enumerate()) - threads:
        if not one.name.startswith("asyncio"):
            await asyncio.to_thread(one.join, 10)
            assert not one.is_alive()
    return str(refusal.value)


@READING
@pytest.mark.parametrize("by", [1, 40])
async def test_the_rows(folder: Path, by: int, read_only: bool) -> None:
    path = folder / "store.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    schema = data["schema"] + by
    path.write_text(json.dumps({**data, "schema": schema, "written_by": "9.9"}), encoding="utf-8")
    told = await refused(folder, read_only=read_only)
    assert f"format {schema}" in told
    assert "9.9" in told
    assert "pip install -U" in told


@READING
@pytest.mark.parametrize("schema", [0, SCHEMA_VERSION - 1])
async def test_rows_of_an_older_format(folder: Path, schema: int, read_only: bool) -> None:
    path = folder / "store.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "schema": schema, "written_by": "0.0.9"}), encoding="utf-8")
    told = await refused(folder, read_only=read_only)
    assert f"format {schema}, older than {SCHEMA_VERSION}" in told
    assert "written by 0.0.9" in told
    assert f"bruno-memory-vec migrate {folder}" in told
    with pytest.raises(StoreVersionError, match="bruno-memory-vec migrate"):
        await diagnose_store(str(folder), embedder="hash")


@pytest.mark.parametrize("schema", [None, "4", 1.5, [], True])
async def test_a_number_that_is_none(folder: Path, schema: Any) -> None:
    path = folder / "store.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "schema": schema}), encoding="utf-8")
    assert "backup" in await refused(folder)


@READING
@pytest.mark.parametrize("by", [-1, 1, 40])
async def test_the_sessions(folder: Path, by: int, read_only: bool) -> None:
    (folder / "sessions.sqlite.checksum").unlink(missing_ok=True)  # or it counts as damaged
    with sqlite3.connect(folder / "sessions.sqlite") as database:
        ((version,),) = database.execute("PRAGMA user_version")
        assert version > 0
        database.execute(f"PRAGMA user_version = {version + by}")
    database.close()
    told = await refused(folder, read_only=read_only)
    assert f"sessions schema {version + by}, {'newer' if by > 0 else 'older'} than" in told
    assert ("pip install -U" if by > 0 else "Move it away") in told
    # And nobody holds the folder: mended, it opens.
    (folder / "sessions.sqlite.checksum").unlink(missing_ok=True)  # or it counts as damaged
    with sqlite3.connect(folder / "sessions.sqlite") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    async with open_memory(str(folder), embedder="hash") as memory:
        assert len(await memory.retrieve_messages("talk")) == 1
