"""A memory that belongs to a conversation is no message of it, and the other way round."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory

SAID = ["The hotel was good.", "The hotel had a pool.", "So the hotel it is."]
NOTED = "Ana likes a hotel with a pool."


@pytest.fixture(params=["folder", "memory"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = "memory://" if request.param == "memory" else str(tmp_path / "memory")
    async with open_memory(url, embedder="hash") as opened:
        await fill(opened)
        yield opened


async def fill(memory: VectorMemory) -> None:
    for place, text in enumerate(SAID):
        if place == 1:
            await memory.store_memory(note())
        message = Message(role=MessageRole.USER, content=text)
        await memory.store_message(message, "talk", user_id="ana")


def note() -> MemoryEntry:
    return MemoryEntry(
        content=NOTED, memory_type=MemoryType.FACT, user_id="ana", conversation_id="talk"
    )


async def test_messages(memory: VectorMemory) -> None:
    assert [one.content for one in await memory.retrieve_messages("talk")] == SAID[::-1]
    assert [one.content for one in await memory.retrieve_messages("talk", 1)] == SAID[-1:]
    found = await memory.search_messages("hotel with a pool", user_id="ana", limit=9)
    assert sorted(one.content for one in found) == sorted(SAID)
    assert all(isinstance(one, Message) for one in found)
    found = await memory.retrieve_context("ana", "hotel with a pool", 9)
    assert [one.content for one in found] == SAID
    # A memory would take the place of one of them.
    assert len(await memory.search_messages(NOTED, user_id="ana", limit=1)) == 1
    assert len(await memory.retrieve_context("ana", NOTED, 1)) == 1


async def test_memories(memory: VectorMemory) -> None:
    for text in ("hotel", None):
        query = MemoryQuery(user_id="ana", query_text=text, similarity_threshold=0.0)
        assert [one.content for one in await memory.retrieve_memories(query)] == [NOTED]
    found = await memory.search_memories("ana", SAID[0], 9)
    assert sorted(one.content for one in found) == sorted([*SAID, NOTED])
    assert found[0].content == SAID[0]


async def test_counts(memory: VectorMemory) -> None:
    counts = await memory.get_statistics("ana")
    assert (counts["total_messages"], counts["memories"], counts["conversations"]) == (3, 1, 1)


async def test_turns_are_counted_without_memories(memory: VectorMemory) -> None:
    hits = await memory.recall("hotel", user_id="ana", kinds="message")
    assert {hit.turn: hit.content for hit in hits} == dict(enumerate(SAID))
    (hit,) = await memory.recall("hotel", user_id="ana", kinds="memory")
    assert hit.turn is None


async def test_context(memory: VectorMemory) -> None:
    context = await memory.get_context("ana", "talk")
    assert [one.content for one in context.messages] == SAID


async def test_context_that_is_read_from_the_rows_again(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    async with open_memory(str(folder), embedder="hash") as opened:
        await fill(opened)
    for path in folder.glob("sessions.sqlite*"):
        path.unlink()
    async with open_memory(str(folder), embedder="hash") as opened:
        context = await opened.get_context("ana", "talk")
        assert [one.content for one in context.messages] == SAID
        await opened.store_memory(note())
        await opened.store_message(
            Message(role=MessageRole.USER, content="More."), "talk", user_id="ana"
        )
        hits = await opened.recall("hotel", user_id="ana", kinds="message")
        assert sorted(hit.turn or 0 for hit in hits) == [0, 1, 2, 3]


async def test_what_goes_with_a_conversation_and_what_with_a_memory(memory: VectorMemory) -> None:
    message = (await memory.retrieve_messages("talk", 1))[0]
    with pytest.raises(Exception, match="no memory"):
        await memory.delete_memory(str(message.id))
    await memory.clear_history("talk", keep_system_messages=False)
    assert await memory.retrieve_messages("talk") == []
    assert (await memory.get_context("ana", "talk")).messages == []
    query = MemoryQuery(user_id="ana")
    (left,) = await memory.retrieve_memories(query)
    await memory.delete_memory(str(left.id))
    assert await memory.retrieve_memories(query) == []


async def test_a_memory_and_a_message_may_have_one_id(memory: VectorMemory) -> None:
    (noted,) = await memory.retrieve_memories(MemoryQuery(user_id="ana"))
    twin = Message(id=noted.id, role=MessageRole.USER, content="The hotel again.")
    await memory.store_message(twin, "talk", user_id="ana")
    assert [m.content for m in await memory.retrieve_messages("talk", 1)] == ["The hotel again."]
    await memory.delete_memory(str(noted.id))
    assert len(await memory.retrieve_messages("talk")) == 4
