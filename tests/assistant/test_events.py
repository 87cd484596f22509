"""What happens in a memory is told on bruno-core's bus."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bruno_core.base.assistant import BaseAssistant
from bruno_core.events import Event, EventBus, EventType
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import events as module
from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from tests.assistant.scripted import Scripted


def said(text: str, **fields: Any) -> Message:
    return Message(**{"role": "user", "content": text, **fields})


class Heard:
    """A bus, and what was published on it."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.events: list[dict[str, Any]] = []

        def hear(event: Event) -> None:
            self.events.append(event.model_dump())

        self.bus.subscribe_all(hear)

    def of(self, kind: EventType) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event_type"] == kind.value]

    @property
    def messages(self) -> list[str]:
        return [event["message_id"] for event in self.of(EventType.MESSAGE_PROCESSED)]


async def told(memory: Any) -> None:
    """Wait until everything is told."""
    assert await memory._events.published()


@pytest.mark.parametrize("kept", [True, False], ids=["folder", "memory"])
async def test_each_stored_message_once_and_in_order(tmp_path: Path, kept: bool) -> None:
    heard, url = Heard(), str(tmp_path / "m") if kept else "memory://"
    async with open_memory(url, embedder="hash", events=heard.bus) as memory:
        messages = [said(f"turn {number}") for number in range(40)]
        await memory.store_messages(messages[:20], "talk", user_id="ana")
        await asyncio.gather(*(memory.store_message(one, "talk") for one in messages[20:]))
        fact = MemoryEntry(content="no message", memory_type=MemoryType.FACT, user_id="ana")
        await memory.store_memory(fact)
        await memory.delete_memory(str(fact.id))
        await told(memory)
        assert heard.messages == [str(one.id) for one in messages]
        turns = [event["data"]["turn"] for event in heard.of(EventType.MESSAGE_PROCESSED)]
        assert turns == list(range(40))
        first = heard.of(EventType.MESSAGE_PROCESSED)[0]
        assert (first["user_id"], first["conversation_id"]) == ("ana", "talk")
        assert "turn 0" not in str(heard.events)

        await memory.store_message(messages[3].model_copy(update={"content": "other"}), "talk")
        await memory.delete_messages(messages[5].id)
        await told(memory)
        assert heard.messages[40:] == [str(messages[3].id)]
        assert heard.of(EventType.MESSAGE_PROCESSED)[-1]["data"] == {"turn": 3, "again": True}
        health = (await memory.health())["events"]
        assert (health["waiting"], health["dropped"], health["failed"]) == (0, 0, 0)
        assert health["published"] == len(heard.events)
    if not kept:
        return
    # What was there before is not told again, also not by upkeep.
    heard = Heard()
    async with open_memory(url, embedder="hash", events=heard.bus) as memory:
        assert (await memory.maintain()).ok
        await told(memory)
        assert heard.events == []


async def test_rows_whose_columns_change_are_not_stored_messages(tmp_path: Path) -> None:
    heard = Heard()
    async with open_memory("memory://", embedder="hash", events=heard.bus) as memory:
        await memory.store_messages([said("one"), said("two")], "talk", user_id="ana")
        writer = await memory._lazy.writer()
        changed = await writer.rewrite(EVERYONE, RowFilter(), lambda row: {"importance": 0.9})
        assert len(changed) == 2
        await told(memory)
        assert len(heard.messages) == 2


async def test_a_compression_is_told_before_it_and_archived_turns_are_not_stored_again() -> None:
    heard = Heard()
    async with open_memory("memory://", embedder="hash", events=heard.bus) as memory:
        turns = [said(f"The boiler of flat {number} cost {number} euros.") for number in range(60)]
        for number in range(1, 60, 2):
            turns[number] = turns[number].model_copy(update={"role": MessageRole.ASSISTANT})
        await memory.store_messages(turns, "talk", user_id="ana")
        report = await memory.compress("ana", policy={"method": "extractive"})
        assert report.turns == 40
        await memory.restore(conversation_id="talk")
        await told(memory)
        (triggered,) = heard.of(EventType.COMPRESSION_TRIGGERED)
        assert triggered["data"]["user_id"] == "ana"
        assert triggered["data"]["conversation_id"] == "talk"
        assert triggered["data"]["turns"] == 40
        assert "boiler" not in str(heard.events)
        assert heard.messages == [str(one.id) for one in turns]


async def test_a_commit_that_fails_after_it_was_made_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    async with open_memory(str(tmp_path / "m"), embedder="hash", events=heard.bus) as memory:
        await memory.store_message(said("one"), "talk", user_id="ana")
        rows: RowIndex = (await memory._lazy.get()).rows
        real = type(rows).upsert

        async def stored_and_lost(self: Any, table: Any, **more: Any) -> None:
            await real(self, table, **more)
            raise OSError("the answer was lost")

        async def lost(self: Any, table: Any, **more: Any) -> None:
            raise OSError("it never arrived")

        second, third, fourth = said("two"), said("three"), said("four")
        for message, failure in ((second, stored_and_lost), (third, lost)):
            with monkeypatch.context() as patch:
                patch.setattr(type(rows), "upsert", failure)
                with pytest.raises(OSError, match=r"lost|never arrived"):
                    await memory.store_message(message, "talk")
            # A deletion does not wait for the end of the commit to be known.
            await memory.delete_messages(said("unknown").id)
        await memory.store_message(fourth, "talk")
        await told(memory)
        assert heard.messages[1:] == [str(second.id), str(fourth.id)]
        assert len(await memory.retrieve_messages("talk")) == 3


