"""Typed views over the one table: what each adds, shows, and leaves to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotFoundError
from bruno_memory_vec.knowledge.kinds.procedural import Procedure
from bruno_memory_vec.knowledge.kinds.view import TypedView


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


def views(memory: VectorMemory) -> dict[str, Any]:
    return {
        view.name: view
        for view in (memory.conversational, memory.semantic, memory.episodic, memory.procedural)
    }


async def one_of_each(memory: VectorMemory, user: str = "ana") -> dict[str, MemoryEntry]:
    return {
        "conversational": await memory.conversational.add("Ana waits for a parcel", user_id=user),
        "semantic": await memory.semantic.add("Ana has a parcel locker", user_id=user),
        "episodic": await memory.episodic.add("The parcel came late", user_id=user),
        "procedural": (
            await memory.procedural.add("collect a parcel", ["show the code"], user_id=user)
        ).entry,
    }


async def test_each_shows_its_own_and_all_are_plain_memories(memory: VectorMemory) -> None:
    stored = await one_of_each(memory)
    for name, view in views(memory).items():
        assert [one.id for one in await view.list(user_id="ana")] == [stored[name].id]
        hits = await view.recall("parcel", user_id="ana")
        assert [hit.record.id for hit in hits] == [stored[name].id]
        for other, entry in stored.items():
            found = await view.get(entry.id, user_id="ana")
            assert (found is not None) == (other == name)
    everything = {str(entry.id) for entry in stored.values()}
    assert {hit.id for hit in await memory.recall("parcel", user_id="ana")} == everything
    query = MemoryQuery(user_id="ana", query_text="parcel")
    assert {str(entry.id) for entry in await memory.retrieve_memories(query)} == everything


async def test_another_kinds_and_another_users_ids_do_not_exist(memory: VectorMemory) -> None:
    mine, theirs = await one_of_each(memory), await one_of_each(memory, "ben")
    ana = views(memory.for_user("ana"))
    for name, view in ana.items():
        others = [entry.id for kind, entry in mine.items() if kind != name]
        for id_ in (theirs[name].id, uuid4(), *others):
            assert await view.get(id_) is None
            with pytest.raises(NotFoundError, match=name):
                await view.update(id_, importance=0.1)
            with pytest.raises(NotFoundError, match=name):
                await view.delete(id_)
        with pytest.raises(ForeignUserError):
            await view.list(user_id="ben")
        with pytest.raises(ForeignUserError):
            await view.add(theirs[name])
        assert await views(memory)[name].get(theirs[name].id, user_id="ben") is not None


async def test_update_changes_what_is_named_and_keeps_the_rest(memory: VectorMemory) -> None:
    for name, view in views(memory).items():
        entry = (await one_of_each(memory, f"user of {name}"))[name]
        await memory.pin(entry.id, user_id=entry.user_id)
        before = await view.get(entry.id)
        changed = await view.update(entry.id, importance=0.9, tags=["x"], metadata={"k": 1})
        assert (changed.metadata.importance, changed.metadata.tags) == (0.9, ["x"])
        assert changed.metadata.custom_fields == {**before.metadata.custom_fields, "k": 1}
        assert changed.content == before.content
        renewed = await view.update(entry.id, content="all about zebras", metadata={"k": None})
        fields = [one.metadata.custom_fields for one in (renewed, before)]
        # The hash of a statement follows its text.
        told = [{key: held[key] for key in held if key != "statement"} for held in fields]
        assert told[0] == told[1]
        (hit,) = await view.recall("zebras", user_id=entry.user_id)
        assert (hit.id, hit.pinned, hit.origin) == (str(entry.id), True, "given")
        assert await view.get(entry.id) == renewed
        await view.delete(entry.id)
        assert await view.get(entry.id) is None


async def test_what_cannot_be_kept_is_refused(memory: VectorMemory) -> None:
    for view in views(memory).values():
        entry = (await one_of_each(memory))[view.name]
        for call in (
            view.update(entry.id, importance=2),
            view.update(entry.id, metadata={"k": object()}),
            view.update(entry.id, content=""),
            view.update("no id", importance=1),
        ):
            with pytest.raises(InvalidInputError):
                await call
        assert await view.get(entry.id) == entry
    wrong = MemoryEntry(content="x", memory_type=MemoryType.FACT, user_id="ana")
    for view in (memory.conversational, memory.episodic, memory.procedural):
        with pytest.raises(InvalidInputError, match="memory_type"):
            await view.add(wrong)
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.semantic.add("whose?")
    with pytest.raises(InvalidInputError, match="memory_type"):
        await memory.semantic.add("x", user_id="ana", memory_type=MemoryType.EPISODIC)


# Semantic


async def test_a_statement_is_strengthened_and_not_doubled(memory: VectorMemory) -> None:
    view = memory.for_user("ana").semantic
    first = await view.add("Graz is in Styria", importance=0.5, confidence=0.6, tags=["a"])
    again = await view.add("  graz is in  Styria. ", importance=0.5, confidence=0.5, tags=["b"])
    assert again.id == first.id
    assert again.content == first.content
    assert again.metadata.custom_fields["times_seen"] == 2
    assert again.metadata.confidence == pytest.approx(0.8)
    assert again.metadata.importance == pytest.approx(0.55)
    assert again.metadata.tags == ["a", "b"]
    assert len(await view.list()) == 1
    # What differs in a sign says something else.
    await view.add("Ana writes C")
    await view.add("Ana writes C++")
    await view.add("Graz is not in Styria")
    assert len(await view.list()) == 4


async def test_one_that_was_stored_by_another_call_is_strengthened(memory: VectorMemory) -> None:
    entry = MemoryEntry(content="Graz is in Styria", memory_type=MemoryType.FACT, user_id="ana")
    await memory.store_memory(entry)
    again = await memory.semantic.add("Graz is in Styria.", user_id="ana")
    assert again.id == entry.id
    assert again.memory_type is MemoryType.FACT
    assert again.metadata.custom_fields["times_seen"] == 2
    other = await memory.semantic.add("Graz is in Styria.", user_id="ben")
    assert other.id != entry.id


async def test_many_at_once_are_one(memory: VectorMemory) -> None:
    view = memory.for_user("ana").semantic
    added = await asyncio.gather(*(view.add("Graz is in Styria") for _ in range(20)))
    assert {entry.id for entry in added} == {added[0].id}
    (entry,) = await view.list()
    assert entry.metadata.custom_fields["times_seen"] == 20


async def test_an_archived_statement_that_is_said_again_counts_again(memory: VectorMemory) -> None:
    view = memory.for_user("ana").semantic
    entry = await view.add("Ana lives in Graz")
    await memory.forget(entry.id, user_id="ana", archive=True)
    assert await view.list() == []
    assert (await view.add("Ana lives in Graz")).id == entry.id
    assert [one.id for one in await view.list()] == [entry.id]


# Episodic

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


async def test_events_in_time(memory: VectorMemory) -> None:
    view = memory.for_user("ana").episodic
    days = [
        await view.add(f"day {n}", at=NOON + timedelta(days=n), place="Graz" if n % 2 else None)
        for n in (3, 0, 4, 1, 2)
    ]
    order = sorted(days, key=lambda event: event.created_at)
    assert await view.between() == order
    assert await view.between(order="newest") == order[::-1]
    assert await view.list() == order[::-1]
    assert await view.between(NOON + timedelta(days=1), NOON + timedelta(days=3)) == order[1:3]
    assert await view.before(order[2], limit=1) == [order[1]]
    assert await view.before(str(order[2].id)) == order[1::-1]
    assert await view.after(order[2].id) == order[3:]
    assert await view.after(NOON + timedelta(days=2, hours=1), limit=1) == [order[3]]
    assert await view.around(order[2], limit=3) == order[1:4]
    assert await view.around(NOON, limit=2) == order[:2]
    assert await view.between(place="Graz") == [order[1], order[3]]
    assert await view.after(order[1], place="Graz") == [order[3]]
    page = await view.between(limit=2)
    assert [*page, *await view.between(limit=10, after=page.next)] == order
    with pytest.raises(NotFoundError):
        await view.before(uuid4())


async def test_who_was_there(memory: VectorMemory) -> None:
    view = memory.for_user("ana").episodic
    dinner = await view.add("dinner", at=NOON, participants=["Ben", "Cleo"], tags=["food"])
    await view.add("a walk", at=NOON + timedelta(hours=1), participants=["Ben"])
    assert dinner.metadata.custom_fields["participants"] == ["Ben", "Cleo"]
    assert [event.content for event in await view.between(participants="Ben")] == [
        "dinner",
        "a walk",
    ]
    assert await view.between(participants=["Cleo", "Dora"]) == [dinner]
    assert await view.list(tags="food") == [dinner]


async def test_an_event_ends_after_it_begins(memory: VectorMemory) -> None:
    view = memory.for_user("ana").episodic
    event = await view.add("a trip", at=NOON, ended_at=NOON + timedelta(days=3))
    found = await view.get(event.id)
    assert found is not None
    assert found.metadata.custom_fields["ended_at"] == NOON + timedelta(days=3)
    with pytest.raises(InvalidInputError, match="ended_at"):
        await view.add("a trip", at=NOON, ended_at=NOON - timedelta(1))


async def test_a_summary_is_no_event(memory: VectorMemory) -> None:
    summary = MemoryEntry(content="parcel talk", memory_type=MemoryType.EPISODIC, user_id="ana")
    await memory.store_memory(summary, origin="summary")
    event = await memory.episodic.add("a parcel", user_id="ana")
    assert await memory.episodic.list(user_id="ana") == [event]
    hits = await memory.episodic.recall("parcel", user_id="ana")
    assert [hit.id for hit in hits] == [str(event.id)]
    assert await memory.episodic.get(summary.id, user_id="ana") is None


# Procedural


async def test_a_procedure_is_found_by_its_task(memory: VectorMemory) -> None:
    view = memory.for_user("ana").procedural
    steps = ["Hold the button for ten seconds", "Wait for the green light"]
    router = await view.add("reset the router", steps)
    await view.add("bake bread", ["Mix flour and water", "Knead", "Bake for an hour"])
    (found,) = await view.find("how do I reset the router?", k=1)
    assert (found.id, found.task, found.steps) == (router.id, "reset the router", tuple(steps))
    assert found.score > 0
    with pytest.raises(InvalidInputError, match="steps"):
        await view.add("do nothing", [])
    with pytest.raises(InvalidInputError, match="steps"):
        await view.add("do nothing", "step")


async def test_what_has_worked_comes_first(memory: VectorMemory) -> None:
    view = memory.for_user("ana").procedural
    bad = await view.add("reset the router", ["Shake it"])
    good = await view.add("reset the router", ["Pull the plug"])
    uses = [view.used(bad.id, worked=False) for _ in range(8)]
    uses += [view.used(good.id, worked=True) for _ in range(8)]
    await asyncio.gather(*uses)
    found = await view.find("reset the router", k=2)
    assert [(one.id, one.successes, one.failures) for one in found] == [
        (good.id, 8, 0),
        (bad.id, 0, 8),
    ]
    assert found[0].reliability == pytest.approx(0.9)
    changed = await view.change_steps(bad.id, ["Pull the plug", "Wait"])
    assert (changed.steps, changed.failures) == (("Pull the plug", "Wait"), 0)
    (hit,) = [one for one in await view.find("wait", k=3) if one.id == bad.id]
    assert hit.steps == ("Pull the plug", "Wait")


def test_steps_of_a_plain_text_are_its_numbered_lines() -> None:
    text = "Reset the router:\n1. Pull the plug\n2) Wait\n- Plug it in"
    entry = MemoryEntry(content=text, memory_type=MemoryType.PROCEDURAL, user_id="ana")
    procedure = Procedure.of(entry)
    assert procedure.task == "Reset the router:"
    assert procedure.steps == ("Pull the plug", "Wait", "Plug it in")
    assert procedure.reliability == 0.5


def test_every_type_of_bruno_core_has_one_view() -> None:
    shown = [kind for view in TypedView.__subclasses__() for kind in view.types]
    assert sorted(shown) == sorted(MemoryType)
