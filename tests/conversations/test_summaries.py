"""The summary of a conversation: of its rows where there are some, else of its own turns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.conversations.summaries import first_sentence, typical
from tests.conversations.test_activity import NOW
from tests.conversations.test_life import say


def summary(text: str, talk: str = "talk", number: int = 0, **fields: Any) -> MemoryEntry:
    return MemoryEntry(
        user_id="ana",
        content=text,
        conversation_id=talk,
        memory_type=MemoryType.EPISODIC,
        created_at=NOW + timedelta(minutes=number),
        metadata=MemoryMetadata(category="summary", custom_fields=fields),
    )


async def test_the_rows_that_hold_it(memory: VectorMemory) -> None:
    await say(memory, "talk", "a", "b", "c", "d")
    blocks = [
        summary("c and d", level="block", from_turn=2, to_turn=3, method="extractive"),
        summary("a and b", level="block", from_turn=0, to_turn=1, method="llm"),
    ]
    await memory.store_memories(blocks, origin="summary")
    # What somebody has stored under that category, and another conversation's, are not it.
    await memory.store_memories([summary("mine")])
    await memory.store_memories([summary("other", "other")], origin="summary")
    found = await memory.conversations.summary("talk")
    assert (found.text, found.method) == ("a and b\nc and d", "llm")
    assert (found.from_turn, found.to_turn) == (0, 3)
    assert found.sources == (blocks[1].id, blocks[0].id)
    whole = [
        summary("an older one", number=1, level="session", from_turn=0, to_turn=1),
        summary("all of it", number=2, level="session", from_turn=0, to_turn=3),
    ]
    await memory.store_memories(whole, origin="summary")
    found = await memory.conversations.summary("talk")
    assert (found.text, found.method) == ("all of it", "extractive")
    assert found.sources == (whole[1].id,)


async def test_without_any_it_is_of_its_own_turns() -> None:
    async with open_memory("memory://") as memory:
        violin = [
            "I bought a violin yesterday. It is red.",
            "What a lovely violin!",
            "The violin sounds warm.",
            "Will you play the violin tonight?",
        ]
        food = ["I cook soup today.", "Soup with beans?", "Yes, a soup of beans and carrots."]
        await say(memory, "talk", *violin, *food, "ok", "fine")
        before = await memory.get_statistics("ana")
        found = await memory.conversations.summary("talk")
        assert found.method == "turns"
        assert "violin" in found.text
        assert "oup" in found.text
        assert "It is red" not in found.text
        assert len(found.sources) == 3
        assert (found.from_turn, found.to_turn) == (0, 8)
        assert await memory.get_statistics("ana") == before
        session = await memory.conversations.start("ana")
        empty = await memory.conversations.summary(session.conversation_id)
        assert (empty.text, empty.sources, empty.from_turn) == ("", (), None)


def test_typical_rows() -> None:
    near = np.array([[1, 0.1, 0], [1, 0, 0.1], [0, 0, 1], [1, 0.05, 0.05], [0, 1, 0]], np.float32)
    assert len(typical(near, 3)) == 3
    assert typical(near, 1) in ([0], [1], [3])
    assert typical(near, 9) == [0, 1, 2, 3, 4]
    assert typical(np.zeros((3, 4), np.float32), 2) == [0, 1]
    assert len(typical(np.ones((5_000, 2), np.float32), 3)) == 3


def test_first_sentences() -> None:
    assert first_sentence("One. Two.") == "One."
    assert first_sentence("no\nend") == "no end"
    assert first_sentence("x" * 200) == "x" * 159 + "…"
