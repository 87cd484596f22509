"""Pruning removes points, and what was deleted is gone with the last point that had it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import list_backup, open_memory, prune_backup, verify_backup
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError
from bruno_memory_vec.upkeep.backup.chunks import rows_of_parts, unpacked
from bruno_memory_vec.upkeep.backup.places import repository
from bruno_memory_vec.upkeep.backup.sealing import PLAIN
from tests.backup.support import files_of, restored, state
from tests.durability.support import message


async def texts(place: Path) -> set[str]:
    """Every text in any piece of a backup, whether a point has it or not."""
    found = set()
    async with repository("target", place) as opened:
        for name in opened.names():
            if name.startswith("chunks/"):
                for _, table in rows_of_parts(unpacked(opened.read(name), name), PLAIN, name):
                    assert table is not None
                    found.update(table.column("content").to_pylist())
    return found


async def test_what_was_deleted_goes_with_its_last_point(
    source: str, each_place: Path, tmp_path: Path
) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.store_message(message("a secret"), "talk", user_id="ana")
        await memory.backup(each_place)
        await memory.clear_history("talk")
        await memory.backup(each_place)
        await memory.store_message(message("and on"), "talk", user_id="ana")
        await memory.backup(each_place)
        then = await state(memory)
    assert "a secret" in await texts(each_place)
    report = await prune_backup(each_place, keep=2, dry_run=True)
    assert [point.number for point in report.removed] == [1]
    assert len(await list_backup(each_place)) == 3
    report = await prune_backup(each_place, keep=2)
    assert report.rewritten >= 1
    assert "a secret" not in await texts(each_place)
    assert [point.number for point in await list_backup(each_place)] == [2, 3]
    check = await verify_backup(each_place)
    assert check.ok, check
    assert await restored(each_place, tmp_path / "r3") == then
    assert await restored(each_place, tmp_path / "r2", at=2) == then[:-1]
    async with open_memory(source, embedder="hash") as memory:
        backed = await memory.backup(each_place)
        assert (backed.point.number, backed.written) == (4, 0)


async def test_a_pruning_without_anything_to_do_changes_nothing(source: str, place: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
    before = await list_backup(place)
    report = await prune_backup(place, keep=5)
    assert (report.removed, report.rewritten) == ((), 0)
    assert await list_backup(place) == before


async def test_wrong_arguments(tmp_path: Path, place: Path) -> None:
    with pytest.raises(InvalidInputError, match="keep"):
        await prune_backup(place, keep=0)
    with pytest.raises(NotAStoreError):
        await prune_backup(place, keep=1)
    assert not files_of(place)
