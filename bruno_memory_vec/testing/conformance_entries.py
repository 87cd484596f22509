# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""What bruno-core expects of a memory: the part of ``conformance_memory`` about memories."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.utils import exceptions as bruno

from bruno_memory_vec.testing.memory_suite import MemorySuite, noted


class EntryConformance(MemorySuite):
    """Tests of storing, finding and deleting memories."""

    async def test_every_field_of_a_memory_comes_back(self, memory: Any) -> None:
        entry = MemoryEntry(
            id=UUID(int=9),
            content="Ana löves 日本 🎷",
            memory_type=MemoryType.PROCEDURAL,
            user_id="ana",
            conversation_id="talk",
            metadata=MemoryMetadata(
                source="conversation",
                category="preference",
                tags=["music", "it's", ""],
                confidence=0.1 + 0.2,
                importance=1 / 3,
                access_count=12,
                embedding=[0.1, -2.5],
                related_memories=[uuid4(), uuid4()],
                custom_fields={"since": datetime(2020, 1, 1), "n": {"m": [1]}},
            ),
            created_at=datetime(2024, 1, 1, 12, 0, 0, 1),
            updated_at=datetime(2024, 1, 2, tzinfo=timezone.utc),
            last_accessed=datetime(2024, 1, 3),
            expires_at=datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=-3))),
        )
        await memory.store_memory(entry)
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == [entry]

    async def test_storing_a_memory_again_updates_it(self, memory: Any) -> None:
        entry = noted("Ana likes coffee", tags=["taste"])
        await memory.store_memory(entry)
        entry.update_content("Ana prefers rooibos")
        await memory.store_memory(entry)
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == [entry]
        (found,) = await memory.search_memories("ana", "rooibos", 1)
        assert found.content == "Ana prefers rooibos"

    async def test_memories_without_a_text_newest_first(self, memory: Any) -> None:
        entries = [noted(f"fact {i}", created_at=datetime(2024, 1, 1 + i)) for i in range(4)]
        for entry in (entries[2], entries[0], entries[3], entries[1]):
            await memory.store_memory(entry)
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == entries[::-1]
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana", limit=2)) == entries[:1:-1]
        assert await memory.retrieve_memories(MemoryQuery(user_id="bo")) == []

    @pytest.mark.parametrize("text", [None, "something about jazz"])
    @pytest.mark.parametrize(
        ("condition", "wanted"),
        [
            ({}, ("jazz", "tea", "walk")),
            ({"memory_types": [MemoryType.FACT, MemoryType.EPISODIC]}, ("jazz", "walk")),
            ({"memory_types": [MemoryType.SEMANTIC]}, ()),
            ({"tags": ["music", "nothing"]}, ("jazz",)),
            ({"categories": ["taste"]}, ("jazz", "tea")),
            ({"min_importance": 0.6}, ("tea", "walk")),
            ({"min_confidence": 0.9}, ("jazz", "tea")),
            ({"include_expired": True}, ("gone", "jazz", "tea", "walk")),
            ({"tags": ["music"], "min_importance": 0.6}, ()),
        ],
        ids=str,
    )
    async def test_memories_are_filtered(
        self, memory: Any, text: str | None, condition: dict[str, Any], wanted: tuple[str, ...]
    ) -> None:
        taste, past = "taste", datetime(2001, 1, 1)
        for entry in (
            noted("jazz", tags=["music"], category=taste, importance=0.2),
            noted("tea", memory_type=MemoryType.LONG_TERM, category=taste, importance=0.6),
            noted("walk", memory_type=MemoryType.EPISODIC, confidence=0.5),
            noted("gone", expires_at=past),
            noted("another user's jazz", "bo", tags=["music"], category=taste),
        ):
            await memory.store_memory(entry)
        query = MemoryQuery(user_id="ana", query_text=text, limit=1000, **condition)
        assert {entry.content for entry in await memory.retrieve_memories(query)} == set(wanted)

    async def test_memories_by_text_best_first(self, memory: Any) -> None:
        for content in ("Ana plays chess", "Ana owns a saxophone", "Ana is 30"):
            await memory.store_memory(noted(content))
        query = MemoryQuery(user_id="ana", query_text="saxophone", limit=1)
        assert [e.content for e in await memory.retrieve_memories(query)] == [
            "Ana owns a saxophone"
        ]
        exact = MemoryQuery(
            user_id="ana", query_text="Ana owns a saxophone", similarity_threshold=0.99
        )
        assert [e.content for e in await memory.retrieve_memories(exact)] == [
            "Ana owns a saxophone"
        ]

    async def test_a_deleted_memory_is_gone(self, memory: Any) -> None:
        kept, gone = noted("kept"), noted("gone")
        for entry in (kept, gone):
            await memory.store_memory(entry)
        await memory.delete_memory(str(gone.id))
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == [kept]
        assert gone not in await memory.search_memories("ana", "gone", 10)
        for unknown in (str(gone.id), str(uuid4()), "no uuid", "'; --"):
            with pytest.raises(bruno.MemoryError):
                await memory.delete_memory(unknown)
