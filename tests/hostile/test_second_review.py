"""Cases that a reviewer found by trying: each failed once."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EmbeddingError, EngineError, InvalidInputError
from bruno_memory_vec.testing import HashEmbedder


def said(text: str, **fields: Any) -> Message:
    return Message(role="user", content=text, **fields)


async def test_a_session_id_names_its_conversation_when_writing_too() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        session = await memory.create_session("ana")
        context = await memory.get_context("ana", session.session_id)
        await memory.store_message(said("My PIN is 1234"), session.session_id)
        assert context.conversation_id == session.conversation_id
        assert [m.content for m in await memory.retrieve_messages(session.conversation_id)] == [
            "My PIN is 1234"
        ]
        assert await memory.recall("PIN", user_id="default") == []
        again = await memory.get_context("ana", session.session_id)
        assert [m.content for m in again.messages] == ["My PIN is 1234"]


async def test_words_are_found_again_after_a_failed_commit(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash", profile="lexical") as memory:
        await memory.store_message(said("a zebra"), "c", user_id="ana")
        index: Any = (await memory._lazy.get()).lexical
        add = index._add_documents

        def broken(*arguments: Any) -> None:
            add(*arguments)
            raise OSError("No space left on device")

        index._add_documents = broken
        writer = await memory._lazy.writer()
        for _ in range(2):
            with pytest.raises(EngineError, match="No space"):
                await writer._settle_each()
            # What waits is searched in memory meanwhile, and the failure is told.
            assert len(await memory.recall("zebra", user_id="ana")) == 1
            assert "No space" in (await memory.health())["problems"]["lexical"]
        index._add_documents = add
        await memory.store_message(said("a giraffe"), "c", user_id="ana")
        await writer.settle()
        assert len(await memory.recall("zebra", user_id="ana")) == 1
        assert len(await memory.recall("giraffe", user_id="ana")) == 1
        health = await memory.health()
        assert health["lexical"]["rows"] == 2
        assert health["problems"] == {}


def test_one_memory_in_several_event_loops(tmp_path: Path) -> None:
    memory = VectorMemory(str(tmp_path), embedder="hash")

    async def talk() -> None:
        await memory.store_message(said("hello"), "c", user_id="ana")
        await memory.recall("hello", user_id="ana")
        await asyncio.sleep(0.4)

    asyncio.run(talk())
    asyncio.run(talk())
    asyncio.run(memory.close())
    asyncio.run(memory.close())


async def test_a_life_beyond_the_calendar() -> None:
    forever = timedelta(days=30)
    async with open_memory("memory://", embedder="hash", short_term_ttl=forever) as memory:
        await memory.store_memory(
            MemoryEntry(
                content="x",
                memory_type=MemoryType.SHORT_TERM,
                user_id="ana",
                created_at=datetime.max,
            )
        )
        (entry,) = await memory.retrieve_memories(MemoryQuery(user_id="ana"))
        assert entry.expires_at is None
    with pytest.raises(InvalidInputError, match="short_term_ttl"):
        VectorMemory("memory://", short_term_ttl=timedelta.max)


async def test_a_wider_context_is_read_from_the_rows(tmp_path: Path) -> None:
    store = str(tmp_path)
    async with open_memory(store, embedder="hash", max_messages=3) as memory:
        await memory.store_messages([said(f"turn {i}") for i in range(12)], "c", user_id="ana")
    async with open_memory(store, embedder="hash", max_messages=10, read_only=True) as reader:
        assert len((await reader.get_context("ana", "c")).messages) == 10
    async with open_memory(store, embedder="hash", max_messages=8) as memory:
        context = await memory.get_context("ana", "c")
        assert [m.content for m in context.messages] == [f"turn {i}" for i in range(4, 12)]


async def test_a_failed_first_write_owns_nothing() -> None:
    embedder = HashEmbedder()
    embed = embedder.embed
    async with open_memory("memory://", embedder=embedder) as memory:
        embedder.embed = lambda texts, kind="document": np.full((len(texts), 64), np.nan)  # type: ignore[method-assign, assignment, misc]
        with pytest.raises(EmbeddingError):
            await memory.store_message(said("x"), "new", user_id="ana")
        embedder.embed = embed  # type: ignore[method-assign]
        await memory.store_message(said("y"), "new", user_id="ben")
        assert len(await memory.for_user("ben").retrieve_messages("new")) == 1


async def test_what_is_stored_is_acknowledged(tmp_path: Path) -> None:
    """The sessions' file fails after the rows were committed."""
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_message(said("first"), "c", user_id="ana")
        sessions: Any = (await memory._lazy.get()).sessions
        apply = sessions.apply

        async def broken(*_: Any) -> None:
            raise EngineError("sqlite", "follow the rows", "disk full", fix="Free some.")

        sessions.apply = broken
        await memory.store_message(said("second"), "c", user_id="ana")
        assert (await memory.health())["status"] == "degraded"
        sessions.apply = apply
        await memory.store_message(said("third"), "c", user_id="ana")
        assert (await memory.health())["status"] == "ok"
        context = await memory.get_context("ana", "c")
        assert [m.content for m in context.messages] == ["first", "second", "third"]


async def test_a_cancelled_deletion_is_finished(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        for number in range(15):
            conversation = f"c{number}"
            await memory.store_messages([said("a zebra"), said("b")], conversation, user_id="ana")
            task = asyncio.create_task(memory.clear_history(conversation))
            await asyncio.sleep(number * 0.0005)
            task.cancel()
            await asyncio.wait([task])
        await memory.maintain()
        health = await memory.health()
        assert health["rows"]["rows"] == health["lexical"]["rows"]
        for number in range(15):
            rows = await memory.retrieve_messages(f"c{number}")
            context = await memory.get_context("ana", f"c{number}")
            assert context.messages == rows[::-1]


async def test_the_message_that_names_a_user_is_found() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        rule = Message(role="system", content="You are kind")
        await memory.store_messages([rule, said("hello", metadata={"user_id": "ana"})], "c")
        assert len(await memory.for_user("ana").retrieve_messages("c")) == 2
        two = [said("x", metadata={"user_id": "ana"}), said("y", metadata={"user_id": "ben"})]
        with pytest.raises(InvalidInputError, match="user_id"):
            await memory.store_messages(two, "d")


async def test_hits_can_be_copied() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages([said("a zebra"), said("a giraffe")], "c", user_id="ana")
        hits = await memory.recall("zebra", user_id="ana")
    assert copy.deepcopy(hits) == hits
    assert pickle.loads(pickle.dumps(hits)) == hits
    assert dataclasses.asdict(hits[0])["signals"] == dict(hits[0].signals)
    assert len(set(hits)) == len(hits)
    assert "<table>" in hits[:1]._repr_html_()


async def test_a_folder_url_is_unquoted(tmp_path: Path) -> None:
    folder = tmp_path / "my folder"
    async with open_memory(folder.as_uri(), embedder="hash"):
        assert (folder / "store.json").exists()
    with pytest.raises(InvalidInputError, match="url"):
        await open_memory("a\0b", embedder="hash")
