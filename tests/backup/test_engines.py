"""Stores of other kinds, backed up and restored row by row; and what a sealing does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import backup_store, copy_store, open_memory, restore_backup, verify_backup
from bruno_memory_vec.errors import StoreError
from bruno_memory_vec.upkeep.backup.making import backup_of
from bruno_memory_vec.upkeep.backup.pruning import prune_backup
from tests.backup.support import files_of, restored, state
from tests.copying.support import assert_same, fill, store_of
from tests.durability.support import message


@pytest.mark.slow
async def test_from_qdrant_into_a_folder_and_back(source: str, tmp_path: Path) -> None:
    qdrant, there = f"qdrant+local:{tmp_path / 'q'}", {"sessions": str(tmp_path / "s")}
    place = tmp_path / "b"
    assert (await copy_store(source, qdrant, **there)).ok
    report = await backup_store(qdrant, place, **there)
    assert (report.point.rows, report.ok) == (22, True)
    assert (await verify_backup(place)).ok
    await restored(place, tmp_path / "c")
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "c", embedder="hash") as c,
    ):
        await assert_same(a, c)
    again = f"qdrant+local:{tmp_path / 'q2'}"
    copied = await restore_backup(place, again, sessions=str(tmp_path / "s2"))
    assert (copied.verified, copied.ok) == (22, True)


@pytest.mark.redis_server
async def test_of_a_store_that_others_write(source: str, redis_url: str, tmp_path: Path) -> None:
    target, there = f"qdrant+local:{tmp_path / 'q'}", {"sessions": redis_url}
    assert (await copy_store(source, target, **there)).ok
    async with open_memory(target, embedder="hash", **there) as memory:
        await memory.backup(tmp_path / "b")
        await memory.store_message(message("later"), "talk", user_id="ana")
        report = await memory.backup(tmp_path / "b")
        assert (report.point.rows, report.written, report.ok) == (23, 1, True)
    assert len(await restored(tmp_path / "b", tmp_path / "r")) == 23


async def test_a_store_in_memory(place: Path, tmp_path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await fill(memory)
        await memory.backup(place)
        assert await restored(place, tmp_path / "r") == await state(memory)


class Boxes:
    """A sealing with a key a user, as an encrypted store has one: here a byte each."""

    name = "boxes"
    by_user = True

    def __init__(self) -> None:
        self.destroyed: set[str] = set()

    def seal(self, data: bytes, user_id: str | None) -> bytes:
        owner = (user_id or "").encode()
        return bytes([len(owner)]) + owner + bytes(byte ^ 0x5A for byte in data)

    def open(self, sealed: bytes) -> bytes | None:
        owner = sealed[1 : 1 + sealed[0]].decode()
        if owner in self.destroyed:
            return None
        return bytes(byte ^ 0x5A for byte in sealed[1 + sealed[0] :])


@pytest.mark.slow
async def test_a_destroyed_key_erases_its_user_from_every_point(
    source: str, place: Path, tmp_path: Path
) -> None:
    boxes = Boxes()
    async with open_memory(source, embedder="hash") as memory:
        store = await store_of(memory)
        await backup_of(store, place, sealing=boxes)
        await memory.store_message(message("later"), "talk", user_id="ben")
        await backup_of(store, place, sealing=boxes)
        everything = await state(memory)
        with pytest.raises(StoreError, match="sealed as 'boxes'"):
            await memory.backup(place)
    data = b"".join(path.read_bytes() for path in files_of(place))
    assert b"violin" not in data
    assert await restored(place, tmp_path / "r0", sealing=boxes) == everything
    boxes.destroyed.add("ana")
    for number in (1, 2):
        rows = await restored(place, tmp_path / f"r{number}", at=number, sealing=boxes)
        assert {row["user_id"] for row, _ in rows} == {"ben"}
    check = await verify_backup(place, sealing=boxes)
    assert (check.ok, check.erased) == (True, 11), check
    async with open_memory(source, embedder="hash") as memory:
        await memory.clear_history("talk")
        await backup_of(await store_of(memory), place, sealing=boxes)
    await prune_backup(place, keep=1, sealing=boxes)
    check = await verify_backup(place, sealing=boxes)
    assert check.ok, check
