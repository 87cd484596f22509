"""A backup or a pruning that is killed leaves the points that were there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import backup_store, list_backup, open_memory, prune_backup, verify_backup
from tests.backup.support import restored, state
from tests.durability.support import Nursery, message


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    made = Nursery(Path(__file__).with_name("child_backup.py"))
    yield made
    made.close()


def killed_at(children: Nursery, order: dict[str, object], moment: str, time: int = 1) -> None:
    """Let a child work, and kill it when it has come to this moment so many times."""
    children.start(json.dumps({**order, "moment": moment, "time": time}))
    while (line := children.hear()) != "reached":
        assert line, "the nursery has ended"
        assert line != "ended", f"it never came to {moment}"
    children.kill_child()


@pytest.mark.parametrize("name", ["b", pytest.param("b.backup", marks=pytest.mark.slow)])
async def test_a_killed_backup_leaves_the_points_before(
    children: Nursery, source: str, name: str, tmp_path: Path
) -> None:
    each_place = tmp_path / name
    async with open_memory(source, embedder="hash") as memory:
        await memory.backup(each_place)
        then = await state(memory)
        for number in range(9):
            await memory.store_message(message(f"{number}"), "talk", user_id="ana")
        now = await state(memory)
    order: dict[str, object] = {"source": source, "target": str(each_place)}
    for moment, time in (("before write", 1), ("after write", 3), ("before write_head", 1)):
        killed_at(children, order, moment, time)
        check = await verify_backup(each_place)
        assert check.ok, check
        assert [point.number for point in check.points] == [1]
    # What the killed ones have left is in nobody's way.
    killed_at(children, order, "after write_head")
    assert [point.number for point in await list_backup(each_place)] == [1, 2]
    report = await backup_store(source, each_place)
    assert (report.point.number, report.point.added, report.written) == (3, 0, 0)
    check = await verify_backup(each_place)
    assert check.ok, check
    assert await restored(each_place, tmp_path / "r1", at=1) == then
    assert await restored(each_place, tmp_path / "r2", at=2) == now


@pytest.mark.slow
async def test_the_first_backup_that_was_killed_goes_on(
    children: Nursery, source: str, each_place: Path, tmp_path: Path
) -> None:
    for moment in ("before write", "after write"):
        killed_at(children, {"source": source, "target": str(each_place)}, moment)
    report = await backup_store(source, each_place)
    assert (report.point.number, report.point.rows) == (1, 22)
    assert (await verify_backup(each_place)).ok
    assert len(await restored(each_place, tmp_path / "r")) == 22


@pytest.mark.slow
async def test_a_killed_pruning_has_removed_points_or_not(
    children: Nursery, source: str, each_place: Path, tmp_path: Path
) -> None:
    async with open_memory(source, embedder="hash") as memory:
        for number in range(3):
            await memory.store_message(message(f"{number}"), "talk", user_id="ana")
            await memory.backup(each_place)
            if number < 2:
                await memory.clear_history("talk")
        now = await state(memory)
    for moment, numbers in (
        ("before write", [1, 2, 3]),
        ("before write_head", [1, 2, 3]),
        ("after write_head", [2, 3]),
    ):
        killed_at(children, {"target": str(each_place), "keep": 2}, moment)
        check = await verify_backup(each_place)
        assert check.ok, check
        assert [point.number for point in check.points] == numbers
    await prune_backup(each_place, keep=1)
    assert [point.number for point in await list_backup(each_place)] == [3]
    assert (await verify_backup(each_place)).ok
    assert await restored(each_place, tmp_path / "r") == now
