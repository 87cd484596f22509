"""In a view, another user's conversation or session is like one that does not exist."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from bruno_core.models.context import ConversationContext
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError

ID = UUID(int=7)
WORD = "boiler"


def said(text: str, **fields: Any) -> Message:
    return Message(role="user", content=text, **fields)


@pytest.fixture(params=["memory://", "folder", "reader"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    """Ana's conversation "taken", its session, a memory; also as a reader sees it."""
    url = "memory://" if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url, embedder="hash") as opened:
        await fill(opened)
        if request.param == "reader":
            async with open_memory(url, embedder="hash", read_only=True) as reader:
                yield reader
        else:
            yield opened


async def fill(memory: VectorMemory) -> None:
    await memory.store_messages([said(f"my {WORD}", id=ID), said("more")], "taken", user_id="ana")
    await memory.store_memory(
        MemoryEntry(
            id=ID,
            content=f"the {WORD} is old",
            memory_type=MemoryType.FACT,
            user_id="ana",
            conversation_id="taken",
        )
    )
    await memory.store_message(said("of ben"), "bens", user_id="ben")


async def keys(memory: VectorMemory) -> list[str]:
    """Every id of Ana's by which a conversation can be named."""
    if memory.config.read_only:
        return ["taken"]
    created = await memory.create_session("ana")
    asked = (await memory.get_context("ana", "asked for")).session
    of_taken = (await memory.get_context("ana", "taken")).session
    ended = await memory.create_session("ana")
    await memory.end_session(ended.session_id)
    return [
        "taken",
        created.session_id,
        created.conversation_id,
        asked.session_id,
        of_taken.session_id,
        ended.session_id,
        ended.conversation_id,
    ]


Call = Callable[[VectorMemory, str], Awaitable[Any]]

READING: dict[str, Call] = {
    "recall": lambda view, key: view.recall(WORD, conversation_id=key),
    "recall by name": lambda view, key: view.recall(WORD, user_id="ben", conversation_id=key),
    "retrieve_context": lambda view, key: view.retrieve_context("ben", WORD, 5, key),
    "retrieve_context of all": lambda view, key: view.retrieve_context("ben", "", 5, key),
    "retrieve_messages": lambda view, key: view.retrieve_messages(key),
    "retrieve_messages few": lambda view, key: view.retrieve_messages(key, 1),
    "read_turns": lambda view, key: view.read_turns(key),
    "read_turns from": lambda view, key: view.read_turns(key, from_turn=1, newest_first=True),
    "get_conversation": lambda view, key: view.get_conversation(key),
    "conversation_owner": lambda view, key: view.conversation_owner(key),
    "get_message": lambda view, key: view.get_message(ID, conversation_id=key),
    "get_session": lambda view, key: view.get_session(key),
    "get_context": lambda view, key: view.get_context("ben", key),
    "current context": lambda view, key: _current(view, key),
    "another user": lambda view, key: view.get_context("ana", key),
    "list_conversations": lambda view, key: view.list_conversations(),
    "list_sessions": lambda view, key: view.list_sessions(after=key),
    "list_memories": lambda view, key: view.list_memories(after=key),
    "get_statistics": lambda view, key: view.get_statistics("ben"),
    "health": lambda view, key: view.health(),
    "for_user": lambda view, key: _for_user(view, key),
}
CHANGING: dict[str, Call] = {
    "clear_history": lambda view, key: view.clear_history(key, keep_system_messages=False),
    "clear_conversation": lambda view, key: view.clear_conversation("ben", key),
    "delete_messages": lambda view, key: view.delete_messages([ID], key),
    "delete_memory": lambda view, key: view.delete_memory(key),
    "end_session": lambda view, key: view.end_session(key),
}


async def _current(view: VectorMemory, key: str) -> Any:
    await view.get_context("ben", key)
    return await view.get_context("ben")


async def _for_user(view: VectorMemory, key: str) -> Any:
    return view.for_user(key)


