"""A whole context that comes back sets nothing that was learned."""

from __future__ import annotations

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory


@pytest.mark.parametrize("made_by", ["get_context", "to_context"])
async def test_a_context_that_comes_back_brings_nothing_back(made_by: str) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        told = Message(role=MessageRole.USER, content="My name is Bob. I live in Lisbon.")
        await memory.store_message(told, "talk", user_id="ana")
        await memory.facts.extract("talk")
        await memory.users.refresh("ana")
        given = await memory.get_context("ana", "talk")
        exported = await memory.conversations.to_context("talk")
        assert exported.user.profile == given.user.profile
        assert exported.user.metadata == given.user.metadata
        assert exported.user.name == "Bob"
        context = (given if made_by == "get_context" else exported).model_copy(deep=True)
        await memory.delete_messages(told.id)
        context.messages = []
        context.user.preferences["drink"] = "tea"
        assert await memory.conversations.from_context(context) == 0
        profile = await memory.users.profile("ana")
        assert (profile.name, profile.profile) == (None, {})
        assert {key: one.origin for key, one in profile.preferences.items()} == {"drink": "edited"}
