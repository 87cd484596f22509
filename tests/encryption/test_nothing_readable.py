"""Nothing that an encrypted store was given can be read in its files, in whatever state it is."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import open_memory, reembed
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.sealed.rows import DIMENSION
from bruno_memory_vec.upkeep.exporting import importing
from tests.durability.support import sessions_written
from tests.encryption.support import (
    CONVERSATIONS,
    KEY,
    SECRETS,
    USERS,
    WORDS,
    fill,
    forms,
    found_in,
    message,
    opened,
    run_child,
)


def test_the_search_finds_words_in_each_form(tmp_path: Path) -> None:
    for number, (_, data) in enumerate(forms("PlectrumGate42").items()):
        (tmp_path / str(number)).write_bytes(b"before" + data + b"after")

    told = found_in(tmp_path)

    assert len({line.split(" ")[0] for line in told}) == len(forms("PlectrumGate42"))


async def test_the_search_finds_what_a_plain_store_holds(tmp_path: Path) -> None:
    """So what it does not find in an encrypted one is not there."""
    memory = await opened(tmp_path / "store")
    await fill(memory)
    await memory.close()

    told = " ".join(found_in(tmp_path / "store"))

    for word in SECRETS:
        assert word in told, word


async def test_open_and_closed(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    for user in USERS:
        assert await memory.recall(WORDS[1], user_id=user, k=3)
    await sessions_written(memory)

    assert found_in(tmp_path) == []  # open, rows in the log
    await memory.close()
    assert found_in(tmp_path) == []


async def test_after_upkeep_and_deletions(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    await memory.clear_history(CONVERSATIONS[1], keep_system_messages=False)
    await memory.store_message(message(0), CONVERSATIONS[0], user_id=USERS[0])
    await memory.recall(WORDS[0], user_id=USERS[0])

    report = await memory.maintain()

    assert report.ok, str(report)
    assert found_in(tmp_path) == []
    await memory.close()
    assert found_in(tmp_path) == []


async def test_after_another_embedder(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    await memory.close()

    await reembed(str(tmp_path / "store"), "static", key=KEY)

    assert found_in(tmp_path) == []
    async with open_memory(tmp_path / "store", key=KEY) as again:
        hits = await again.recall(WORDS[1], user_id=USERS[0], k=3)
        assert any(WORDS[1] in hit.content for hit in hits)


async def test_a_snapshot(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)

    report = await memory.snapshot(tmp_path / "copy")

    await memory.close()
    assert report.ok, str(report)
    assert found_in(tmp_path) == []
    again = await opened(tmp_path / "copy", key=KEY)
    assert await again.recall(WORDS[1], user_id=USERS[0], k=3)
    await again.close()


_FILLS_AND_DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.encryption.support import KEY, fill, opened

async def main():
    memory = await opened(Path(sys.argv[1]), key=KEY)
    await fill(memory)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_after_a_kill(tmp_path: Path) -> None:
    assert await asyncio.to_thread(run_child, _FILLS_AND_DIES, tmp_path / "store") < 0

    assert found_in(tmp_path) == []
    again = await opened(tmp_path / "store", key=KEY)
    assert await again.recall(WORDS[1], user_id=USERS[1], k=3)
    assert len((await again.get_context(USERS[0], CONVERSATIONS[0])).messages) == 12
    await again.close()


async def test_every_column_that_the_engines_open(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    await memory.close()

    index = await LanceIndex.open(str(tmp_path / "store" / "rows"), DIMENSION, read_only=True)
    held = await index.read(EVERYONE, RowFilter(), [*COLUMNS, "vector"])
    await index.close()

    assert held.num_rows == 26
    said = repr(held.to_pylist())
    assert [word for word in SECRETS if word in said] == []
    # All others are the same in every row, so they say nothing.
    telling = {
        name for name in held.column_names if len(set(map(repr, held.column(name).to_pylist()))) > 1
    }
    plain = {"id", "kind", "user_id", "conversation_id", "turn", "content", "seq", "words"}
    assert telling == plain
    with (
        sqlite3.connect(tmp_path / "store" / "sessions.sealed") as database,
        pytest.raises(sqlite3.DatabaseError),
    ):
        database.execute("SELECT * FROM sqlite_schema")
    database.close()


async def test_a_repair_that_gives_rows_up(tmp_path: Path) -> None:
    from bruno_memory_vec import diagnose_store, repair_store

    store = tmp_path / "store"
    memory = await opened(store, key=KEY)
    await fill(memory)
    await memory.maintain()
    await memory.snapshot(tmp_path / "copy")
    await memory.store_memory(
        MemoryEntry(content=WORDS[5], user_id=USERS[0], memory_type=MemoryType.FACT)
    )
    await memory.close()
    # The newest row is lost: the sessions know it, and the rows do not have it.
    shutil.rmtree(store / "rows")
    shutil.copytree(tmp_path / "copy" / "rows", store / "rows")

    checks = await diagnose_store(str(store), embedder="hash", key=KEY)
    assert any(one.state == "problem" for one in checks)
    report = await repair_store(str(store), embedder="hash", key=KEY)

    assert report.ok
    assert (store / "losses.jsonl").exists()
    assert found_in(tmp_path) == []
    checks = await diagnose_store(str(store), embedder="hash", key=KEY)
    assert [one for one in checks if one.state == "problem"] == []
    assert any(one.name == "losses" for one in checks)


async def test_a_backup(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)

    await memory.backup(tmp_path / "backup")

    await memory.close()
    assert found_in(tmp_path) == []


async def test_an_export_is_readable_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await fill(memory)
    (tmp_path / "out").mkdir()

    await memory.export(tmp_path / "out" / "all.jsonl")

    await memory.close()
    assert found_in(tmp_path / "store") == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.jsonl"]
    assert found_in(tmp_path / "out")


async def test_what_an_import_puts_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large export passes through a folder: what a killed process leaves there says nothing."""
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    monkeypatch.setattr(importing, "_IN_MEMORY_BYTES", 0)
    found: list[str] = []
    sizes: list[int] = []

    def looked_at(what: str, done: int, of: int) -> None:
        found.extend(found_in(aside))
        sizes.append(sum(one.stat().st_size for one in aside.rglob("*") if one.is_file()))

    async with await opened(tmp_path / "plain") as memory:
        await fill(memory)
        await memory.export(tmp_path / "all.jsonl")
    async with await opened(tmp_path / "sealed", key=KEY) as memory:
        report = await memory.import_export(tmp_path / "all.jsonl", progress=looked_at)
        assert report.verified == report.rows > 20
    assert (found, max(sizes) > 1_000) == ([], True)
    assert found_in(tmp_path / "sealed") == []
    assert list(aside.iterdir()) == []


async def test_archives_within_an_archive_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    inner, path = io.BytesIO(), tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.jsonl", '{"conversation_id": "c", "role": "user", "content": "hi"}')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    async with await opened(tmp_path / "sealed", key=KEY) as memory:
        assert (await memory.ingest(path)).added == 1
        assert (await memory.ingest(io.BytesIO(path.read_bytes()))).unchanged == 1
