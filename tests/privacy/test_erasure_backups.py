"""A user is forgotten in every point of the backups that a store knows of."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory, restore_backup
from bruno_memory_vec.upkeep.backup.verifying import verify_backup
from tests.durability.on_disk import found
from tests.privacy.test_erasure import ANA, BEN, SETTINGS, Said, fill, said


@pytest.mark.parametrize(
    "name", ["backup", pytest.param("one.backup", marks=pytest.mark.slow), "sealed"]
)
async def test_it_goes_from_every_point(tmp_path: Path, name: str) -> None:
    if name == "sealed":
        pytest.importorskip("sqlcipher3")
    key: dict[str, Any] = {"key": b"k" * 32} if name == "sealed" else {}
    folder, backup, ana, ben = tmp_path / "store", tmp_path / name, Said("a"), Said("b")
    async with open_memory(str(folder), **SETTINGS, **key) as memory:
        await fill(memory, ANA, ana, "talk of ana")
        await fill(memory, BEN, ben, "talk of ben")
        group = await memory.for_user(BEN).conversations.create([ANA], title="The boat")
        await memory.for_user(ANA).store_message(said(ana.text()), group.conversation_id)
        await memory.backup(backup)
        await memory.for_user(BEN).store_message(said(ben.text()), "talk of ben")
        await memory.for_user(ANA).store_message(said(ana.text()), "talk of ana")
        await memory.backup(backup)
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert receipt.counts["backups"] == 1
        of_ben = [one.content for one in await memory.retrieve_messages("talk of ben")][::-1]
        again = await memory.forget_user(ANA)
        assert again.ok, again
        assert (await memory.backup(backup)).ok
    verified = await verify_backup(backup, **key)
    assert verified.ok, verified
    for number, messages in ((1, 13), (2, 14)):
        target = tmp_path / f"restored {number}"
        await restore_backup(backup, target, at=number, **key)
        async with open_memory(str(target), **SETTINGS, **key) as memory:
            assert (await memory.get_statistics(ANA))["total_messages"] == 0
            assert (await memory.get_statistics(BEN))["total_messages"] == messages
            assert (await memory.remains(ANA, ["we talked about zqa000xxxxxxxxxx and then"])).ok
            members = await memory.for_user(BEN).conversations.members(group.conversation_id)
            assert [one.user_id for one in members] == [BEN]
            kept = {one.content for one in await memory.retrieve_messages("talk of ben")}
            assert kept == set(of_ben[: 11 + number])
        if not key:
            assert await found(target, [*ana.words, ANA.partition(".")[2]]) == {}


async def test_one_that_cannot_be_changed_is_named(tmp_path: Path) -> None:
    folder, backup = tmp_path / "store", tmp_path / "backup"
    async with open_memory(str(folder), **SETTINGS) as memory:
        await memory.store_message(said("hello there"), "a", user_id=ANA)
        await memory.backup(backup)
        for path in backup.rglob("*"):
            if path.is_file() and "chunks" in str(path.parent):
                path.write_bytes(b"damaged")
        receipt = await memory.forget_user(ANA)
        assert not receipt.ok
        assert [one.what for one in receipt.not_erased] == [f"the backup in {backup}"]
    assert datetime.now(timezone.utc) >= receipt.finished_at