async def test_a_handler_neither_delays_nor_fails_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_QUEUE", 5)
    monkeypatch.setattr(module, "LONGEST_CLOSING", 0.05)
    bus, hangs = EventBus(), asyncio.Event()

    async def handler(event: Event) -> None:
        await hangs.wait()

    bus.subscribe(EventType.MESSAGE_PROCESSED, handler)
    async with open_memory(str(tmp_path / "m"), embedder="hash", events=bus) as memory:
        for number in range(20):
            await memory.store_message(said(f"turn {number}"), "talk", user_id="ana")
        assert len(await memory.retrieve_messages("talk")) == 20
        health = (await memory.health())["events"]
        assert (health["waiting"], health["published"]) == (5, 0)
        assert health["dropped"] == 14
        hangs.set()
    assert memory._events.health()["waiting"] == 0


async def test_sessions_begin_and_end(tmp_path: Path) -> None:
    heard = Heard()
    async with open_memory(str(tmp_path / "m"), embedder="hash", events=heard.bus) as memory:
        session = await memory.create_session("ana")
        await memory.end_session(session.session_id)
        await memory.end_session(session.session_id)
        context = await memory.get_context("ben", "bens talk")
        again = await memory.get_context("ben", "bens talk")
        assert again.session.session_id == context.session.session_id
        await told(memory)
        started = heard.of(EventType.SESSION_STARTED)
        assert [event["session_id"] for event in started] == [
            session.session_id,
            context.session.session_id,
        ]
        assert [event["user_id"] for event in started] == ["ana", "ben"]
        (ended,) = heard.of(EventType.SESSION_ENDED)
        assert ended["session_id"] == session.session_id
        assert ended["conversation_id"] == session.conversation_id


async def test_conversations_that_end_and_are_resumed_and_sessions_that_expire(
    tmp_path: Path,
) -> None:
    heard, hour = Heard(), timedelta(hours=1)
    async with open_memory(
        "memory://", embedder="hash", events=heard.bus, session_expires_after=hour
    ) as memory:
        talks = memory.for_user("ana").conversations
        session = await talks.start(title="The harbour")
        talk = session.conversation_id
        await memory.store_message(said("When does the ferry leave?"), talk)
        await talks.resume(talk)
        await talks.end(talk)
        resumed = await talks.resume(talk)
        await told(memory)
        kinds = [event for event in heard.events if event["event_type"].startswith("session")]
        assert [(event["event_type"], event["session_id"]) for event in kinds] == [
            ("session.started", session.session_id),
            ("session.resumed", session.session_id),
            ("session.ended", session.session_id),
            ("session.started", resumed.session_id),
            ("session.resumed", resumed.session_id),
        ]
        assert {event["conversation_id"] for event in kinds} == {talk}

        # Of a session in which nothing was said for too long the next context begins another one.
        old = await memory.create_session("ben")
        sessions = (await memory._lazy.get()).sessions
        old.last_activity -= 2 * hour
        old.started_at -= 2 * hour
        await sessions.save_session(old)
        heard.events.clear()
        context = await memory.get_context("ben", old.conversation_id)
        await told(memory)
        kinds = [event for event in heard.events if event["event_type"].startswith("session")]
        assert [(event["event_type"], event["session_id"]) for event in kinds] == [
            ("session.ended", old.session_id),
            ("session.started", context.session.session_id),
        ]
        # Upkeep ends it, where nobody asks for it.
        old = context.session
        old.last_activity -= 2 * hour
        old.started_at -= 2 * hour
        await sessions.save_session(old)
        heard.events.clear()
        assert (await memory.maintain()).sessions_ended == 1
        await told(memory)
        (ended,) = heard.of(EventType.SESSION_ENDED)
        assert ended["session_id"] == old.session_id


async def test_contexts_that_are_given_and_recalled_into(tmp_path: Path) -> None:
    heard, llm = Heard(), Scripted()
    async with open_memory(str(tmp_path / "m"), embedder="hash", events=heard.bus) as memory:
        await memory.store_message(said("The boiler cost 386 euros."), "old", user_id="ana")
        assistant = BaseAssistant(llm=llm, memory=memory)
        await assistant.initialize()
        await assistant.process_message(
            said("What did the boiler cost?"), user_id="ana", conversation_id="now"
        )
        await told(memory)
        given, recalled = heard.of(EventType.CONTEXT_UPDATED)
        assert given["data"] == {
            "reason": "given",
            "user_id": "ana",
            "conversation_id": "now",
            "session_id": given["data"]["session_id"],
            "messages": 0,
        }
        assert (recalled["data"]["reason"], recalled["data"]["recalled"]) == ("recalled", 1)
        assert "386 euros" not in str(heard.events)
        # The answer was stored last.
        assert heard.events[-1]["role"] == "assistant"


async def test_texts_are_told_where_that_is_set(tmp_path: Path) -> None:
    heard = Heard()
    async with open_memory(
        "memory://", embedder="hash", events=heard.bus, event_content=True
    ) as memory:
        await memory.for_user("ana").store_message(said("The boiler cost 386 euros."), "talk")
        await told(memory)
        assert heard.of(EventType.MESSAGE_PROCESSED)[0]["content"] == "The boiler cost 386 euros."


def test_what_is_no_bus_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidInputError, match="events"):
        open_memory("memory://", events="bus")  # type: ignore[arg-type]
