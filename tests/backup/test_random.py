"""Whatever changes between points, and whichever are pruned, each gives back its moment."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bruno_memory_vec import (
    VectorMemory,
    list_backup,
    open_memory,
    prune_backup,
    restore_backup,
    verify_backup,
)
from bruno_memory_vec.upkeep.backup import making
from tests.backup.support import Rows, state
from tests.durability.support import message

ROUNDS = 12


async def change(memory: VectorMemory, chosen: random.Random) -> None:
    """One change: messages stored, stored again, deleted, used or pinned."""
    talk = f"talk-{chosen.randrange(4)}"
    user = "ana" if talk < "talk-2" else "ben"
    turns = await memory.read_turns(talk)
    kind = chosen.random()
    if kind < 0.5 or not turns:
        texts = [f"said {chosen.random()}" for _ in range(chosen.randint(1, 6))]
        await memory.store_messages([message(text) for text in texts], talk, user_id=user)
    elif kind < 0.65:
        said = chosen.choice(turns).message
        again = said.model_copy(update={"content": f"edited {chosen.random()}"})
        await memory.store_message(again, talk)
    elif kind < 0.8:
        gone = chosen.sample(turns, min(len(turns), chosen.randint(1, 5)))
        await memory.delete_messages([turn.message.id for turn in gone], talk)
    elif kind < 0.9:
        await memory.recall("said", user_id=user, k=3)
    else:
        await memory.pin(chosen.choice(turns).message.id, user_id=user)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_changes(
    seed: int, each_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("ROWS_A_CHUNK", 7),
        ("_ROWS_AT_ONCE", 5),
        ("_MANY_SMALL", 6),
        ("_SMALL", 4),
    ):
        monkeypatch.setattr(making, name, value)
    chosen, then = random.Random(seed), dict[int, Rows]()
    async with open_memory("memory://", embedder="hash") as memory:
        for _ in range(ROUNDS):
            for _ in range(chosen.randint(0, 8)):
                await change(memory, chosen)
            report = await memory.backup(each_place, full=chosen.random() < 0.1)
            then[report.point.number] = await state(memory)
            assert report.ok
            if chosen.random() < 0.25:
                await prune_backup(each_place, keep=chosen.randint(1, 4))
            check = await verify_backup(each_place)
            assert check.ok, check
    for point in await list_backup(each_place):
        there = tmp_path / f"r{point.number}"
        assert (await restore_backup(each_place, there, at=point.number)).ok
        async with open_memory(there, embedder="hash") as other:
            assert await state(other) == then[point.number]
