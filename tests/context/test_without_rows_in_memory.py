"""A context is the same where the user's rows are in memory and where the engine is asked."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory
from bruno_memory_vec.context import STRATEGIES

START = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)
NOW = START + timedelta(days=30)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_the_same_context(tmp_path: Path, strategy: str) -> None:
    turns = [
        Message(
            id=UUID(int=number + 1),
            role=MessageRole.SYSTEM if number == 0 else MessageRole.USER,
            content="Be brief." if number == 0 else f"Boiler number {number} hums in the cellar.",
            timestamp=START + timedelta(minutes=number),
        )
        for number in range(40)
    ]
    kept = [
        MemoryEntry(
            id=UUID(int=100 + number),
            content=f"Rule {number}: the boiler is never off.",
            memory_type=MemoryType.FACT,
            user_id="ana",
            metadata=MemoryMetadata(importance=0.1 * number),
            created_at=START,
        )
        for number in range(1, 6)
    ]
    place = str(tmp_path / "store")
    async with open_memory(place) as memory:
        await memory.store_messages(turns, "talk", user_id="ana")
        await memory.store_memories(kept)
        await memory.pin(kept[0].id)
    texts = []
    for megabytes in (64, 0):
        async with open_memory(place, recall_cache_mb=megabytes) as memory:
            built = await memory.build_context(
                "Which boiler hums?",
                user_id="ana",
                conversation_id="talk",
                budget=450,
                strategy=strategy,
                now=NOW,
            )
            assert built.messages[0].content == "Be brief."
            texts.append(built.text)
    assert texts[0] == texts[1]
