"""A store that was damaged in many ways at once, and repaired, passes the published suites.

They begin with an empty memory, so what the repair has kept is deleted first. The ordinary suite
has the one of bruno-core's interface; recall and listing come with the long form.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import lancedb
import pytest

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.testing import ListingConformance, MemoryConformance, RecallConformance
from tests.amounts import LONG
from tests.durability.support import message, rows_of, sessions_written
from tests.torture.faults import doctor

pytestmark = pytest.mark.slow

USER, TALK, EACH = "before", "before the damage", 12
CHANGED = b"message number 5 "


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repaired")
    asyncio.run(make(folder / "open", folder / "store"))
    damage(folder / "store")
    code, _ = doctor(folder / "store")
    assert code == 4
    code, report = doctor(folder / "store", "--repair")
    assert code == 0, report
    done = report["repaired"]
    assert done["rows"] == done["lexical"] == 2 * EACH - 2
    assert [len(done["losses"][name]) for name in ("lost", "removed")] == [1, 1]
    for what in ("twice", "the index of", "tantivy"):
        assert [one for one in done["rebuilt"] if what in one], done["rebuilt"]
    asyncio.run(empty(folder / "store"))
    assert doctor(folder / "store")[0] == 0
    return folder / "store"


async def make(folder: Path, image: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        texts = [f"message number {number} of those before" for number in range(2 * EACH)]
        await memory.store_messages([message(text) for text in texts[:EACH]], TALK, user_id=USER)
        await memory.maintain()
        for text in texts[EACH:]:
            await memory.store_message(message(text), TALK, user_id=USER)
        await sessions_written(memory)
        # As a kill leaves it: half of the rows are in the log.
        shutil.copytree(folder, image)


def damage(store: Path) -> None:
    """A row changed, a row twice, the last logged one cut, and every index halved."""
    (data,) = (store / "rows" / "rows.lance" / "data").glob("*.lance")
    whole = data.read_bytes()
    assert CHANGED in whole
    data.write_bytes(whole.replace(CHANGED, CHANGED.swapcase()))
    table = lancedb.connect(store / "rows").open_table("rows")
    table.add(table.to_arrow().slice(0, 1))
    (log,) = (store / "rows" / "log").glob("*.log")
    os.truncate(log, log.stat().st_size - 20)
    indexes = store / "rows" / "rows.lance" / "_indices"
    for path in [*indexes.rglob("*.lance"), *(store / "lexical").glob("*.term")]:
        os.truncate(path, path.stat().st_size // 2)


async def empty(store: Path) -> None:
    async with open_memory(str(store), embedder="hash") as memory:
        shown = (await memory.get_context(USER, TALK)).messages
        assert len(shown) == min(2 * EACH - 2, 20)
        await memory.conversations.delete(TALK)
        assert await rows_of(memory) == await memory.list_sessions(ALL_USERS) == []
        assert (await memory.maintain()).ok


class _Repaired:
    """Opens a copy of the repaired store."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _copy(self, repaired: Path, tmp_path: Path) -> None:
        shutil.copytree(repaired, tmp_path / "memory")

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(str(self.folder / "memory"), embedder="hash", **settings)


if LONG:

    class TestRepaired(_Repaired, RecallConformance):
        pass

    class TestRepairedListing(_Repaired, ListingConformance):
        pass

else:

    class TestRepairedMemory(_Repaired, MemoryConformance):
        pass
