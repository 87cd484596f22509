"""SIGKILL amid deleting and erasing: after the next maintain() only what is alive is on disk."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from tests.durability.on_disk import WORD, found, unnamed
from tests.durability.support import Nursery
from tests.durability.test_crash import SEED
from tests.torture.child_erasing import WORDS, word
from tests.torture.conftest import Torture, counts

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery(HERE / "child_erasing.py")
    yield made
    made.close()


async def alive(memory: VectorMemory) -> set[str]:
    """The words of everything that the memory still gives."""
    told = [str(await memory.get_user("ana"))]
    for turn in range(3):
        told += [one.content for one in await memory.retrieve_messages(f"talk {turn}")]
    entries = await memory.list_memories("ana", limit=None, include_expired=True)
    told += [str(entry.model_dump()) for entry in entries]
    return {match for text in told for match in WORD.findall(text)}


@pytest.mark.slow
async def test_killed(nursery: Nursery, tmp_path: Path, torture: Torture) -> None:
    dice, folder, amid = random.Random(f"{SEED} erasing"), tmp_path / "store", 0
    kills = torture.choose(3, 40)
    for number in range(kills):
        order = {"folder": str(folder), "first": number * WORDS, "seed": dice.randrange(10**6)}
        nursery.start(json.dumps(order))
        for _ in range(dice.randint(1, 8)):
            assert nursery.hear() == "now", f"the child failed (seed {SEED})"
        await asyncio.sleep(dice.uniform(0, 0.3))
        nursery.kill_child()
        pending = (folder / "rows" / "to-erase").exists()
        amid += pending
        async with open_memory(str(folder), embedder="hash") as memory:
            report = await memory.maintain()
            assert report.ok, (SEED, number, report.problems)
            left = await alive(memory)
        words = {word(known) for known in range((number + 1) * WORDS)}
        places = await found(folder, words)
        assert left, "nothing is alive: the test shows nothing"
        assert places.keys() == left, (SEED, number, {w: places.get(w) for w in left ^ set(places)})
        assert not pending or unnamed(folder) == []
    counts(killed_amid_erasing=SEED, kills=kills, with_something_to_erase=amid)
    assert amid > 0, "no kill left something to erase: the test shows nothing"
