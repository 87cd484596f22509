"""The life of a conversation: started, resumed, ended, archived, restored, deleted; in views."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.conversations.manager import ConversationManager
from bruno_memory_vec.errors import InvalidInputError, NotFoundError, ReadOnlyError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros
from tests.durability.support import message, rows_of


async def say(memory: VectorMemory, talk: str, *texts: str, user: str = "ana") -> None:
    for number, text in enumerate(texts):
        role = "assistant" if number % 2 else "user"
        await memory.store_message(message(text, role), talk, user_id=user)


def remembered(text: str, talk: str, category: str = "fact", user: str = "ana") -> MemoryEntry:
    return MemoryEntry(
        user_id=user,
        content=text,
        conversation_id=talk,
        memory_type=MemoryType.FACT if category == "fact" else MemoryType.EPISODIC,
        metadata=MemoryMetadata(category=category, custom_fields={"level": "session"}),
    )


async def test_started_ended_resumed(memory: VectorMemory) -> None:
    manager = memory.conversations
    session = await manager.start("ana", title="  The \n harbour ", metadata={"a": 1})
    talk = session.conversation_id
    assert session.metadata == {"a": 1}
    assert await manager.current("ana") == talk
    info = await manager.get(talk)
    assert (info.status, info.title, info.title_by) == ("created", "The harbour", "given")
    assert (info.messages, info.first, info.last) == (0, None, None)
    await say(memory, talk, "hello", "hi there")
    info = await manager.get(session.session_id)
    assert (info.conversation_id, info.status, info.messages) == (talk, "active", 2)
    await manager.end(talk)
    assert (await manager.get(talk)).status == "ended"
    ended = await memory.get_session(session.session_id)
    assert ended is not None
    assert not ended.is_active
    # The next context is of another conversation; what was said is recalled as before.
    assert await manager.current("ana") is None
    assert (await memory.get_context("ana")).conversation_id != talk
    assert {hit.content for hit in await memory.recall("hello", user_id="ana")} >= {"hello"}
    resumed = await manager.resume(talk)
    assert resumed.is_active
    assert resumed.session_id != session.session_id
    assert await manager.current("ana") == talk
    info = await manager.get(talk)
    assert (info.status, info.ended_at) == ("active", None)
    assert len((await memory.get_context("ana")).messages) == 2
    # It is ended with its last session, and goes on with what is said.
    await memory.end_session(resumed.session_id)
    assert (await manager.get(talk)).status == "ended"
    await say(memory, talk, "again")
    assert (await manager.get(talk)).status == "active"


async def test_an_archive_is_undone_and_nothing_else(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "the violin is red", "it is old", "the violin was sold")
    await say(memory, "other", "a violin of somebody else")
    fact, given = remembered("ana sold the violin", "talk"), remembered("a violin", "talk")
    summary = remembered("they spoke about the violin", "talk", "summary")
    await memory.store_memories([fact], origin="extracted")
    await memory.store_memories([given])
    await memory.store_memories([summary], origin="summary")
    store = await memory._lazy.get()
    assert store.writer is not None
    # One turn was archived before, as by a compression.
    compressed = micros(datetime.now(timezone.utc))
    await store.writer.rewrite(
        Scope.user("ana").within("talk"),
        RowFilter(kinds=("message",)),
        lambda row: {"archived_at": compressed} if row["turn"] == 0 else None,
    )
    before = {row["id"]: row for row in await rows_of(memory)}
    assert await manager.archive("talk") == 3
    info = await manager.get("talk")
    assert info.status == "archived"
    assert info.archived_at is not None
    found = {hit.content for hit in await memory.recall("violin", user_id="ana", k=20)}
    assert found == {"ana sold the violin", "a violin", "a violin of somebody else"}
    everything = await memory.recall("violin", user_id="ana", k=20, include_archived=True)
    assert {hit.content for hit in everything if hit.archived} == {
        "the violin is red",
        "it is old",
        "the violin was sold",
        "they spoke about the violin",
    }
    assert len(await manager.turns("talk")) == len(await memory.read_turns("talk")) == 3
    assert await manager.archive("talk") == 0, "again it changes nothing"
    assert (await manager.get("talk")).archived_at == info.archived_at
    with pytest.raises(InvalidInputError, match="Restore it first"):
        await manager.resume("talk")
    assert await manager.restore("talk") == 3
    after = {row["id"]: row for row in await rows_of(memory)}
    assert {name: row["archived_at"] for name, row in after.items()} == {
        name: row["archived_at"] for name, row in before.items()
    }
    assert sum(row["archived_at"] is not None for row in after.values()) == 1
    assert (await manager.get("talk")).archived_at is None
    with pytest.raises(InvalidInputError, match="not archived"):
        await manager.restore("talk")
    assert await manager.archive("talk", memories=True) == 5
    assert await manager.restore("talk") == 5
    (await manager.resume("talk"))


async def test_an_archive_that_was_broken_off_goes_on(memory: VectorMemory) -> None:
    """Noted, and no row was changed yet: calling it again archives them, and restore undoes it."""
    manager = memory.conversations
    await say(memory, "talk", "one", "two")
    store = await memory._lazy.get()
    known = await manager._conversations()
    # Redis notes whole milliseconds, rounded up.
    at = datetime.now(timezone.utc) + timedelta(milliseconds=2)
    await known.note_of("ana", "talk", archived_at=at)
    assert (await manager.get("talk")).status == "archived"
    assert await manager.archive("talk") == 2
    assert {row["archived_at"] for row in await rows_of(memory)} == {micros(at)}
    # Broken off between the rows and the note.
    writer = store.writer
    assert writer is not None
    scope = Scope.user("ana").within("talk")
    await writer.rewrite(scope, RowFilter(), lambda _: {"archived_at": None})
    assert await manager.restore("talk") == 0
    assert (await manager.get("talk")).archived_at is None


async def test_deleted(memory: VectorMemory) -> None:
    manager = memory.conversations
    session = await manager.start("ana", title="secret plans")
    talk = session.conversation_id
    await say(memory, talk, "the plan", "good")
    await memory.store_memories([remembered("a plan", talk, "summary")], origin="summary")
    await memory.store_memories([remembered("ana plans", talk)], origin="extracted")
    await memory.store_memories([remembered("a plan of hers", talk, "summary")])
    await manager.delete(talk)
    kept = {row["content"] for row in await rows_of(memory)}
    assert kept == {"ana plans", "a plan of hers"}
    assert await memory.list_sessions("ana") == []
    assert await memory.get_session(session.session_id) is None
    assert await manager.list("ana") == []
    assert await manager.current("ana") is None
    assert await (await memory._lazy.get()).sessions.notes("ana") == []
    # clear_history of a whole conversation forgets its title and summary, too.
    session = await manager.start("ana", title="more plans")
    await say(memory, session.conversation_id, "more")
    entry = remembered("more plans", session.conversation_id, "summary")
    await memory.store_memories([entry], origin="summary")
    await memory.clear_history(session.conversation_id)
    assert (await manager.get(session.conversation_id)).title == "more plans"
    await memory.clear_history(session.conversation_id, keep_system_messages=False)
    assert (await manager.get(session.conversation_id)).title == ""
    assert await memory.get_memory(entry.id) is None


async def test_a_deleted_conversation_is_none(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "one", "two")
    await memory.store_memory(remembered("given with its id", "talk"))
    await manager.delete("talk")
    for call in CALLS.values():
        with pytest.raises(NotFoundError, match="there is no conversation 'talk'"):
            await call(manager)
    assert await manager.list("ana") == []
    # Something that is stored under its id begins it again, and it stays its owner's.
    await say(memory, "talk", "three")
    info = await manager.get("talk")
    assert (info.status, info.messages, info.title) == ("active", 1, "three")
    with pytest.raises(NotFoundError):
        await memory.for_user("ben").conversations.get("talk")
    # One in which nothing was said is there as long as its session or its title.
    session = await manager.start("ana", title="to come")
    await manager.delete_session(session.session_id)
    assert (await manager.get(session.conversation_id)).title == "to come"
    await manager.delete(session.conversation_id)
    with pytest.raises(NotFoundError):
        await manager.delete(session.conversation_id)


async def test_what_is_stored_in_an_archived_one_makes_it_active_again(
    memory: VectorMemory,
) -> None:
    manager = memory.conversations
    session = await manager.start("ana")
    talk = session.conversation_id
    await say(memory, talk, "the violin is red", "it is old")
    await manager.archive(talk)
    at = (await manager.get(talk)).archived_at
    context = await memory.get_context("ana", talk)
    assert (await manager.get(talk)).status == "archived", "asking for a context stores nothing"
    assert await manager.session_status(context.session.session_id) == "archived"
    await say(memory, talk, "the violin was sold")
    info = await manager.get(talk)
    assert (info.status, info.archived_at) == ("active", at)
    assert await manager.session_status(context.session.session_id) == "active"
    assert await manager.list("ana", status="archived") == []
    assert (await manager.resume(talk)).conversation_id == talk
    found = {hit.content for hit in await memory.recall("violin", user_id="ana")}
    assert found == {"the violin was sold"}
    # Archived again, all of it is, until it is restored.
    assert await manager.archive(talk) == 1
    assert (await manager.get(talk)).status == "archived"
    assert await memory.recall("violin", user_id="ana") == []
    assert await manager.restore(talk) == 3
    assert len(await memory.recall("violin", user_id="ana")) == 3
    await manager.archive(talk)
    await say(memory, talk, "a second one")
    assert await manager.restore(talk) == 3, "restored while it is active"
    assert (await manager.get(talk)).archived_at is None


CALLS: dict[str, Callable[[ConversationManager], Awaitable[Any]]] = {
    "get": lambda manager: manager.get("talk"),
    "resume": lambda manager: manager.resume("talk"),
    "end": lambda manager: manager.end("talk"),
    "archive": lambda manager: manager.archive("talk"),
    "restore": lambda manager: manager.restore("talk"),
    "delete": lambda manager: manager.delete("talk"),
    "rename": lambda manager: manager.rename("talk", "mine"),
    "summary": lambda manager: manager.summary("talk"),
    "turns": lambda manager: manager.turns("talk"),
    "turn_breaks": lambda manager: manager.turn_breaks("talk"),
    "boundaries": lambda manager: manager.boundaries("talk"),
    "fork": lambda manager: manager.fork("talk"),
    "branches": lambda manager: manager.branches("talk"),
    "switch": lambda manager: manager.switch("talk"),
    "to_context": lambda manager: manager.to_context("talk"),
}


async def test_in_a_view_others_conversations_do_not_exist(memory: VectorMemory) -> None:
    await memory.conversations.start("ana", title="hers")
    await say(memory, "talk", "hello", "hi")
    before = await rows_of(memory)
    view = memory.for_user("ben").conversations
    session = (await memory.list_sessions("ana"))[0]
    for name, call in CALLS.items():
        with pytest.raises(NotFoundError, match="there is no conversation 'talk'"):
            await call(view)
        if name not in ("fork", "archive", "delete"):
            continue
        with pytest.raises(NotFoundError, match="there is no conversation 'none'"):
            await getattr(view, name)("none")
    with pytest.raises(NotFoundError):
        await view.get(session.session_id)
    assert await view.list() == []
    assert await view.search("hello") == []
    assert await view.current() is None
    assert await rows_of(memory) == before
    mine = memory.for_user("ana").conversations
    for name in ("get", "summary", "turns", "turn_breaks", "boundaries", "branches", "to_context"):
        assert await CALLS[name](mine) is not None
    assert {one.title for one in await mine.list()} == {"hers", "hello"}
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.conversations.list()


async def test_a_reader_changes_nothing_and_says_so(tmp_path: Path) -> None:
    folder = str(tmp_path / "m")
    async with open_memory(folder, embedder="hash") as memory:
        await say(memory, "talk", "hello", "hi")
        await memory.conversations.rename("talk", "a title")
        before = await rows_of(memory)
        async with open_memory(folder, embedder="hash", read_only=True) as reader:
            manager = reader.conversations
            context = await manager.to_context("talk")
            writing = {
                name: call
                for name, call in CALLS.items()
                if name
                not in ("get summary turns turn_breaks boundaries branches to_context".split())
            }
            writing["start"] = lambda manager: manager.start("ana", title="new")
            writing["make_title"] = lambda manager: manager.make_title("talk", llm=object())  # type: ignore[arg-type]
            writing["delete_session"] = lambda manager: manager.delete_session("none")
            writing["from_context"] = lambda manager: manager.from_context(context)
            for call in writing.values():
                with pytest.raises(ReadOnlyError):
                    await call(manager)
            info = await manager.get("talk")
            assert (info.title, info.status, info.messages) == ("a title", "active", 2)
            assert (await manager.summary("talk")).text
            assert [one.info.title for one in await manager.search("title", "ana")] == ["a title"]
            assert len(await manager.turns("talk")) == 2
        assert await rows_of(memory) == before


@pytest.mark.parametrize("title", ["", "  \n ", "x" * 81, 3, "a\ud800"])
async def test_titles_that_are_none(title: Any) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        manager = memory.conversations
        await say(memory, "talk", "hello")
        for call in (
            manager.start("ana", title=title),
            manager.rename("talk", title),
            manager.fork("talk", title=title),
        ):
            with pytest.raises(InvalidInputError, match="title"):
                await call
        assert len(await manager.list("ana")) == 1


async def test_of_two_changes_at_once_none_is_lost(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "hello")
    await asyncio.gather(manager.rename("talk", "Mine"), manager.end("talk"))
    info = await manager.get("talk")
    assert (info.title, info.status) == ("Mine", "ended")


async def test_an_archived_conversation_is_not_the_current_one(memory: VectorMemory) -> None:
    manager = memory.conversations
    await say(memory, "talk", "the violin is red", "is it old?")
    await manager.archive("talk")
    # Where it is named, its turns are shown, as they were said; that does not bring it back.
    context = await memory.get_context("ana", "talk")
    assert [one.content for one in context.messages] == ["the violin is red", "is it old?"]
    built = await memory.build_context("what is red?", user_id="ana", conversation_id="talk")
    assert "violin" not in built.text
    assert await manager.current("ana") is None
    other = await memory.get_context("ana")
    assert other.conversation_id != "talk"
    assert other.messages == []
    with pytest.raises(InvalidInputError, match="archived"):
        await manager.switch("talk")
    # Something that is stored in it makes it go on.
    await memory.get_context("ana", "talk")
    await say(memory, "talk", "and new")
    assert await manager.current("ana") == "talk"
    assert (await memory.get_context("ana")).conversation_id == "talk"
    # A turn that is archived for itself is history, too.
    turn = (await memory.read_turns("talk"))[2].message
    await memory.forget(turn.id, archive=True)
    context = await memory.get_context("ana", "talk")
    assert [one.content for one in context.messages][-1] == "and new"
    built = await memory.build_context("what is new?", user_id="ana", conversation_id="talk")
    assert "and new" not in built.text
