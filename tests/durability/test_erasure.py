"""Deleted means gone: after maintain(), no byte of any file holds anything of what was deleted."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from tests.durability.on_disk import found, unnamed

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Words:
    """Words that are nowhere else, each used once."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made: list[str] = []

    def __call__(self) -> str:
        word = "zq" + "".join(self._random.choices("bcdfghjkmnpqrtvwxz23456789", k=14))
        self.made.append(word)
        return word


def said(word: Callable[[], str], **changes: object) -> Message:
    return Message(
        role="user",
        content=f"hello {word()} and {word()}",
        metadata={f"k{word()}": word(), "nested": {f"n{word()}": [word()]}},
        **changes,
    )


def remembered(word: Callable[[], str], user: str = "ana", **changes: object) -> MemoryEntry:
    return MemoryEntry(
        user_id=user,
        content=f"a fact {word()}",
        memory_type=MemoryType.FACT,
        metadata=MemoryMetadata(
            source=word(),
            category=word(),
            tags=[word(), word()],
            custom_fields={f"f{word()}": word()},
        ),
        **changes,
    )


async def filled(memory: VectorMemory, rows: int) -> Words:
    """Rows of others, which stay."""
    words = Words(1)
    for start in range(0, rows, 500):
        batch = [said(words) for _ in range(min(500, rows - start))]
        await memory.store_messages(batch, f"others {start % 4}", user_id="ben")
    return words


@pytest.mark.parametrize("others", [3, 300])
async def test_nothing_of_it_is_anywhere(tmp_path: Path, others: int) -> None:
    gone, kept, folder = Words(2), Words(3), tmp_path / "store"
    async with open_memory(str(folder), embedder="hash") as memory:
        await filled(memory, others)
        replaced = said(gone)
        for _ in range(3):
            await memory.store_message(said(gone), "talk", user_id="ana")
        await memory.store_message(replaced, "stays", user_id="ana")
        entry, rewritten = remembered(gone), remembered(gone)
        await memory.store_memories([entry, rewritten])
        await memory.save_user(UserContext(user_id="ana", preferences={"p": gone()}))
        await memory.get_context("ana", "talk")
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.get_context("ana", "talk")
        await memory.recall("hello", user_id="ana")
        await memory.maintain()
    before = await found(folder, gone.made)
    assert set(before) == set(gone.made)
    places = " ".join(place for where in before.values() for place in where)
    assert all(part in places for part in ("rows: version", "lexical: terms", "hot_messages"))
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.clear_history("talk")
        await memory.delete_memory(str(entry.id))
        await memory.store_message(said(kept, id=replaced.id), "stays", user_id="ana")
        await memory.store_memory(remembered(kept, id=rewritten.id))
        await memory.save_user(UserContext(user_id="ana", preferences={"p": kept()}))
        report = await memory.maintain()
        assert report.ok, report.problems
        assert await found(folder, gone.made) == {}
    assert await found(folder, gone.made) == {}
    assert unnamed(folder) == []
    assert set(await found(folder, kept.made)) == set(kept.made)