async def seen(call: Call, view: VectorMemory, key: str) -> tuple[str, str]:
    """What a caller can tell: the type, and the text without the id that was asked for."""
    try:
        answer = await call(view, key)
    except BrunoError as error:
        text = f"{error!r} {error} {error.details} {error.cause} {getattr(error, 'fix', '')}"
        return type(error).__name__, text.replace(key, "KEY")
    if isinstance(answer, ConversationContext):
        place, session = answer.conversation_id, answer.session
        assert (session.user_id, session.conversation_id) == ("ben", place)
        rest = (answer.user.user_id, session.is_active, answer.messages, answer.max_messages)
        answer = ("KEY" if place == key else "NEW", *rest)
    return type(answer).__name__, f"{answer!r} {getattr(answer, 'next', '')}".replace(key, "KEY")


async def test_a_foreign_id_is_like_a_missing_one(memory: VectorMemory) -> None:
    foreign = await keys(memory)
    view = memory.for_user("ben")
    before = await everything_of_ana(memory)
    for name, call in {**READING, **CHANGING}.items():
        for key in foreign:
            missing = await seen(call, view, str(uuid4()))
            assert await seen(call, view, key) == missing, (name, key)
            # And again: asking leaves nothing behind that tells.
            assert await seen(call, view, key) == missing, (name, key)
        assert await everything_of_ana(memory) == before, name


async def everything_of_ana(memory: VectorMemory) -> Any:
    ana = memory.for_user("ana")
    sessions = [one.model_dump() for one in await ana.list_sessions(limit=None)]
    turns = [await ana.read_turns(talk) for talk in ("taken", "asked for")]
    return sessions, turns, await ana.list_memories(), await ana.get_statistics("ana")


async def test_a_write_to_a_taken_id_is_refused_in_the_same_words() -> None:
    """It has to be refused, which tells that somebody has the id: not who, what or where."""
    async with open_memory("memory://", embedder="hash") as memory:
        await fill(memory)
        foreign = await keys(memory)
        view = memory.for_user("ben")
        entry = MemoryEntry(content="x", memory_type=MemoryType.FACT, user_id="ben")
        texts = set()
        # That of "asked for" is nobody's: only its session's id is Ana's.
        for key in foreign:
            for call in (
                view.store_message(said("x"), key),
                view.store_messages([said("x"), said("y")], key),
                view.store_memory(entry.model_copy(update={"conversation_id": key})),
                memory.store_message(said("x"), key, user_id="ben"),
            ):
                with pytest.raises(ForeignUserError) as refusal:
                    await call
                text = f"{refusal.value} {refusal.value.details} {refusal.value.cause}"
                texts.add(text.replace(key, "KEY"))
        assert len(texts) == 1
        assert "ana" not in texts.pop()
        assert await memory.list_memories("ben") == []


async def test_where_a_view_may_not_write_it_does_not_stay() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await fill(memory)
        view = memory.for_user("ben")
        assert (await view.get_context("ben", "taken")).conversation_id == "taken"
        assert (await view.get_context("ben")).conversation_id == "taken"
        with pytest.raises(ForeignUserError):
            await view.store_message(said("x"), "taken")
        context = await view.get_context("ben")
        assert context.conversation_id != "taken"
        await view.store_message(said("x"), context.conversation_id)
        assert await view.conversation_owner(context.conversation_id) == "ben"


async def test_the_page_of_a_view_does_not_count_others() -> None:
    """Where a page ended says nothing about how many sessions others have."""
    async with open_memory("memory://", embedder="hash") as memory:
        mine = [(await memory.create_session("ben")).session_id for _ in range(3)]
        view = memory.for_user("ben")
        page = await view.list_sessions(limit=2)
        before = page.next
        for _ in range(5):
            await memory.create_session("ana")
        again = await view.list_sessions(limit=2)
        assert again.next == before
        rest = await view.list_sessions(after=again.next)
        assert [one.session_id for one in (*again, *rest)] == mine[::-1]
        assert before == mine[1]
