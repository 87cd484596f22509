"""A writer killed between any two steps of a change: the hot context shows what the rows hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.support import HERE, Nursery
from tests.durability.test_crash import Model, check

pytestmark = pytest.mark.slow

_MORE_THAN_THERE_ARE = 100


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery(HERE / "child_crash_points.py")
    yield made
    made.close()


async def test_killed_between_two_steps(nursery: Nursery, tmp_path: Path) -> None:
    folder, log, model = tmp_path / "store", tmp_path / "log", Model()
    died: list[str] = []
    for point in range(1, _MORE_THAN_THERE_ARE):
        log.unlink(missing_ok=True)
        nursery.start(model.order(folder, log, point, point=point))
        assert nursery.hear() == "open"
        where = nursery.hear()
        nursery.kill_child()
        model.read(log)
        try:
            await check(folder, model, point)
        except AssertionError as error:
            raise AssertionError(f"killed {where}, after {died}: {error}") from error
        if where == "done":
            break
        assert where.startswith(("before ", "after ")), where
        died.append(where)
    print(f"killed {len(died)} times: {', '.join(died)}")
    steps = {"append", "replace", "delete", "apply", "mark_stale", "refill"}
    # A row in the log; in LanceDB too, with the log's file still there; and the file gone.
    steps |= {"log append", "land", "log remove"}
    assert set(died) == {f"{when} {step}" for when in ("before", "after") for step in steps}
