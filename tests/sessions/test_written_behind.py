"""Commits that wait for SQLite: nobody sees less, nothing is lost, and many are one transaction."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.memory import open_memory
from bruno_memory_vec.sessions import sqlite as sessions_in_sqlite
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.sessions.waiting import MANY
from tests.faults.load import until

_USER = "ana"


def _say(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


async def _sessions(memory: VectorMemory) -> SQLiteSessionStore:
    sessions = (await memory._lazy.get()).sessions
    assert isinstance(sessions, SQLiteSessionStore)
    return sessions


async def _shown(memory: VectorMemory, talk: str = "talk", user: str = _USER) -> list[str]:
    return [one.content for one in (await memory.get_context(user, talk)).messages]


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each transaction of the sessions."""
    made: list[str] = []
    real = sessions_in_sqlite.transact

    async def counting(*given: Any) -> Any:
        made.append("")
        return await real(*given)

    monkeypatch.setattr(sessions_in_sqlite, "transact", counting)
    return made


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is only written by what comes."""
    monkeypatch.setattr("bruno_memory_vec.writing.writer._SESSIONS_DELAY", 3600.0)
    monkeypatch.setattr("bruno_memory_vec.writing.writer.LEXICAL_DELAY", 3600.0)


@pytest.mark.usefixtures("never")
async def test_turns_of_an_assistant_visit_sqlite_once(
    tmp_path: Path, transactions: list[str]
) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("text 0"), "talk", user_id=_USER)
        # The first call begins a session, so the next one reads it.
        for _ in range(2):
            assert await _shown(memory) == ["text 0"]
        transactions.clear()
        for number in range(1, 30):
            await memory.store_message(_say(f"text {number}"), "talk", user_id=_USER)
            expected = [f"text {one}" for one in range(max(0, number - 19), number + 1)]
            assert await _shown(memory) == expected
        # Work in the background reads them now and then; a turn does not.
        assert len(transactions) <= 5
        sessions = await _sessions(memory)
        await sessions.write_waiting()
        assert not sessions.waits
        # As it is read from the file.
        sessions._hot.changed()
        assert await _shown(memory) == expected
        assert (await sessions.ledger.count(), await sessions.last_seq()) == (30, 29)


@pytest.mark.usefixtures("never")
async def test_new_conversations_leave_what_waits_to_be_written_together(
    tmp_path: Path, transactions: list[str]
) -> None:
    """Each looks up what its id names, which nothing that waits has changed."""
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "first", user_id=_USER)
        sessions = await _sessions(memory)
        await sessions.write_waiting()
        transactions.clear()
        for number in range(20):
            await memory.store_messages(
                [_say(f"{number}: {one}") for one in range(3)], f"t{number}", user_id=_USER
            )
        assert transactions == []
        owners = {f"t{number}": _USER for number in range(20)}
        assert await sessions.owners([*owners, "none"]) == owners
        assert len(transactions) == 1
        assert await memory.store_message(_say("again"), "t7", user_id=_USER) is None
        assert await _shown(memory, "t7") == ["7: 0", "7: 1", "7: 2", "again"]
        named = await sessions.named(["t7", "t8"])
        turns = {
            talk: one.conversation and one.conversation.next_turn for talk, one in named.items()
        }
        assert turns == {"t7": 4, "t8": 3}


async def test_it_is_written_a_moment_later(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "talk", user_id=_USER)
        sessions = await _sessions(memory)
        await until(lambda: not sessions.waits)
        with closing(sqlite3.connect(tmp_path / "m" / "sessions.sqlite")) as database:
            ((turn,),) = database.execute("SELECT next_turn FROM conversations").fetchall()
        assert turn == 1


@pytest.mark.usefixtures("never")
async def test_what_a_kill_leaves_unwritten_is_found_in_the_rows(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        for number in range(5):
            await memory.store_message(_say(f"text {number}"), "talk", user_id=_USER)
        await memory.store_message(_say("other"), "new", user_id="ben")
        assert (await _sessions(memory)).waits
        # As the files are where the process is killed now.
        shutil.copytree(tmp_path / "m", tmp_path / "killed")
    async with await open_memory(tmp_path / "killed", embedder="hash") as memory:
        assert await _shown(memory) == [f"text {number}" for number in range(5)]
        sessions = await _sessions(memory)
        assert await sessions.ledger.count() == 6
        assert await sessions.owners(["talk", "new"]) == {"talk": _USER, "new": "ben"}
        await memory.store_message(_say("text 5"), "talk", user_id=_USER)
        assert (await _shown(memory))[-1] == "text 5"
        found = await sessions.conversation("talk")
        assert found is not None
        assert found.next_turn == 6


@pytest.mark.usefixtures("never")
async def test_a_deletion_comes_after_what_waits(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        messages = [_say(f"text {number}") for number in range(3)]
        for one in messages:
            await memory.store_message(one, "talk", user_id=_USER)
        await memory.delete_messages([messages[1].id], "talk")
        assert await _shown(memory) == ["text 0", "text 2"]
        sessions = await _sessions(memory)
        assert await sessions.ledger.count() == 2
        assert len((await sessions.ledger.read()).leaving) == 0


@pytest.mark.usefixtures("never")
async def test_close_writes_it(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "talk", user_id=_USER)
    with closing(sqlite3.connect(tmp_path / "m" / "sessions.sqlite")) as database:
        ((seq,),) = database.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchall()
    assert seq == 0


@pytest.mark.usefixtures("never")
async def test_with_fsync_nothing_waits(tmp_path: Path) -> None:
    """The ledger is as durable as the rows there."""
    async with await open_memory(tmp_path / "m", embedder="hash", fsync=True) as memory:
        await memory.store_message(_say("first"), "talk", user_id=_USER)
        assert not (await _sessions(memory)).waits


@pytest.mark.usefixtures("never")
async def test_a_reader_beside_it_sees_what_waits(tmp_path: Path) -> None:
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "talk", user_id=_USER)
        await (await _sessions(memory)).write_waiting()
        async with await open_memory(tmp_path / "m", embedder="hash", read_only=True) as reader:
            assert await _shown(reader) == ["first"]
            await memory.store_message(_say("second"), "talk", user_id=_USER)
            assert await _shown(reader) == ["first", "second"]
            await memory.store_message(_say("begun"), "new", user_id=_USER)
            assert await _shown(reader, "new") == ["begun"]
            assert (await _sessions(memory)).waits


@pytest.mark.usefixtures("never")
async def test_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, contexts are read from the rows, and it follows when SQLite works again."""
    real: Callable[..., None] = sessions_in_sqlite.apply_commits
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.store_message(_say("first"), "talk", user_id=_USER)
        assert await _shown(memory) == ["first"]

        def full(*given: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(sessions_in_sqlite, "apply_commits", full)
        await memory.store_message(_say("second"), "talk", user_id=_USER)
        sessions = await _sessions(memory)
        with pytest.raises(EngineError, match="disk is full"):
            await sessions.write_waiting()
        sessions._hot.changed()
        assert await _shown(memory) == ["first", "second"]
        assert "follow the rows in the sessions" in (await memory.health())["problems"]
        with pytest.raises(EngineError, match="disk is full"):
            await memory.store_message(_say("third"), "talk", user_id=_USER)
        monkeypatch.setattr(sessions_in_sqlite, "apply_commits", real)
        await memory.store_message(_say("third"), "talk", user_id=_USER)
        assert await _shown(memory) == ["first", "second", "third"]
        assert await sessions.ledger.count() == 3
        assert not sessions.waits or sessions._unwritten is None


@pytest.mark.usefixtures("never")
def test_a_later_event_loop_writes_it(tmp_path: Path) -> None:
    async def begin() -> VectorMemory:
        memory = await open_memory(tmp_path / "m", embedder="hash")
        await memory.store_message(_say("first"), "talk", user_id=_USER)
        return memory

    async def go_on(memory: VectorMemory) -> list[str]:
        await memory.store_message(_say("second"), "talk", user_id=_USER)
        shown = await _shown(memory)
        assert await (await _sessions(memory)).ledger.count() == 2
        await memory.close()
        return shown

    assert asyncio.run(go_on(asyncio.run(begin()))) == ["first", "second"]


@pytest.mark.usefixtures("never")
async def test_of_many_rows_none_waits_for_ever(tmp_path: Path) -> None:
    """So much is written at once, whatever the delay."""
    async with await open_memory(tmp_path / "m", embedder="hash") as memory:
        for number in range(4):
            await memory.store_messages([_say(f"{i}") for i in range(200)], f"t{number}")
        sessions = await _sessions(memory)
        await until(lambda: sessions._waiting.rows < MANY)
