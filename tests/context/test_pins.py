"""What is pinned comes first: up to half of the room, the newest pins first, cut where needed."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.context import BuiltContext

NOW = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)


def known(content: str) -> MemoryEntry:
    return MemoryEntry(content=content, memory_type=MemoryType.FACT, user_id="ana", created_at=NOW)


def pinned(built: BuiltContext) -> list[str]:
    return [item.text for item in built.report.items if item.source == "pinned"]


async def asked(memory: VectorMemory, budget: int, strategy: str = "hybrid") -> BuiltContext:
    return await memory.build_context(
        "What shall I bake?", user_id="ana", budget=budget, strategy=strategy
    )


@pytest.mark.parametrize("strategy", ["hybrid", "semantic", "importance"])
async def test_a_pin_that_is_too_long_is_cut(strategy: str) -> None:
    async with open_memory("memory://") as memory:
        note = known("Ana is allergic to nuts " + "and to almonds as well " * 40)
        await memory.store_memories(
            [note, *(known(f"Cake number {n} was baked today.") for n in range(30))]
        )
        await memory.pin(note.id)
        for budget in (150, 300, 500):
            built = await asked(memory, budget, strategy)
            (item,) = [one for one in built.report.items if one.source == "pinned"]
            assert item.text.startswith("Ana is allergic to nuts"), budget
            assert not item.whole
            assert item.tokens <= budget / 2
            assert built.report.tokens <= budget
        # What the question recalls has the other half.
        assert built.report.by_source["recalled"] > 100
        assert not pinned(await asked(memory, 500, "sliding_window"))


async def test_of_many_pins_the_newest_fill_half_of_the_room() -> None:
    async with open_memory("memory://") as memory:
        notes = [known(f"Remember number {n}.") for n in range(60)]
        await memory.store_memories(notes)
        for note in notes:
            await memory.pin(note.id)
        built = await asked(memory, 500)
        numbers = [int(text.split()[-1].rstrip(".")) for text in pinned(built)]
        assert len(numbers) >= 6
        assert sorted(numbers) == list(range(60 - len(numbers), 60))
        assert 200 < built.report.by_source["pinned"] <= 250
        left_out = {one.id for one in built.report.left_out if one.source == "pinned"}
        shown = {one.id for one in built.report.items}
        assert left_out | shown >= {str(note.id) for note in notes}
