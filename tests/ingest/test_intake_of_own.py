"""Exports of this library among what is ingested."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from tests.ingest.intake_support import contents, export, said, stored

BRUNO_MEMORY = Path(__file__).parent / "bruno_memory" / "bruno-memory-0.1.5.sqlite.gz"


@pytest.fixture
async def exported(tmp_path: Path) -> Path:
    """An export of two messages and a memory."""
    async with open_memory("memory://", embedder="hash") as memory:
        rows = [said("Said first", timestamp="2025-01-01"), said("Said then")]
        await memory.ingest(export(tmp_path / "trip.jsonl", rows))
        await memory.store_memory(
            MemoryEntry(content="Ana likes tea", user_id="ana", memory_type=MemoryType.FACT)
        )
        await memory.export(tmp_path / "out.jsonl")
    return tmp_path / "out.jsonl"


async def test_it_comes_back(exported: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        report = await memory.ingest(exported)
        assert (report.added, report.memories, report.conversations) == (3, 1, 1)
        assert report.users == ("ana",)
        first, then = await stored(memory)
        assert (first.timestamp.year, then.metadata) == (2025, {"time_inferred": True})
        again = await memory.ingest(exported)
        assert (again.added, again.unchanged) == (0, 3)


async def test_with_other_files(exported: Path, tmp_path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        report = await memory.ingest([exported, export(tmp_path / "b.jsonl", [said("B", "b")])])
        assert (report.added, report.conversations) == (4, 2)
        assert await contents(memory) == ["Said first", "Said then"]


async def test_it_keeps_its_users(exported: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        with pytest.raises(InvalidInputError, match="rows are taken in as they are"):
            await memory.ingest(exported, user_id="zoe", replace_user=True)
        with pytest.raises(ForeignUserError, match="ana"):
            await memory.for_user("zoe").ingest(exported)
        assert not await contents(memory)


async def test_a_large_file_of_bruno_memory(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(gzip.decompress(BRUNO_MEMORY.read_bytes()))
    with closing(sqlite3.connect(path)) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(messages)")]
        row = database.execute("SELECT * FROM messages WHERE conversation_id = 'trip'").fetchone()
        marks = ", ".join("?" for _ in columns)
        for _ in range(1_100):
            new = dict(zip(columns, row, strict=True)) | {"id": str(uuid4())}
            database.execute(f"INSERT INTO messages VALUES ({marks})", list(new.values()))
    async with open_memory("memory://", embedder="hash") as memory:
        report = await memory.ingest(path)
        assert (report.added, report.memories) == (1_107, 6)
        assert (await memory.ingest(path)).unchanged == 1_107
        assert await memory.list_sessions(user_id="ana")


async def test_a_dry_run_where_there_is_no_store(exported: Path, tmp_path: Path) -> None:
    """It tells what the real one does, and makes no store."""
    place = tmp_path / "store"
    memory = VectorMemory(place, embedder="hash")  # which is opened by its first use
    report = await memory.ingest(exported, dry_run=True)
    await memory.close()
    assert (report.added, report.memories, report.users) == (3, 1, ("ana",))
    assert not place.exists()
