"""SIGKILL at random moments of every kind of work: what was acknowledged is there, once, and found.

Each kind has a store of its own, in which its kills follow each other. After each kill the store is
opened and compared with what its writer had logged (tests/durability/test_crash.py). At the end
rows are looked for one by one: up to 1,500 in the long form.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lancedb
import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import Nursery, rows_of
from tests.durability.test_crash import (
    LONGEST_OPENING,
    SEED,
    Model,
    check,
    check_found,
    check_gone,
    fill,
)
from tests.reembed.support import named
from tests.reembed.test_killed import FIRST, SECOND, bring_back
from tests.torture.conftest import Torture, counts

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work to be killed in.

    Attributes:
        name: as in child_kills.py.
        kills: how many, in the short and in the long form.
        rows: that the store holds at first.
        begins: how often the work begins before the kill, at most.
        seconds: from its beginning to the kill, at most.
        steps: the operations of the log of which one should be under way.
    """

    name: str
    kills: tuple[int, int]
    rows: int
    begins: int
    seconds: float
    steps: tuple[str, ...] = ()


WORKS = (
    Work("write", (2, 50), rows=0, begins=1, seconds=0.5, steps=("put", "remember", "clear")),
    Work("maintain", (2, 25), rows=3000, begins=3, seconds=0.2, steps=("maintain",)),
    Work("delete", (2, 15), rows=2000, begins=4, seconds=0.04, steps=("clear", "forget")),
    Work("index", (2, 10), rows=3000, begins=1, seconds=0.3),
    Work("reembed", (2, 10), rows=1000, begins=4, seconds=0.2),
)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery(HERE / "child_kills.py")
    yield made
    made.close()


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
async def test_killed(nursery: Nursery, tmp_path: Path, torture: Torture, work: Work) -> None:
    dice = random.Random(f"{SEED} {work.name}")
    folder, log, model = tmp_path / "store", tmp_path / "log", Model()
    await fill(folder, model, work.rows)
    kills, acknowledged, amid, slowest = torture.choose(*work.kills), 0, 0, 0.0
    for number in range(kills):
        if work.name == "index":
            await drop_indexes(folder, dice)
        log.unlink(missing_ok=True)
        run_until_killed(nursery, work, model, folder, log, dice)
        if work.name == "index":
            amid += await missing_indexes(folder) != set()
        else:
            amid += was_amid(work, folder, log)
        acknowledged += model.read(log) if log.exists() else 0
        if work.name == "reembed":
            await bring_back(folder, model, dice)
        slowest = max(slowest, await check(folder, model, number))
        assert await missing_indexes(folder) == set(), f"seed {SEED}"
    sought, unfound = await look_for_each(folder, model, torture.choose(10, 1_500))
    counts(
        killed_in=work.name,
        seed=SEED,
        kills=kills,
        amid_the_work=amid,
        acknowledged=acknowledged,
        rows_found_one_by_one=sought,
        gone_words_not_found=unfound,
        longest_opening_s=slowest,
    )
    assert slowest < LONGEST_OPENING
    if torture.long:
        assert amid > 0, "no kill hit its work: the test shows nothing"
        # While the indexes are made nobody writes yet.
        assert acknowledged > 0 or work.name == "index", "nothing was written before the kills"


def run_until_killed(
    nursery: Nursery, work: Work, model: Model, folder: Path, log: Path, dice: random.Random
) -> None:
    """Let a child do its work and kill it at a random moment."""
    dimensions = [named(folder).fingerprint.dimension]
    dimensions.append(SECOND if dimensions == [FIRST] else FIRST)
    order = {"work": work.name, "load": True, "dimensions": dimensions}
    nursery.start(model.order(folder, log, dice.randrange(10**6), **order))
    for _ in range(dice.randint(1, work.begins)):
        while (heard := nursery.hear()) == "open":
            pass
        assert heard in ("now", "near", "moved"), f"the child failed: {heard} (seed {SEED})"
    time.sleep(dice.uniform(0, work.seconds))
    nursery.kill_child()


def was_amid(work: Work, folder: Path, log: Path) -> bool:
    """Whether the kill came while the work was under way."""
    if work.name == "reembed":
        return (folder / "reembed.json").exists()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ended = {line["ack"] for line in lines if "ack" in line}
    begun = {line["op"] for line in lines if any(step in line for step in work.steps)}
    return not begun <= ended


async def drop_indexes(folder: Path, dice: random.Random) -> None:
    """Most of them, so that the next opening has to make them over all rows."""
    table = await _table(folder)
    for index in await table.list_indices():
        if dice.random() < 0.8:
            await table.drop_index(index.name)


async def missing_indexes(folder: Path) -> set[str]:
    """The columns that should have an index and have none."""
    held = {
        column for index in await (await _table(folder)).list_indices() for column in index.columns
    }
    return {"user_id", "kind", "seq", "id", "conversation_id", "created_at", "tags"} - held


async def _table(folder: Path) -> lancedb.AsyncTable:
    database = await lancedb.connect_async(folder / named(folder).rows)
    return await database.open_table("rows")


async def look_for_each(folder: Path, model: Model, most: int) -> tuple[int, int]:
    """Look for rows by word and by vector, and for words that are gone; returns how many."""
    async with open_memory(str(folder), embedder="hash", recall_in_context=False) as memory:
        rows = await rows_of(memory)
        sought, gone = rows[-most:], model.old_words[-most:]
        await check_found(memory, sought)
        await check_gone(memory, gone, rows)
    return len(sought), len(gone)
