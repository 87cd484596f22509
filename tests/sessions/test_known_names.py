"""A new conversation is told without a read of the sessions, and no other one is taken for new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bruno_core.models.context import SessionContext
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError
from bruno_memory_vec.rows.models import message_row
from bruno_memory_vec.sessions.protocol import HotTurn
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from tests.faults.load import until


def _said(text: str) -> Message:
    return Message(role="user", content=text)


def _turn(talk: str, seq: int = 0) -> HotTurn:
    row = {**message_row(_said("Hello."), "ana", talk), "seq": seq, "turn": 0}
    return HotTurn("ana", talk, 0, row, False)


def _session(talk: str, name: str) -> SessionContext:
    return SessionContext(session_id=name, user_id="ana", conversation_id=talk)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteSessionStore]:
    opened = await SQLiteSessionStore.open(tmp_path / "s.sqlite", 20)
    yield opened
    await opened.close()


async def test_nothing_is_new_before_the_names_are_known(store: SQLiteSessionStore) -> None:
    assert not store.name_nothing(["talk"])
    await store.learn_names()
    assert store.name_nothing(["talk", "another"])


@pytest.mark.parametrize("learnt_first", [True, False])
async def test_whatever_names_something_is_known(
    store: SQLiteSessionStore, learnt_first: bool
) -> None:
    if learnt_first:
        await store.learn_names()
    await store.apply([_turn("said")], 0, {"noted": "ana"}, added=[0])
    await store.begin_session(_session("begun", "begun session"))
    await store.save_session(_session("saved", "saved session"))
    await store.restore([("restored", "ana", 1)], 1)
    await store.give([("given", "ana", 1)])
    if not learnt_first:
        await store.learn_names()
    for name in ("said", "noted", "begun", "begun session", "saved", "saved session"):
        assert not store.name_nothing([name]), name
    for name in ("restored", "given"):
        assert not store.name_nothing(["new", name]), name
    assert store.name_nothing(["new"])


async def _traced(memory: VectorMemory) -> list[str]:
    """What SQLite is asked from now on."""
    sessions = (await memory._lazy.get()).sessions
    assert isinstance(sessions, SQLiteSessionStore)
    await until(lambda: sessions.name_nothing(["new"]))
    asked: list[str] = []
    await sessions._connection.set_trace_callback(asked.append)
    return asked


async def test_new_conversations_are_not_looked_up(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_said("Before."), "old", user_id="ana")
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        asked = await _traced(memory)
        for number in range(5):
            await memory.store_message(_said("Hello."), f"talk {number}", user_id="ana")
        calls = (memory.store_message(_said("Hi."), f"more {n}", user_id="ben") for n in range(5))
        await asyncio.gather(*calls)
        assert not [one for one in asked if "SELECT" in one and "FROM conversations" in one]
        with pytest.raises(ForeignUserError):
            await memory.store_message(_said("Mine."), "old", user_id="ben")
        with pytest.raises(ForeignUserError):
            await memory.store_message(_said("Mine."), "more 1", user_id="ana")


async def test_calls_keep_their_order_while_the_names_are_read(tmp_path: Path) -> None:
    """Those that came before the names were known wait for a read; nobody overtakes them."""
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        calls = [
            asyncio.ensure_future(memory.store_message(_said(f"{n}"), "talk", user_id="ana"))
            for n in range(100)
        ]
        await asyncio.gather(*calls)
        assert [one.message.content for one in await memory.read_turns("talk")] == [
            f"{n}" for n in range(100)
        ]
