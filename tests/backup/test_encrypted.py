"""The backup of an encrypted store is sealed under its keys, and a destroyed key erases there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import (
    backup_store,
    list_backup,
    open_memory,
    prune_backup,
    restore_backup,
    verify_backup,
)
from bruno_memory_vec.errors import InvalidInputError, StoreError
from tests.backup.support import files_of, restored, state
from tests.copying.support import assert_same, fill, store_of
from tests.durability.support import message

KEY = bytes(range(32))


async def test_nothing_of_it_is_readable_and_all_of_it_comes_back(tmp_path: Path) -> None:
    place = tmp_path / "b"
    async with open_memory(tmp_path / "a", embedder="hash", key=KEY) as memory:
        await fill(memory)
        await memory.backup(place)
        then = await state(memory)
        await memory.store_message(message("a later secret"), "talk", user_id="ben")
        await memory.backup(place)
        words = (b"violin", b"harbour", b"secret", b"talk", b"Ana", b"cleo", b"lives")
        for path in files_of(place):
            data = path.read_bytes()
            assert not [word for word in words if word in data], path
        with pytest.raises(InvalidInputError, match="is one file"):
            await memory.backup(tmp_path / "one.backup")
        check = await verify_backup(place, key=KEY)
        assert (check.ok, check.rows, check.erased) == (True, 23, 0), check
        assert await restored(place, tmp_path / "plain", at=1, source_key=KEY) == then
        report = await restore_backup(place, tmp_path / "sealed", key=KEY)
        assert report.ok, report
        async with open_memory(tmp_path / "sealed", embedder="hash", key=KEY) as other:
            await assert_same(memory, other)
    for path in files_of(tmp_path / "sealed"):
        assert b"violin" not in path.read_bytes()
    assert [point.number for point in await list_backup(place)] == [1, 2]


async def test_a_destroyed_key_erases_its_user_from_all_points(tmp_path: Path) -> None:
    place = tmp_path / "b"
    async with open_memory(tmp_path / "a", embedder="hash", key=KEY) as memory:
        await fill(memory)
        await memory.backup(place)
        receipt = await memory.forget_user("ana")
        assert f"the backup in {place}" in receipt.erased
        for _ in range(2):
            check = await verify_backup(place, key=KEY)
            assert check.ok, check
            assert (check.rows, check.erased) == (11, 0)  # they are not even there
            await memory.backup(place)
    rows = await restored(place, tmp_path / "r", at=1, source_key=KEY)
    assert {row["user_id"] for row, _ in rows} == {"ben"}
    await prune_backup(place, keep=1, key=KEY)
    assert (await verify_backup(place, key=KEY)).ok


async def test_a_key_that_is_missing_or_another_one_is_told(tmp_path: Path) -> None:
    place = tmp_path / "b"
    async with open_memory(tmp_path / "a", embedder="hash", key=KEY) as memory:
        await fill(memory)
    await backup_store(str(tmp_path / "a"), place, key=KEY)
    with pytest.raises(StoreError, match="is of an encrypted store, and no key was given"):
        await restore_backup(place, tmp_path / "r")
    with pytest.raises(BrunoError):
        await restore_backup(place, tmp_path / "r", source_key=os.urandom(32))
    with pytest.raises(BrunoError):
        await verify_backup(place, key=os.urandom(32))
    assert not files_of(tmp_path / "r")


async def test_a_plain_backup_is_none_of_an_encrypted_store(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "a", embedder="hash") as memory:
        await memory.store_message(message("x"), "talk", user_id="ana")
        await memory.backup(tmp_path / "b")
    async with open_memory(tmp_path / "c", embedder="hash", key=KEY) as memory:
        await store_of(memory)
        with pytest.raises(StoreError, match="the backup is sealed as 'plain'"):
            await memory.backup(tmp_path / "b")
