"""A writer killed between any two steps of a change: the hot context shows what the rows hold."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.support import HERE, Nursery
from tests.durability.test_crash import Model, check, fill

_MORE_THAN_THERE_ARE = 100
# More than a context holds, so that it is filled again from the rows.
_MESSAGES = 30


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery(HERE / "child_crash_points.py")
    yield made
    made.close()


@pytest.mark.slow
async def test_killed_between_two_steps(nursery: Nursery, tmp_path: Path) -> None:
    old, before = await a_store_with_a_past(nursery, tmp_path)
    died: list[str] = []
    for point in range(1, _MORE_THAN_THERE_ARE):
        # A copy each: what is compared would grow with the store. One that is killed again and
        # again is in test_crash.py.
        folder, log, model = tmp_path / "store", tmp_path / "log", copy.deepcopy(before)
        shutil.copytree(old, folder)
        where = run_to(nursery, folder, log, model, point)
        try:
            await check(folder, model, point)
        except AssertionError as error:
            raise AssertionError(f"killed {where}, after {died}: {error}") from error
        shutil.rmtree(folder)
        if where == "done":
            break
        assert where.startswith(("before ", "after ")), where
        died.append(where)
    print(f"killed {len(died)} times: {', '.join(died)}")
    steps = {"append", "replace", "delete", "apply", "mark_stale", "refill"}
    # A row in the log; in LanceDB too, with the log's file still there; and the file gone.
    steps |= {"log append", "land", "log remove"}
    assert set(died) == {f"{when} {step}" for when in ("before", "after") for step in steps}


async def a_store_with_a_past(nursery: Nursery, tmp_path: Path) -> tuple[Path, Model]:
    """A store whose writer was killed after all of its work, and what it holds."""
    folder, model = tmp_path / "old", Model()
    await fill(folder, model, _MESSAGES)
    assert run_to(nursery, folder, tmp_path / "log", model, _MORE_THAN_THERE_ARE) == "done"
    await check(folder, model, 0)
    return folder, model


def run_to(nursery: Nursery, folder: Path, log: Path, model: Model, point: int) -> str:
    """Let a child work to the point at which it dies, and read its log. Where it was."""
    log.unlink(missing_ok=True)
    nursery.start(model.order(folder, log, point, point=point))
    assert nursery.hear() == "open"
    where = nursery.hear()
    nursery.kill_child()
    model.read(log)
    return where
