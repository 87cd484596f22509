"""A session's life: its last activity moves, it becomes idle, expires, and the next one begins."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from bruno_core.models.context import SessionContext

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.conversations.activity import Lifetimes, aware, conversation_status
from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.sessions.protocol import ConversationNote
from tests.durability.support import message

NOW = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)


async def test_last_activity_is_never_older_than_the_newest_message(memory: VectorMemory) -> None:
    session = await memory.create_session("ana")
    talk = session.conversation_id
    for _ in range(3):
        # Redis keeps milliseconds.
        stored = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        await memory.store_message(message("hello there"), talk, user_id="ana")
        known = await memory.get_session(session.session_id)
        assert known is not None
        assert aware(known.last_activity) >= stored
        (listed,) = await memory.list_sessions("ana", active=True)
        assert aware(listed.last_activity) >= stored
        context = await memory.get_context("ana")
        assert context.session.session_id == session.session_id
        assert aware(context.session.last_activity) >= stored
        assert context.session.last_activity.tzinfo is None
        await asyncio.sleep(0.03)
    await memory.end_session(session.session_id)
    ended = await memory.get_session(session.session_id)
    assert ended is not None
    assert ended.ended_at is not None
    assert ended.started_at < ended.last_activity <= ended.ended_at
    # What is said later is not this session's.
    await memory.store_message(message("later"), talk, user_id="ana")
    assert await memory.get_session(session.session_id) == ended


async def test_a_message_that_was_stored_before_the_store_knew_the_time(
    memory: VectorMemory,
) -> None:
    """As in a file of an older version: the newest message's time counts."""
    session = await memory.create_session("ana")
    sessions = (await memory._lazy.get()).sessions
    at = session.started_at.replace(microsecond=0) + timedelta(seconds=5)
    await memory.store_message(message("hi", timestamp=at), session.conversation_id, user_id="ana")
    sessions.touched = _unknown  # type: ignore[method-assign]
    known = await memory.get_session(session.session_id)
    assert known is not None
    assert known.last_activity == at


async def _unknown(names: object) -> dict[str, datetime]:
    return {}


async def test_an_expired_session_ends_and_the_next_one_begins(tmp_path: Path) -> None:
    settings = {"embedder": "hash", "session_expires_after": timedelta(seconds=0.3)}
    async with open_memory(str(tmp_path / "m"), **settings) as memory:
        first = (await memory.get_context("ana", "talk")).session
        await memory.store_message(message("hello"), "talk", user_id="ana")
        assert (await memory.get_context("ana")).session.session_id == first.session_id
        await asyncio.sleep(0.35)
        context = await memory.get_context("ana")
        assert context.conversation_id == "talk"
        assert [one.content for one in context.messages] == ["hello"]
        assert context.session.session_id != first.session_id
        assert context.session.is_active
        ended = await memory.get_session(first.session_id)
        assert ended is not None
        assert not ended.is_active
        assert ended.ended_at == ended.last_activity + timedelta(seconds=0.3)
        assert [one.session_id for one in await memory.list_sessions("ana", active=True)] == [
            context.session.session_id
        ]
        # The same by upkeep, without anybody asking for the context.
        await asyncio.sleep(0.35)
        report = await memory.maintain()
        assert report.ok, report.problems
        assert report.sessions_ended == 1
        assert "expired sessions ended: 1" in str(report)
        assert await memory.list_sessions("ana", active=True) == []
        assert (await memory.maintain()).sessions_ended == 0


async def test_a_reader_is_given_a_session_that_nobody_keeps(tmp_path: Path) -> None:
    folder, settings = str(tmp_path / "m"), {"session_expires_after": timedelta(seconds=0.2)}
    async with open_memory(folder, embedder="hash", **settings) as memory:
        first = (await memory.get_context("ana", "talk")).session
        await memory.store_message(message("hello"), "talk", user_id="ana")
        async with open_memory(folder, embedder="hash", read_only=True, **settings) as reader:
            assert (await reader.get_context("ana")).session.session_id == first.session_id
            await asyncio.sleep(0.25)
            context = await reader.get_context("ana")
            assert context.session.session_id != first.session_id
            assert len(await reader.list_sessions("ana", active=True)) == 1
        still = await memory.get_session(first.session_id)
        assert still is not None
        assert still.is_active


