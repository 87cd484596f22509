"""A copy that is killed goes on where it was, and ends as one that was not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import copy_store, open_memory
from bruno_memory_vec.errors import StoreError
from tests.copying.support import assert_same, fill
from tests.durability.support import Nursery, rows_of

ROWS = 60


@pytest.fixture(scope="module")
def copiers() -> Iterator[Nursery]:
    made = Nursery(Path(__file__).with_name("child_copier.py"))
    yield made
    made.close()


def killed_at(copiers: Nursery, order: str, moment: str) -> list[str]:
    """Let a child copy, and kill it once it has said this."""
    copiers.start(order)
    said = []
    while (line := copiers.hear()) != moment:
        assert line, "the nursery has ended"
        said.append(line)
    return said + copiers.kill_child()


@pytest.mark.slow
async def test_a_killed_copy_goes_on(copiers: Nursery, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    async with open_memory(source, embedder="hash") as memory:
        await fill(memory, messages=ROWS // 2 + 1)
    order = {"source": str(source), "target": str(target), "rows": 20}
    # Amid the rows, and when what is not a row is about to come.
    moments = ("copying rows 40", "copying sessions 0")
    for moment in moments:
        killed_at(copiers, json.dumps(order), moment)
        async with open_memory(target, embedder="hash") as memory:
            ids = [(row["user_id"], row["id"]) for row in await rows_of(memory)]
            assert len(set(ids)) == len(ids)
            assert ids
            # It can be read, and that it is a part is told.
            health = await memory.health()
            assert "is not at its end" in health["problems"]["copying"]
    report = await copy_store(source, target)
    assert report.ok, report
    # Nothing is copied twice, whatever the last moment was.
    assert (report.copied, report.present, report.verified) == (0, ROWS, ROWS)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(target, embedder="hash") as b,
    ):
        await assert_same(a, b)
        assert (await b.health())["problems"] == {}


async def test_what_was_deleted_between_is_named_and_removed_where_that_is_said(
    copiers: Nursery, source: str, tmp_path: Path
) -> None:
    target = tmp_path / "b"
    order = {"source": str(source), "target": str(target), "rows": 5}
    killed_at(copiers, json.dumps(order), "copying rows 5")
    async with open_memory(source, embedder="hash") as memory:
        talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
        first = (await memory.read_turns(talk))[0].message
        await memory.delete_messages(first.id)
    with pytest.raises(StoreError, match=f"1 row that the source does not have.*{first.id}"):
        await copy_store(source, target)
    report = await copy_store(source, target, others="remove")
    assert report.ok, report
    assert report.removed == 1
    async with open_memory(target, embedder="hash") as memory:
        assert await memory.get_message(first.id) is None
