"""Each point of a backup gives the store back as it was then."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from bruno_memory_vec import (
    ALL_USERS,
    backup_store,
    list_backup,
    open_memory,
    restore_backup,
    verify_backup,
)
from bruno_memory_vec.errors import (
    FingerprintError,
    InvalidInputError,
    NotAStoreError,
    NotFoundError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.upkeep.backup import making
from bruno_memory_vec.upkeep.backup import source as restoring_source
from bruno_memory_vec.upkeep.backup.places import repository
from tests.backup.support import files_of, restored, state
from tests.copying.support import assert_same, store_of
from tests.durability.support import message
from tests.reembed.support import EVERYTHING, OLD


async def test_each_point_is_the_store_as_it_was(
    source: str, each_place: Path, tmp_path: Path
) -> None:
    then = []
    async with open_memory(source, embedder="hash") as memory:
        report = await memory.backup(each_place)
        assert (report.point.number, report.written, report.ok) == (1, 22, True)
        then.append(await state(memory))
        # New, stored again, deleted, pinned and used.
        talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
        first = (await memory.read_turns(talk))[0].message
        await memory.store_message(message("quite new"), talk)
        await memory.store_message(first.model_copy(update={"content": "other words"}), talk)
        await memory.delete_memory(str((await memory.list_memories("ben"))[0].id))
        await memory.pin(first.id, user_id="ana")
        await memory.recall("harbour", user_id="ben", k=3)
        report = await memory.backup(each_place)
        assert report.point.number == 2
        # One stored again and pinned, one new, and three that were used.
        assert (report.written, report.point.rows) == (5, 22)
        then.append(await state(memory))
        await memory.clear_history(talk, keep_system_messages=False)
        report = await memory.backup(each_place)
        assert (report.written, report.point.added) == (0, 0)
        assert report.point.removed == 22 - report.point.rows
        then.append(await state(memory))
        check = await verify_backup(each_place)
        assert check.ok, check
        for number, rows in enumerate(then, 1):
            assert await restored(each_place, tmp_path / f"r{number}", at=number) == rows


async def test_sessions_and_all_else_are_restored(source: str, place: Path, tmp_path: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        await restore_backup(place, tmp_path / "r")
        async with open_memory(tmp_path / "r", embedder="hash") as other:
            await assert_same(memory, other)


async def test_an_empty_store(place: Path, tmp_path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        report = await memory.backup(place)
        assert (report.point.rows, report.ok) == (0, True)
        await memory.store_message(message("x"), "talk", user_id="ana")
        await memory.backup(place)
        await memory.clear_history("talk")
        await memory.backup(place)
    assert (await verify_backup(place)).ok
    for number, rows in ((1, 0), (2, 1), (3, 0)):
        assert len(await restored(place, tmp_path / f"r{number}", at=number)) == rows


async def test_a_point_is_found_by_its_time(source: str, place: Path, tmp_path: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        one = (await memory.backup(place)).point.at
        await memory.store_message(message("later"), "talk", user_id="ana")
        two = (await memory.backup(place)).point.at
    assert len(await restored(place, tmp_path / "r1", at=two - timedelta(microseconds=1))) == 22
    assert len(await restored(place, tmp_path / "r2", at=two)) == 23
    assert len(await restored(place, tmp_path / "r3")) == 23
    with pytest.raises(NotFoundError, match="no point by"):
        await restore_backup(place, tmp_path / "r4", at=one - timedelta(microseconds=1))
    with pytest.raises(NotFoundError, match="no point of number 9"):
        await restore_backup(place, tmp_path / "r4", at=9)
    assert not (tmp_path / "r4").exists()


async def test_a_point_of_a_time_in_a_store_that_goes_on(
    source: str, place: Path, tmp_path: Path
) -> None:
    """Written by many tasks meanwhile, a point has all that was stored before some moment."""
    async with open_memory(source, embedder="hash") as memory:
        stop = asyncio.Event()

        async def write(name: str) -> None:
            number = 0
            while not stop.is_set():
                await memory.store_message(message(f"{number}"), name, user_id=name)
                number += 1
                await asyncio.sleep(0)

        writers = [asyncio.create_task(write(f"writer-{n}")) for n in range(3)]
        for _ in range(3):
            await asyncio.sleep(0.05)
            await memory.backup(place)
        stop.set()
        await asyncio.gather(*writers)
        whole = await state(memory)
    for number in (1, 2, 3):
        rows = await restored(place, tmp_path / f"r{number}", at=number)
        assert rows == whole[: len(rows)]
        assert len(rows) > 22


async def test_beside_a_writer_in_another_memory(source: str, place: Path, tmp_path: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.store_message(message("still in the log"), "talk", user_id="ana")
        report = await backup_store(source, place)
        assert report.point.rows == 23
        assert await restored(place, tmp_path / "r") == await state(memory)


async def test_only_the_last_rows_keep_writers_waiting(
    source: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_FEW", 3)
    async with open_memory(source, embedder="hash") as memory:
        report = await memory.backup(place)
        assert (report.written, report.point.rows, report.ok) == (22, 22, True)


async def test_many_small_chunks_become_few(
    source: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_MANY_SMALL", 3)
    async with open_memory(source, embedder="hash") as memory:
        for number in range(7):
            await memory.store_message(message(f"{number}"), "talk", user_id="ana")
            await memory.backup(place)
        points = await list_backup(place)
        assert max(len(point.chunks) for point in points) <= 4
        assert await restored(place, tmp_path / "r") == await state(memory)
        assert len(await restored(place, tmp_path / "r2", at=2)) == 24


@pytest.mark.slow
async def test_another_embedder_is_all_anew(source: str, place: Path, tmp_path: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        then = await state(memory)
        await memory.reembed(OLD)
        report = await memory.backup(place)
        assert (report.written, report.point.added, report.point.removed) == (22, 22, 22)
    assert await restored(place, tmp_path / "r1", at=1) == then
    with pytest.raises(FingerprintError):
        await restore_backup(place, tmp_path / "r1")
    report_2 = await restore_backup(place, tmp_path / "r2", embedder="hash")
    assert (report_2.embedded, report_2.ok) == (22, True)


async def test_back_into_the_store_itself(source: str, place: Path) -> None:
    async with open_memory(source, embedder="hash") as memory:
        then = await state(memory)
        await memory.backup(place)
        await memory.store_message(message("a mistake"), "talk", user_id="ana")
        gone = (await memory.list_memories("ana"))[0].id
        await memory.delete_memory(str(gone))
    with pytest.raises(StoreError, match="1 row that the source does not have"):
        await restore_backup(place, source)
    report = await restore_backup(place, source, others="remove")
    assert (report.copied, report.removed, report.ok) == (1, 1, True)
    async with open_memory(source, embedder="hash") as memory:
        ids = {row["id"] for row, _ in then}
        assert {row["id"] for row, _ in await state(memory)} == ids


@pytest.mark.slow
async def test_only_one_user(source: str, place: Path, tmp_path: Path) -> None:
    await backup_store(source, place)
    rows = await restored(place, tmp_path / "r", user_id="ben")
    assert {row["user_id"] for row, _ in rows} == {"ben"}
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "r", embedder="hash") as b,
    ):
        await assert_same(a, b, "ben")


async def test_a_view_makes_none(source: str, place: Path) -> None:
    from bruno_core.utils.exceptions import BrunoError

    async with open_memory(source, embedder="hash") as memory:
        with pytest.raises(BrunoError):
            await memory.for_user("ana").backup(place)
    assert not files_of(place)


async def test_what_is_no_place_is_refused(source: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(InvalidInputError, match=r"holds something else, such as letter\.txt"):
        await backup_store(source, other)
    with pytest.raises(InvalidInputError, match="is no backup"):
        await backup_store(source, other / "letter.txt")
    with pytest.raises(InvalidInputError, match="is inside the store"):
        await backup_store(source, Path(source) / "b")
    with pytest.raises(InvalidInputError, match="is no path"):
        await backup_store(source, "s3://bucket/b")
    with pytest.raises(NotAStoreError, match="there is no store"):
        await backup_store(str(tmp_path / "none"), tmp_path / "b")
    with pytest.raises(NotAStoreError, match="there is no backup"):
        await verify_backup(tmp_path / "b")
    assert not files_of(tmp_path / "b")
    assert (other / "letter.txt").read_text() == "dear"


async def test_two_at_once_are_refused(source: str, place: Path) -> None:
    await backup_store(source, place)
    async with repository("target", place, write=True):
        with pytest.raises(StoreLockedError, match="in use by another"):
            await backup_store(source, place)
        assert len(await list_backup(place)) == 1


async def test_files_are_for_their_owner_only(source: str, place: Path) -> None:
    await backup_store(source, place)
    assert {path.stat().st_mode & 0o777 for path in files_of(place)} == {0o600}


async def test_a_point_of_another_schema_is_refused(
    source: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backup_store(source, place)
    monkeypatch.setattr(restoring_source, "SCHEMA_VERSION", 99)
    with pytest.raises(StoreVersionError, match=r"have the schema \d+, and this version has 99"):
        await restore_backup(place, tmp_path / "r")
    assert not files_of(tmp_path / "r")


async def test_what_a_sparse_chunk_has_of_a_damaged_row_stays(
    source: str, place: Path, tmp_path: Path
) -> None:
    """Most of the chunk is deleted, so it is to be read again; one row of it cannot be."""
    import pyarrow as pa

    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        store = await store_of(memory)
        for session in await memory.list_sessions(user_id=ALL_USERS):
            await memory.clear_history(session.conversation_id, keep_system_messages=False)
        then = await state(memory)
        assert len(then) == 2
        await memory.backup(place)
        seq = (await store.rows.read(*EVERYTHING, ("seq",))).column("seq").to_pylist()[0]
        await store.rows.update(pa.table({"seq": [seq], "importance": [0.125]}))
        report = await memory.backup(place)
        assert (report.point.rows, report.written, report.ok) == (2, 1, True)
    assert await restored(place, tmp_path / "r") == then


async def test_a_damaged_row_is_told_and_kept_from_before(
    source: str, place: Path, tmp_path: Path
) -> None:
    """A row that the disk has changed is in the new point as it was in the last one."""
    import pyarrow as pa

    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(place)
        then = await state(memory)
        store = await store_of(memory)
        seq = await store.rows.last_seq()
        await store.rows.update(pa.table({"seq": [seq], "importance": [0.125]}))
        report = await memory.backup(place)
        assert (report.written, report.ok) == (0, True)
        await memory.backup(tmp_path / "new")
        report = await memory.backup(tmp_path / "new")
        assert not report.ok
        assert (
            f"1 row is damaged in the store and not in this point, such as seq {seq}"
            in (report.point.problems[0])
        )
    assert await restored(place, tmp_path / "r") == then
