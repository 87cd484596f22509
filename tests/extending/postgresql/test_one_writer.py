"""With sessions in SQLite one process writes, and the database keeps all others out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreError, StoreLockedError
from tests.extending.postgresql.stores import database_of

_OF_THE_LOCK = """
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::int8 << 32 | l.objid::int8) = $1
"""
_HOLDERS = f"SELECT pg_terminate_backend(l.pid, 10000) {_OF_THE_LOCK}"
_LAST_ASKED = f"SELECT a.query_start {_OF_THE_LOCK}"


def said(text: str) -> Message:
    return Message(role="user", content=text)


async def opened(url: str, folder: Path, **settings: Any) -> VectorMemory:
    return await open_memory(url, embedder="hash", sessions=str(folder), **settings)


async def end_the_holder(url: str) -> None:
    """End the connection that holds the lock, as a restart of the server does."""
    from bruno_memory_vec_postgresql.statement import hash_of

    database = database_of(url)
    key = hash_of(f"write {database.settings.schema}")
    assert await database.fetch("end", _HOLDERS, key)
    await database.close()


async def test_a_second_writer_is_refused(url: str, tmp_path: Path) -> None:
    for sessions in (tmp_path / "here", tmp_path / "there"):
        memory = await opened(url, tmp_path / "here")
        with pytest.raises(StoreLockedError):
            await opened(url, sessions)
        await memory.close()
    await (await opened(url, tmp_path / "here")).close()


async def test_sessions_in_memory_are_one_process_too(url: str) -> None:
    first = await open_memory(url, embedder="hash", sessions="sqlite://:memory:")
    with pytest.raises(StoreLockedError):
        await open_memory(url, embedder="hash", sessions="sqlite://:memory:")
    await first.close()


async def test_other_sessions_are_refused_unless_they_take_over(url: str, tmp_path: Path) -> None:
    async with await opened(url, tmp_path / "here") as memory:
        await memory.store_messages([said("one"), said("two")], "talk", user_id="ana")
    with pytest.raises(StoreError, match=r"sessions of .* are elsewhere"):
        await opened(url, tmp_path / "there")
    async with await opened(f"{url}&take_over=true", tmp_path / "there") as memory:
        await memory.store_message(said("three"), "talk")
        turns = [(turn.turn, turn.message.content) for turn in await memory.read_turns("talk")]
        assert turns == [(0, "one"), (1, "two"), (2, "three")]
    with pytest.raises(StoreError, match="elsewhere"):
        await opened(url, tmp_path / "here")


async def test_a_lost_lock_is_taken_again(url: str, tmp_path: Path) -> None:
    async with await opened(url, tmp_path) as memory:
        await memory.store_message(said("one"), "talk", user_id="ana")
        await end_the_holder(url)
        await memory.store_message(said("two"), "talk")
        with pytest.raises(StoreLockedError):
            await opened(url, tmp_path / "there")
        assert len(await memory.retrieve_messages("talk")) == 2


async def test_a_lock_that_another_process_had_meanwhile_is_not(url: str, tmp_path: Path) -> None:
    memory = await opened(url, tmp_path / "here")
    await memory.store_message(said("one"), "talk", user_id="ana")
    await end_the_holder(url)
    async with await opened(f"{url}&take_over=true", tmp_path / "there") as other:
        with pytest.raises(StoreLockedError):
            await memory.store_message(said("two"), "talk")
        await other.store_message(said("of the other"), "talk")
    refusal: StoreError = StoreLockedError("not asked yet", fix="")
    while isinstance(refusal, StoreLockedError):  # until it has found out that the other one closed
        with pytest.raises(StoreError) as raised:
            await memory.store_message(said("three"), "talk")
        refusal = raised.value
    assert "another process has written" in str(refusal)
    with pytest.raises(StoreError, match="another process has written"):
        await memory.recall("one", user_id="ana")
    await memory.close()


async def test_the_connection_of_the_lock_is_asked_whether_it_is_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bruno_memory_vec_postgresql import guard
    from bruno_memory_vec_postgresql.statement import hash_of

    monkeypatch.setattr(guard, "TRUSTED_SECONDS", 0.0)
    database = database_of(url)
    key = hash_of(f"write {database.settings.schema}")
    async with await opened(url, tmp_path) as memory:
        await memory.store_message(said("one"), "talk", user_id="ana")
        before = await database.fetchval("look", _LAST_ASKED, key)
        assert before is not None
        await memory.store_message(said("two"), "talk")
        assert await database.fetchval("look", _LAST_ASKED, key) > before
    await database.close()


def test_one_event_loop_after_the_other(url: str, tmp_path: Path) -> None:
    memory = VectorMemory(url, embedder="hash", sessions=str(tmp_path))

    async def write(text: str) -> int:
        await memory.store_message(said(text), "talk", user_id="ana")
        return len(await memory.retrieve_messages("talk"))

    assert [asyncio.run(write(text)) for text in ("one", "two", "three")] == [1, 2, 3]
    asyncio.run(memory.close())
