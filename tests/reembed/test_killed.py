"""A move that is killed at random moments leaves a store of one embedder, with every row once."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.upkeep.reembedding.run import reembed
from tests.durability.support import Nursery
from tests.durability.test_crash import Model
from tests.durability.test_crash import check as check_store
from tests.reembed.support import assert_made_by, messages, named, row_folders, rows_and_vectors

pytestmark = pytest.mark.slow

# As in tests/durability/test_crash.py.
ROUNDS = float(os.environ.get("BRUNO_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("BRUNO_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
HERE = Path(__file__).resolve().parent
# That of "hash", which the durability tests open a store with, and another.
FIRST, SECOND = 64, 48


@pytest.fixture(scope="module")
def movers() -> Iterator[Nursery]:
    made = Nursery(HERE / "child_mover.py")
    yield made
    made.close()


def run_until_killed(movers: Nursery, order: str, dice: random.Random) -> int:
    """Kill a child at a random moment, often about a switch. Returns how often it moved."""
    movers.start(order)
    assert movers.hear() == "open", f"the child failed (seed {SEED})"
    moves = 0
    while dice.random() < 0.75:  # else now
        moves += (heard := movers.hear()) == "moved"
        assert heard in ("near", "moved"), f"the child failed: {heard} (seed {SEED})"
    time.sleep(dice.uniform(0, 0.25))
    return moves + movers.kill_child().count("moved")


def _current(folder: Path) -> HashEmbedder:
    return HashEmbedder(named(folder).fingerprint.dimension)


def _other(embedder: HashEmbedder) -> HashEmbedder:
    return HashEmbedder(SECOND if embedder.fingerprint.dimension == FIRST else FIRST)


async def bring_back(folder: Path, model: Model, dice: random.Random) -> int:
    """Check a store as it was left, then move it on to the first embedder. How often it resumed."""
    # The very vectors, before anything is mended.
    now, resumed = _current(folder), 0
    async with open_memory(str(folder), embedder=now, recall_in_context=False) as memory:
        model.settle(await assert_made_by(memory, now))
    if now.fingerprint.dimension != FIRST or dice.random() < 0.5:
        report = await reembed(str(folder), _other(now))
        resumed += report.resumed > 0
    if _current(folder).fingerprint.dimension != FIRST:
        resumed += (await reembed(str(folder), HashEmbedder(FIRST))).resumed > 0
    assert len(row_folders(folder)) <= 2
    return resumed


async def test_killed_beside_its_own_writes(
    movers: Nursery, tmp_path: Path, record_property: Any
) -> None:
    dice = random.Random(SEED)
    folder, log, model = tmp_path / "store", tmp_path / "log", Model()
    async with open_memory(str(folder), embedder=HashEmbedder(FIRST)):
        pass
    kills, acknowledged, moves, resumed = max(1, round(5 * ROUNDS)), 0, 0, 0
    print(f"seed {SEED}, {kills} kills")
    # A slow machine may have done nothing before the first kills.
    for number in range(20 * kills):
        if number >= kills and acknowledged > 0 and moves > 0:
            break
        seed = dice.randrange(10**6)
        log.unlink(missing_ok=True)
        now = _current(folder)
        dimensions = [now.fingerprint.dimension, _other(now).fingerprint.dimension]
        order = model.order(folder, log, seed, load=True, dimensions=dimensions)
        moves += run_until_killed(movers, order, dice)
        acknowledged += model.read(log) if log.exists() else 0
        resumed += await bring_back(folder, model, dice)
        await check_store(folder, model, seed)
    print(f"{acknowledged} operations acknowledged, {moves} moves, {resumed} gone on with")
    record_property("kills", kills)
    record_property("moves", moves)
    assert acknowledged > 0, "nothing was written before the kills: the test shows nothing"
    assert moves > 0, "no move came to its end: the test shows nothing"


async def test_killed_as_a_command(movers: Nursery, tmp_path: Path, record_property: Any) -> None:
    dice = random.Random(SEED)
    folder = tmp_path / "store"
    async with open_memory(str(folder), embedder=HashEmbedder(FIRST)) as memory:
        await memory.store_messages(messages(2000), "talk", user_id="ana")
        await memory.recall("what about the violin", user_id="ana", k=20)
        await memory.maintain()
        before, _ = await rows_and_vectors(memory)
    kills, moves, resumed = max(2, round(5 * ROUNDS)), 0, 0
    print(f"seed {SEED}, {kills} kills")
    for number in range(kills):
        now = _current(folder)
        dimensions = [now.fingerprint.dimension, _other(now).fingerprint.dimension]
        order = {"folder": str(folder), "load": False, "dimensions": dimensions}
        moves += run_until_killed(movers, json.dumps(order), dice)
        now = _current(folder)
        if number % 2:  # else the next child finds it as the killed one left it
            async with open_memory(str(folder), embedder=now) as memory:
                assert await assert_made_by(memory, now) == before
        else:
            async with open_memory(str(folder), embedder=now, read_only=True) as memory:
                assert await assert_made_by(memory, now) == before
            report = await reembed(str(folder), _other(now))
            resumed += report.resumed > 0
            assert report.resumed + report.embedded == report.rows == len(before)
    print(f"{moves} moves, {resumed} gone on with")
    record_property("kills", kills)
    record_property("moves", moves)
    now = _current(folder)
    async with open_memory(str(folder), embedder=now) as memory:
        assert await assert_made_by(memory, now) == before
        (hit,) = await memory.recall("number 1234", user_id="ana", k=1, profile="lexical")
        assert hit.content.startswith("number 1234 ")
    assert len(row_folders(folder)) <= 2
