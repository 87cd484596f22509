"""Whatever byte of a backup is changed, verify() says so, and other points stay whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bruno_memory_vec import backup_store, open_memory, restore_backup, verify_backup
from bruno_memory_vec.errors import EngineError
from tests.backup.support import files_of, flip, restored, state
from tests.durability.support import message


async def two_points(source: str, place: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        await memory.store_message(message("in the second point"), "talk", user_id="ana")
        await memory.backup(place)


async def test_a_changed_byte_in_any_file_is_found(source: str, tmp_path: Path) -> None:
    place = tmp_path / "b"
    await two_points(source, place)
    files = [path for path in files_of(place) if path.name != "backup.lock"]
    assert len(files) > 7
    for path in files:
        kept = path.read_bytes()
        for at in (0, len(kept) // 2, len(kept) - 1):
            flip(path, at)
            check = await verify_backup(place)
            assert not check.ok, (path, at)
            path.write_bytes(kept)
        path.write_bytes(kept[:-1])
        assert not (await verify_backup(place)).ok, path
        path.unlink()
        assert not (await verify_backup(place)).ok, path
        path.write_bytes(kept)
    assert (await verify_backup(place)).ok


async def test_a_changed_byte_anywhere_in_the_file_is_found(source: str, tmp_path: Path) -> None:
    place = tmp_path / "one.backup"
    await two_points(source, place)
    size = place.stat().st_size
    kept = place.read_bytes()
    # Every place in the first record's frame, and many others.
    for at in (*range(0, 140, 3), *range(140, size, size // 60), size - 1):
        flip(place, at)
        check = await verify_backup(place)
        assert not check.ok, at
        place.write_bytes(kept)
    assert (await verify_backup(place)).ok


async def test_a_point_that_is_whole_is_restored_beside_one_that_is_not(
    source: str, each_place: Path, tmp_path: Path
) -> None:
    async with open_memory(source, embedder="hash") as memory:
        then = await state(memory)
    await two_points(source, each_place)
    check = await verify_backup(each_place)
    first, second = check.points
    chunk = ({held.chunk for held in second.chunks} - {held.chunk for held in first.chunks}).pop()
    if not each_place.suffix:
        flip(each_place / chunk, 20)
    else:
        data = files_of(each_place)[0].read_bytes()
        flip(each_place, data.index(chunk.encode()) + len(chunk) + 60)
    check = await verify_backup(each_place)
    assert list(check.broken) == [2]
    said = f"{chunk} in {each_place} is not as it was written, which point 2 needs"
    assert said in check.problems[0]
    assert await restored(each_place, tmp_path / "r1", at=1) == then
    with pytest.raises(EngineError, match="is not as it was written"):
        await restore_backup(each_place, tmp_path / "r2")


async def test_without_its_head_the_points_are_found(source: str, tmp_path: Path) -> None:
    place = tmp_path / "b"
    await two_points(source, place)
    flip(place / "backup.json", 30)
    check = await verify_backup(place)
    assert [point.number for point in check.points] == [1, 2]
    assert "the list of points is damaged" in check.problems[0]
    report = await backup_store(source, place)
    assert report.point.number == 3
    check = await verify_backup(place)
    assert check.ok, check
    assert [point.number for point in check.points] == [1, 2, 3]


async def test_a_copy_of_a_backup_is_one(source: str, place: Path, tmp_path: Path) -> None:
    await two_points(source, place)
    copy = tmp_path / f"moved{place.suffix}"
    (shutil.copyfile if place.suffix else shutil.copytree)(place, copy)
    assert (await verify_backup(copy)).ok
    assert len(await restored(copy, tmp_path / "r")) == 23


@pytest.mark.parametrize("kind", ["chunks", "lists"])
async def test_what_is_missing_is_read_from_the_store_again(
    source: str, place: Path, tmp_path: Path, kind: str
) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        for path in files_of(place / kind):
            path.unlink()
        report = await memory.backup(place)
        assert (report.written, report.point.rows, report.ok) == (22, 22, True)
        assert await restored(place, tmp_path / "r") == await state(memory)


async def test_a_full_backup_mends(source: str, each_place: Path, tmp_path: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(each_place)
        (held,) = (await verify_backup(each_place)).points[0].chunks
        if each_place.suffix:
            data = files_of(each_place)[0].read_bytes()
            flip(each_place, data.index(held.chunk.encode()) + len(held.chunk) + 60)
        else:
            flip(each_place / held.chunk, 20)
        assert not (await verify_backup(each_place)).ok
        await memory.backup(each_place)
        assert list((await verify_backup(each_place)).broken) == [1, 2]
        report = await memory.backup(each_place, full=True)
        assert report.written == 22
        check = await verify_backup(each_place)
        assert not check.broken
        assert await restored(each_place, tmp_path / "r") == await state(memory)
