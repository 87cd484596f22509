"""What the store itself keeps of a row: where it comes from, whether it is pinned or archived."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryQuery
from bruno_core.models.message import MessageRole

from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.testing.memory_suite import MemorySuite, noted, said


class MarksConformance(MemorySuite):
    """Tests of origins, pins, importance, archiving and forgetting."""

    async def test_origins_are_set_once(self, memory: Any) -> None:
        roles = [MessageRole.USER, MessageRole.ASSISTANT, MessageRole.TOOL, MessageRole.SYSTEM]
        messages = [said(f"a zebra, told {role.value}", role) for role in roles]
        await memory.store_messages(messages, "talk", user_id="ana")
        taken, given = noted("a zebra that was seen"), noted("a zebra that was given")
        await memory.store_memory(taken, origin="extracted")
        await memory.store_memory(given)
        origins = {hit.id: hit.origin for hit in await memory.recall("zebra", user_id="ana")}
        assert [origins[str(one.id)] for one in messages] == ["user", "assistant", "tool", "system"]
        assert origins[str(taken.id)] == "extracted"
        assert origins[str(given.id)] == "given"
        # Stored again, also as something else, a row stays what it was.
        await memory.store_memory(taken.model_copy(update={"content": "two zebras"}))
        await memory.store_message(messages[0], "talk", user_id="ana", origin="imported")
        hits = await memory.recall("zebras", user_id="ana", origins=["extracted", "user"])
        assert {(hit.id, hit.origin) for hit in hits} == {
            (str(taken.id), "extracted"),
            (str(messages[0].id), "user"),
        }
        with pytest.raises(InvalidInputError, match="origin"):
            await memory.store_memory(given, origin="invented")

    async def test_pins_stay_when_a_row_is_stored_again(self, memory: Any) -> None:
        message, entry = said("the zebra is striped"), noted("Ana likes zebras")
        await memory.store_message(message, "talk", user_id="ana")
        await memory.store_memory(entry)
        await memory.store_memory(noted("not pinned"))
        await memory.pin([message.id, str(entry.id)])
        assert await memory.list_pinned("ana") == [message, entry]
        assert all(hit.pinned for hit in await memory.recall("zebra", user_id="ana", k=2))
        await memory.store_memory(entry.model_copy(update={"content": "Ana loves zebras"}))
        assert [one.content for one in await memory.list_pinned("ana")][1] == "Ana loves zebras"
        await memory.unpin(message.id)
        assert [one.id for one in await memory.list_pinned("ana")] == [entry.id]
        assert await memory.list_pinned("bo") == []
        assert await memory.retrieve_messages("talk") == [message]
        assert (await memory.get_context("ana", "talk")).messages == [message]

    async def test_importance_can_be_set(self, memory: Any) -> None:
        message, entry = said("zebra", metadata={"page": 7}), noted("zebras", importance=0.1)
        await memory.store_message(message, "talk", user_id="ana")
        await memory.store_memory(entry)
        await memory.set_importance([message.id, entry.id], 0.9)
        (found,) = await memory.retrieve_messages("talk")
        assert found.metadata == {"page": 7, "importance": 0.9}
        hits = await memory.recall("zebra", user_id="ana", min_importance=0.9)
        assert {hit.id for hit in hits} == {str(message.id), str(entry.id)}
        (kept,) = await memory.retrieve_memories(MemoryQuery(user_id="ana"))
        assert kept.metadata.importance == 0.9
        with pytest.raises(InvalidInputError, match="importance"):
            await memory.set_importance(entry.id, 2)

    async def test_what_is_archived_is_kept_and_found_when_asked_for(self, memory: Any) -> None:
        messages = [said(f"zebra number {n}") for n in range(4)]
        await memory.store_messages(messages, "talk", user_id="ana")
        entry = noted("Ana likes zebras")
        await memory.store_memory(entry)
        assert await memory.forget([messages[1].id, entry.id], archive=True) == 2
        assert await memory.forget(entry.id, archive=True) == 0
        hits = await memory.recall("zebra", user_id="ana")
        assert {hit.id for hit in hits} == {str(messages[n].id) for n in (0, 2, 3)}
        hits = await memory.recall("zebra", user_id="ana", include_archived=True)
        assert {hit.id: hit.archived for hit in hits} == {
            **{str(messages[n].id): n == 1 for n in range(4)},
            str(entry.id): True,
        }
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == []
        assert await memory.list_memories("ana") == []
        assert await memory.list_memories("ana", include_archived=True) == [entry]
        # The history is whole.
        assert await memory.retrieve_messages("talk") == messages[::-1]
        assert (await memory.get_context("ana", "talk")).messages == messages

    async def test_what_is_forgotten_is_gone(self, memory: Any) -> None:
        message, entry = said("a zebra"), noted("zebras")
        await memory.store_message(message, "talk", user_id="ana")
        await memory.store_memory(entry)
        assert await memory.forget([message.id, entry.id], user_id="ana") == 2
        hits = await memory.recall("zebra", user_id="ana", include_archived=True)
        assert hits == []
        assert (await memory.get_context("ana", "talk")).messages == []
        with pytest.raises(NotFoundError, match=str(entry.id)):
            await memory.forget(entry.id)

    async def test_no_ids_are_no_rows(self, memory: Any) -> None:
        message, entry = said("a zebra"), noted("zebras", "bo", importance=0.2)
        await memory.store_message(message, "talk", user_id="ana")
        await memory.store_memory(entry)
        for whose in (memory, memory.for_user("ana")):
            assert await whose.forget([]) == 0
            assert await whose.forget([], archive=True) == 0
            await whose.pin([])
            await whose.unpin(())
            await whose.set_importance([], 1.0)
            assert await whose.delete_messages([]) == 0
        assert await memory.retrieve_messages("talk") == [message]
        assert await memory.list_memories("bo") == [entry]
        assert await memory.list_pinned("ana") == []

    async def test_another_users_rows_cannot_be_marked(self, memory: Any) -> None:
        mine, theirs = said("a zebra"), said("another zebra")
        await memory.store_message(mine, "talk", user_id="ana")
        await memory.store_message(theirs, "bo's", user_id="bo")
        view = memory.for_user("ana")
        for call in (view.pin, view.unpin, view.forget):
            with pytest.raises(NotFoundError):
                await call([mine.id, theirs.id])
        with pytest.raises(NotFoundError):
            await view.set_importance(theirs.id, 1)
        with pytest.raises(NotFoundError):
            await memory.pin(theirs.id, user_id="ana")
        with pytest.raises(NotFoundError):
            await memory.pin(uuid4())
        assert await memory.list_pinned("ana") == []
        assert await memory.list_pinned("bo") == []
        assert await memory.retrieve_messages("bo's") == [theirs]
        assert await memory.retrieve_messages("talk") == [mine]
