"""Events on bruno-core's bus: in order, each once, and nobody waits for a handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bruno_core.events import Event, EventBus, EventType
from bruno_core.models.context import SessionContext

from bruno_memory_vec import events as module
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.events import Events


def heard_by(bus: EventBus) -> list[Event]:
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)

    bus.subscribe_all(hear)
    return heard


def row(seq: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"m{seq}", "user_id": "ana", "conversation_id": "talk", "role": "user",
        "content": "secret", "turn": seq, "seq": seq, **changes,
    }  # fmt: skip


async def test_everything_is_told_in_order_with_ids_and_without_texts() -> None:
    bus = EventBus()
    heard, events = heard_by(bus), Events(bus)
    session = SessionContext(user_id="ana")
    events.session_started(session)
    events.messages_stored([row(0), row(1, role="assistant")], frozenset({1}))
    events.context_updated("given", "ana", "talk", messages=2)
    events.compression_triggered("ana", "talk", turns=40)
    events.session_ended(session)
    events.session_resumed(session)
    assert heard == []
    assert await events.published()
    assert [event.event_type for event in heard] == [
        "session.started", "message.processed", "message.processed", "context.updated",
        "compression.triggered", "session.ended", "session.resumed",
    ]  # fmt: skip
    assert heard[0].model_dump()["session_id"] == session.session_id
    first, second = heard[1].model_dump(), heard[2].model_dump()
    assert (first["message_id"], first["role"], first["content"]) == ("m0", "user", None)
    assert (first["data"], second["data"]["again"]) == ({"turn": 0, "again": False}, True)
    assert heard[3].data["messages"] == 2
    assert heard[4].data == {"user_id": "ana", "conversation_id": "talk", "turns": 40}
    assert "secret" not in str([event.model_dump() for event in heard])
    assert heard == sorted(heard, key=lambda event: event.timestamp)


async def test_the_text_is_there_where_it_is_asked_for() -> None:
    bus = EventBus()
    heard, events = heard_by(bus), Events(bus, content=True)
    events.messages_stored([row(0)], frozenset())
    assert await events.published()
    assert heard[0].model_dump()["content"] == "secret"


async def test_a_slow_handler_is_not_waited_for_and_what_is_too_much_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_QUEUE", 10)
    bus, goes_on, seen = EventBus(), asyncio.Event(), []

    async def slow(event: Event) -> None:
        await goes_on.wait()
        seen.append(event.model_dump()["message_id"])

    bus.subscribe(EventType.MESSAGE_PROCESSED, slow)
    events = Events(bus)
    events.messages_stored([row(0)], frozenset())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    events.messages_stored([row(seq) for seq in range(1, 16)], frozenset())
    assert events.health()["waiting"] == 10
    assert events.health()["dropped"] == 5
    goes_on.set()
    assert await events.published()
    assert seen == [f"m{seq}" for seq in range(11)]
    assert events.health()["published"] == 11


async def test_a_handler_that_fails_hangs_or_cancels_stops_no_other_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_HANDLER", 0.05)
    bus, seen = EventBus(), []

    async def handler(event: Event) -> None:
        name = event.model_dump()["message_id"]
        if name == "m0":
            raise ValueError("no")
        if name == "m1":
            await asyncio.Event().wait()
        if name == "m2":
            raise asyncio.CancelledError
        seen.append(name)

    bus.subscribe(EventType.MESSAGE_PROCESSED, handler)
    events = Events(bus)
    events.messages_stored([row(seq) for seq in range(4)], frozenset())
    assert await events.published()
    assert seen == ["m3"]
    # bruno-core's bus keeps the failure of a handler to itself, and counts it.
    assert bus.get_statistics()["errors"] == 1
    health = events.health()
    assert (health["published"], health["failed"]) == (2, 2)
    assert "cancelled itself" in str(health["problem"])


async def test_a_bus_of_another_kind_that_raises_is_a_problem_in_health() -> None:
    class Broken:
        async def publish(self, event: Event) -> None:
            raise OSError("the bus is full")

    events = Events(Broken())  # type: ignore[arg-type]
    events.session_started(SessionContext(user_id="ana"))
    assert await events.published()
    assert events.health()["problem"] == "the bus is full"


async def test_closing_waits_for_what_is_told_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = EventBus()
    heard, events = heard_by(bus), Events(bus)
    events.messages_stored([row(0)], frozenset())
    await events.close()
    assert len(heard) == 1

    async def hangs(event: Event) -> None:
        await asyncio.Event().wait()

    bus.subscribe(EventType.MESSAGE_PROCESSED, hangs, priority=1)
    events.messages_stored([row(seq) for seq in range(3)], frozenset())
    monkeypatch.setattr(events, "published", lambda: Events.published(events, 0.05))
    await events.close()
    assert events.health()["dropped"] == 3
    assert len(heard) == 1


def test_it_goes_on_in_the_next_event_loop() -> None:
    bus = EventBus()
    heard, events = heard_by(bus), Events(bus)

    async def tell() -> None:
        events.messages_stored([row(0)], frozenset())

    asyncio.run(tell())  # ends amid it
    health = events.health()
    assert health["published"] + health["dropped"] + health["waiting"] == 1

    async def tell_again() -> None:
        events.messages_stored([row(1)], frozenset())
        assert await events.published()

    asyncio.run(tell_again())
    assert [event.model_dump()["message_id"] for event in heard][-1:] == ["m1"]


def test_what_is_no_bus_is_refused() -> None:
    for wrong in (object(), "bus", lambda event: None):
        with pytest.raises(InvalidInputError, match=r"events: .* has no coroutine 'publish'"):
            Events(wrong)  # type: ignore[arg-type]
    assert not Events()
