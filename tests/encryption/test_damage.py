"""Sealed rows that were changed, moved or whose key is gone: told, given out by nobody, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import diagnose_store, repair_store
from bruno_memory_vec.errors import EncryptionError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.sealed.rows import DIMENSION
from bruno_memory_vec.store.keys.keyring import KEYRING, destroy_in
from bruno_memory_vec.store.keys.master import as_master
from tests.encryption.support import KEY, USERS, WORDS, fill, found_in, opened


async def problems(store: Path) -> list[str]:
    checks = await diagnose_store(str(store), embedder="hash", key=KEY)
    return [one.name for one in checks if one.state == "problem"]


async def filled(store: Path) -> None:
    memory = await opened(store, key=KEY)
    await fill(memory)
    await memory.close()


async def changed(store: Path, **columns: object) -> None:
    """Change columns of the first row, as somebody with the disk can."""
    index = await LanceIndex.open(str(store / "rows"), DIMENSION)
    row = (await index.read(EVERYONE, RowFilter(), [*COLUMNS, "vector"])).slice(0, 1).to_pylist()[0]
    table = index.schema.empty_table().from_pylist([{**row, **columns}], schema=index.schema)
    await index.update(table.select(["seq", *columns]))
    await index.close()


async def content_of(store: Path) -> str:
    index = await LanceIndex.open(str(store / "rows"), DIMENSION, read_only=True)
    held = await index.read(EVERYONE, RowFilter(), ["content"])
    await index.close()
    return str(held.column("content")[0].as_py())


async def test_a_row_that_was_changed_is_told_and_given_up(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await filled(store)
    said = await content_of(store)
    await changed(store, content=f"{said[:40]}{'A' if said[40] != 'A' else 'B'}{said[41:]}")

    assert await problems(store) == ["damaged"]
    memory = await opened(store, key=KEY)
    found = [hit for user in USERS for hit in await memory.recall(WORDS[0], user_id=user, k=30)]
    assert len(found) == 25
    assert len((await memory.health())["rows"]["unopened"]) == 1
    await memory.close()
    report = await repair_store(str(store), embedder="hash", key=KEY)

    assert report.ok, str(report)
    assert await problems(store) == []
    assert found_in(store) == []


async def test_a_row_under_another_turn_does_not_open(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await filled(store)
    await changed(store, turn=99)

    assert await problems(store)


async def test_rows_of_a_destroyed_key_are_gone_for_everybody(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await filled(store)

    assert destroy_in(store, as_master(KEY), USERS[0])

    memory = await opened(store, key=KEY)
    assert await memory.recall(WORDS[1], user_id=USERS[0], k=5) == []
    assert await memory.recall(WORDS[1], user_id=USERS[1], k=5)
    await memory.close()
    await repair_store(str(store), embedder="hash", key=KEY)
    assert await problems(store) == []


async def test_a_lost_keyring_is_told(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await filled(store)
    (store / KEYRING).unlink()

    for opens in (opened(store, key=KEY), problems(store)):
        with pytest.raises(EncryptionError, match=r"keyring\.jsonl is missing"):
            await opens


async def test_a_store_without_rows_is_backed_up(tmp_path: Path) -> None:
    memory = await opened(tmp_path / "store", key=KEY)
    await memory.backup(str(tmp_path / "backup"))
    await memory.close()


async def test_who_was_forgotten_is_forgotten_in_the_keyring_too(tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory = await opened(store, key=KEY)
    await fill(memory)

    await memory.forget_user(USERS[0])

    assert await memory.recall(WORDS[1], user_id=USERS[0], k=5) == []
    assert await memory.recall(WORDS[1], user_id=USERS[1], k=5)
    await memory.close()
    assert not destroy_in(store, as_master(KEY), USERS[0])
    assert found_in(store) == []
    assert await problems(store) == []
