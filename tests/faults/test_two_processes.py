"""Two processes over one store: made by both at once, and seen by each other at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError
from bruno_memory_vec.writing.projections import Change
from tests.durability.support import message, rows_of, turns_of
from tests.servers.fixtures import SharedStore

pytestmark = pytest.mark.redis_server


async def _open(stack: AsyncExitStack, store: SharedStore) -> VectorMemory:
    """A memory with engines and caches of its own, as another process has them."""
    return await stack.enter_async_context(
        open_memory(store.url, sessions=store.sessions, embedder="hash")
    )


async def test_a_store_that_is_made_by_several_at_once_is_one_store(
    shared_store: SharedStore,
) -> None:
    async with AsyncExitStack() as stack:
        memories = await asyncio.gather(*(_open(stack, shared_store) for _ in range(4)))
        await asyncio.gather(
            *(
                memory.store_message(message(f"from {number}"), "talk", user_id="ana")
                for number, memory in enumerate(memories)
            )
        )
        for memory in memories:
            told = await turns_of(memory, "talk")
            assert sorted(text for _, text in told) == [f"from {n}" for n in range(4)]
            assert len({turn for turn, _ in told}) == 4
            context = await memory.get_context("ana", "talk")
            assert [one.content for one in context.messages] == [text for _, text in told]
        assert len({row["seq"] for row in await rows_of(memories[0])}) == 4


async def test_a_conversation_that_two_users_begin_at_once_is_one_users(
    shared_store: SharedStore,
) -> None:
    async with AsyncExitStack() as stack:
        memories = [await _open(stack, shared_store) for _ in range(2)]
        for number in range(10):
            answers = await asyncio.gather(
                *(
                    memory.store_message(message(f"{user} begins"), f"talk-{number}", user_id=user)
                    for memory, user in zip(memories, ("ana", "bo"), strict=True)
                ),
                return_exceptions=True,
            )
            assert sorted(type(answer) for answer in answers if answer is not None) == [
                ForeignUserError
            ]
            assert len(await turns_of(memories[0], f"talk-{number}")) == 1


async def test_what_one_deletes_no_other_recalls(shared_store: SharedStore) -> None:
    async with AsyncExitStack() as stack:
        writer, reader = [await _open(stack, shared_store) for _ in range(2)]

        async def found(text: str) -> bool:
            hits = await reader.recall(text, user_id="ana", k=3)
            return text in [hit.content for hit in hits]

        for number in range(5):
            text = f"number {number} is kept for a while"
            entry = MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id="ana")
            await writer.store_memory(entry)
            assert await found(text)
            assert await found(text)  # from rows that are held
            await writer.delete_memory(str(entry.id))
            assert not await found(text)
        await writer.store_message(message("said and cleared"), "talk", user_id="ana")
        assert await found("said and cleared")
        assert (await reader.get_context("ana", "talk")).messages
        await writer.clear_history("talk")
        assert not await found("said and cleared")
        assert not (await reader.get_context("ana", "talk")).messages


async def test_what_one_stores_every_other_sees_at_once(shared_store: SharedStore) -> None:
    async with AsyncExitStack() as stack:
        memories = [await _open(stack, shared_store) for _ in range(3)]
        for number in range(9):
            text = f"number {number}"
            await memories[number % 3].store_message(message(text), "talk", user_id="ana")
            for memory in memories:
                context = await memory.get_context("ana", "talk")
                assert context.messages[-1].content == text
                hits = await memory.recall(text, user_id="ana", k=3)
                assert text in [hit.content for hit in hits]


async def test_a_row_that_is_deleted_before_its_own_change_has_ended_is_not_missed(
    shared_store: SharedStore,
) -> None:
    """One process has stored it, another sees and deletes it, then the first notes it in Redis."""
    async with AsyncExitStack() as stack:
        writer, other = [await _open(stack, shared_store) for _ in range(2)]
        await writer.store_message(message("kept"), "other", user_id="ana")
        stored, deleted = asyncio.Event(), asyncio.Event()
        sessions = next(
            one for one in (await writer._lazy.get()).writer._projections if one.name == "sessions"
        )
        apply = sessions.apply

        async def apply_late(change: Change) -> None:
            stored.set()
            await deleted.wait()
            await apply(change)

        sessions.apply = apply_late  # type: ignore[method-assign]
        writing = asyncio.create_task(
            writer.store_message(message("deleted early"), "talk", user_id="ana")
        )
        await stored.wait()
        await other.clear_history("talk")
        deleted.set()
        await writing
        sessions.apply = apply  # type: ignore[method-assign]
        assert await turns_of(other, "talk") == []
        for memory in (writer, other, await _open(stack, shared_store)):
            assert (await memory.get_context("ana", "talk")).messages == []
            assert (await memory.health())["problems"] == {}
        await writer.store_message(message("later"), "talk", user_id="ana")
        assert [text for _, text in await turns_of(other, "talk")] == ["later"]
        assert (await (await _open(stack, shared_store)).health())["problems"] == {}
