"""Rows that are there twice: told by doctor and maintain, never in the way, folded by a repair."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bruno_memory_vec import VectorMemory, diagnose_store, open_memory, repair_store
from bruno_memory_vec.indexers.checksum import with_checksums
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.snapshot import LOADED
from tests.durability.support import message, rows_of, turns_of

TEXTS = [f"word{number}x at the harbour" for number in range(6)]


async def add_again(memory: VectorMemory, of: int, changes: dict[str, object]) -> None:
    """A copy of a row, written past the writer."""
    store = await memory._lazy.get()
    engine = store.rows
    while hasattr(engine, "inner"):
        flush = getattr(engine, "flush", None)
        if flush is not None:
            await flush()
        engine = engine.inner
    row = await engine.read(EVERYONE, RowFilter(), LOADED, seqs=[of])
    for name, value in changes.items():
        place = row.schema.get_field_index(name)
        column = pa.array([value], row.schema.field(place).type)
        row = row.set_column(place, row.schema.field(place), column)
    await engine.upsert(with_checksums(row), all_new=True)


CASES: dict[str, dict[str, object]] = {
    "the same row": {},
    "its key with a newer number": {"seq": 50, "content": "word9x, said better"},
    "another row with its number": {"id": "00000000-0000-0000-0000-000000000009", "turn": 70},
    "another row in its turn": {"id": "00000000-0000-0000-0000-000000000009", "seq": 50},
    "another row in its turn, with its number": {"id": "00000000-0000-0000-0000-000000000009"},
}


@pytest.mark.parametrize("case", CASES)
async def test_told_and_folded(tmp_path: Path, case: str) -> None:
    folder = str(tmp_path / "store")
    async with open_memory(folder, embedder="hash") as memory:
        await memory.store_messages([message(text) for text in TEXTS], "talk", user_id="ana")
        await add_again(memory, 2, CASES[case])
    # It opens, for writing and reading, and goes on.
    async with open_memory(folder, embedder="hash", read_only=True) as reader:
        assert await reader.recall("word2x", user_id="ana")
    async with open_memory(folder, embedder="hash") as memory:
        assert await memory.recall("word2x", user_id="ana")
        await memory.store_message(message("goes on"), "talk", user_id="ana")
        report = await memory.maintain()
        assert not report.ok
    checks = {check.name: check for check in await diagnose_store(folder, embedder="hash")}
    assert checks["doubled"].state == "problem"
    assert "--repair" in checks["doubled"].fix
    repaired = await repair_store(folder, embedder="hash")
    assert repaired.ok, repaired.maintenance
    assert "twice" in repaired.rebuilt[0]
    assert all(check.state != "problem" for check in await diagnose_store(folder, embedder="hash"))
    async with open_memory(folder, embedder="hash") as memory:
        rows = await rows_of(memory)
        other = "id" in CASES[case]
        assert len(rows) == len(TEXTS) + 1 + other
        assert len({row["seq"] for row in rows}) == len({row["id"] for row in rows}) == len(rows)
        turns = await turns_of(memory, "talk")
        assert len({turn for turn, _ in turns}) == len(turns) == len(rows)
        said = sorted(text for _, text in turns)
        if case == "its key with a newer number":
            assert "word9x, said better" in said
            assert TEXTS[2] not in said
        else:
            assert set(TEXTS) <= set(said)
        shown = (await memory.get_context("ana", "talk")).messages
        assert sorted(one.content for one in shown) == said
        (hit,) = await memory.recall("word4x", user_id="ana", k=1)
        assert hit.content == TEXTS[4]
        kept = message("and more")
        await memory.store_message(kept, "talk", user_id="ana")
        assert await memory.delete_messages(kept.id) == 1
        assert (await memory.health())["problems"] == {}