async def test_the_status_of_a_session(memory: VectorMemory) -> None:
    manager = memory.conversations
    session = await manager.start("ana")
    assert await manager.session_status(session.session_id) == "created"
    await memory.store_message(message("hello"), session.conversation_id, user_id="ana")
    assert await manager.session_status(session.session_id) == "active"
    await manager.archive(session.conversation_id)
    assert await manager.session_status(session.session_id) == "archived"
    await manager.restore(session.conversation_id)
    assert await manager.session_status(session.session_id) == "ended"
    with pytest.raises(NotFoundError):
        await memory.for_user("ben").conversations.session_status(session.session_id)
    await manager.delete_session(session.session_id)
    with pytest.raises(NotFoundError):
        await manager.session_status(session.session_id)
    with pytest.raises(NotFoundError):
        await manager.delete_session(session.session_id)


@pytest.mark.parametrize(
    ("ago", "spoken", "expected"),
    [
        (timedelta(0), False, "created"),
        (timedelta(minutes=29), True, "active"),
        (timedelta(minutes=30), True, "idle"),
        (timedelta(hours=23), False, "created"),
        (timedelta(hours=24), True, "ended"),
        (timedelta(hours=24), False, "ended"),
    ],
)
def test_statuses_by_time(ago: timedelta, spoken: bool, expected: str) -> None:
    lifetimes = Lifetimes(timedelta(minutes=30), timedelta(days=1))
    assert lifetimes.status(NOW - ago, NOW, spoken=spoken) == expected
    stored = NOW - ago if spoken else None
    assert conversation_status(None, NOW - ago, lifetimes, NOW, stored=stored) == expected
    never = Lifetimes(None, None)
    assert never.status(NOW - ago, NOW, spoken=True) == "active"


def test_what_is_noted_of_a_conversation_counts_first() -> None:
    lifetimes = Lifetimes(timedelta(minutes=30), timedelta(days=1))
    ended = ConversationNote("c", "ana", NOW, ended_at=NOW)
    minute = timedelta(minutes=1)
    before, after = NOW - minute, NOW + minute
    assert conversation_status(ended, before, lifetimes, NOW, stored=before) == "ended"
    # It goes on where something was said later.
    assert conversation_status(ended, after, lifetimes, after, stored=after) == "active"
    archived = ConversationNote("c", "ana", NOW, archived_at=NOW)
    for stored, expected in ((None, "archived"), (NOW, "archived"), (after, "active")):
        assert conversation_status(archived, after, lifetimes, after, stored=stored) == expected
    # Archived again after something was stored in it.
    again = ConversationNote("c", "ana", NOW, archived_at=NOW, ended_at=after)
    assert conversation_status(again, after, lifetimes, after, stored=after) == "archived"


@pytest.mark.parametrize("field", ["session_idle_after", "session_expires_after"])
def test_settings(field: str) -> None:
    assert getattr(VectorMemory("memory://", **{field: None}).config, field) is None
    assert getattr(VectorMemory("memory://", **{field: "PT5M"}).config, field) == timedelta(
        minutes=5
    )
    for wrong in (timedelta(0), timedelta(seconds=-1), timedelta.max):
        with pytest.raises(InvalidInputError, match=field):
            VectorMemory("memory://", **{field: wrong})


def test_a_session_is_idle_before_it_expires() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    with pytest.raises(InvalidInputError, match=r"session_idle_after: .*session_expires_after"):
        VectorMemory("memory://", session_idle_after=2 * hour, session_expires_after=hour)
    with pytest.raises(InvalidInputError, match=r"session_idle_after: .*session_expires_after"):
        VectorMemory("memory://", session_idle_after=2 * day)
    for idle, expires in ((hour, hour), (None, hour), (2 * day, None)):
        config = VectorMemory(
            "memory://", session_idle_after=idle, session_expires_after=expires
        ).config
        assert (config.session_idle_after, config.session_expires_after) == (idle, expires)
    # The default gives way.
    minute = timedelta(minutes=1)
    config = VectorMemory("memory://", session_expires_after=minute).config
    assert config.session_idle_after == minute
    assert MemoryConfig.build(**config.model_dump()) == config


async def test_an_ended_session_that_is_saved_keeps_its_times(memory: VectorMemory) -> None:
    """Another's message in the conversation does not move it, nor does a context."""
    session = SessionContext(user_id="ana", conversation_id="talk")
    session.end_session()
    await (await memory._lazy.get()).sessions.save_session(session)
    await memory.store_message(message("hi"), "talk", user_id="ana")
    assert await memory.get_session(session.session_id) == session
