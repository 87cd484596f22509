"""What a third review of the public methods found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError


@pytest.mark.parametrize("after", ["9" * 5000, "9" * 25, "[" * 100_000, "-1", "٣", ""])
async def test_no_cursor_is_named(after: str) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for listed in (memory.list_sessions, memory.list_conversations, memory.list_memories):
            with pytest.raises(InvalidInputError) as refusal:
                await listed("ana", after=after)  # type: ignore[operator]
            assert refusal.value.field == "after"


@pytest.mark.parametrize("value", ["yes", "", 2, [], np.array([1, 2]), object(), 0.5])
async def test_what_is_no_truth_value_is_named(value: Any) -> None:
    calls: dict[str, Callable[[VectorMemory], Awaitable[Any]]] = {
        "active": lambda memory: memory.list_sessions("ana", active=value),
        "newest_first": lambda memory: memory.read_turns("talk", newest_first=value),
        "include_expired": lambda memory: memory.list_memories("ana", include_expired=value),
        "keep_system_messages": lambda memory: memory.clear_history("talk", value),
    }
    async with open_memory("memory://", embedder="hash") as memory:
        for field, call in calls.items():
            with pytest.raises(InvalidInputError) as refusal:
                await call(memory)
            assert refusal.value.field == field
        with pytest.raises(InvalidInputError) as refusal:
            await memory.recall("x", user_id="ana", include_expired=value)
        assert refusal.value.field == "include_expired"


@pytest.mark.parametrize("value", [True, False, 0, 1, np.True_, np.False_])
async def test_truth_values_are_taken(value: Any) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        session = await memory.create_session("ana")
        if not value:
            await memory.end_session(session.session_id)
        assert await memory.list_sessions("ana", active=value) != []
        assert await memory.read_turns("talk", newest_first=value) == []
