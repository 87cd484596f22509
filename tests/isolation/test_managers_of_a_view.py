"""The managers of a view serve its user only: nobody else is read, and nothing is changed."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError

MANAGERS = (
    "conversations",
    "facts",
    "users",
    "conversational",
    "semantic",
    "episodic",
    "procedural",
    "analytics",
)
STATEMENT = "The safe is behind the picture"
#: For arguments without a default.
GIVEN: dict[str, Any] = {
    "query": "safe",
    "content": STATEMENT,
    "task": "open the safe",
    "steps": ["turn it"],
    "key": "drink",
    "value": "tea",
    "attribute": "home",
    "conversation_id": "bo's",
    "message": Message(role=MessageRole.USER, content="safe"),
    "message_id": UUID(int=1),
    "memory_id": UUID(int=1),
    "ids": UUID(int=1),
    "worked": True,
    "importance": 0.5,
    "event": UUID(int=1),
    "at": UUID(int=1),
}


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.semantic.add(STATEMENT, user_id="bo")
        await memory.users.set_preference("drink", "coffee", user_id="bo")
        await memory.store_message(
            Message(role=MessageRole.USER, content="My safe is red"), "bo's", user_id="bo"
        )
        yield memory


async def of_bo(memory: VectorMemory) -> list[Any]:
    user = await memory.get_user("bo")
    rows = [*await memory.list_memories("bo"), *await memory.retrieve_messages("bo's")]
    return [*rows, user.preferences, await memory.list_conversations("bo")]


@pytest.mark.parametrize("manager", ["", *MANAGERS])
async def test_another_user_cannot_be_named(memory: VectorMemory, manager: str) -> None:
    view, before = memory.for_user("ana"), await of_bo(memory)
    of_view = getattr(view, manager) if manager else view
    called = 0
    for name, method in inspect.getmembers(of_view, callable):
        if name.startswith("_") or "user_id" not in inspect.signature(method).parameters:
            continue
        needed = {
            other: GIVEN.get(other, "bo's")
            for other, found in inspect.signature(method).parameters.items()
            if found.default is inspect.Parameter.empty or other == "steps"
        }
        if name == "add" and "event" in needed:
            needed["event"] = STATEMENT
        try:
            answer = method(**{**needed, "user_id": "bo"})
            served = await answer if inspect.isawaitable(answer) else answer
        except ForeignUserError:
            called += 1
        else:
            pytest.fail(f"{name} has served another user: {served!r}")
    assert called
    assert await of_bo(memory) == before


async def test_another_users_models_are_refused(memory: VectorMemory) -> None:
    view, before = memory.for_user("ana"), await of_bo(memory)
    theirs = MemoryEntry(content=STATEMENT, memory_type=MemoryType.FACT, user_id="bo")
    profile = UserContext(user_id="bo", preferences={"drink": "poison"})
    for call in (
        view.semantic.merge(theirs, origin="given"),
        view.semantic.add(theirs),
        view.users.save(profile),
        view.save_user(profile),
    ):
        with pytest.raises(ForeignUserError):
            await call
    assert await of_bo(memory) == before
