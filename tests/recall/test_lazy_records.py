"""The model of a hit is made when it is asked for."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import Hit, VectorMemory
from bruno_memory_vec.recall import hits
from bruno_memory_vec.recall.hits import make_hit, may_have
from bruno_memory_vec.rows.models import memory_row, message_row

MESSAGE = Message(role=MessageRole.USER, content="I moved to Porto", metadata={"a": 1})
ENTRY = MemoryEntry(content="lives in Porto", memory_type=MemoryType.FACT, user_id="ana")


def of_message() -> Hit:
    row = message_row(MESSAGE, "ana", "talk")
    return make_hit({**row, "turn": 0, "seq": 1}, 0.5, {"lexical": 0.5})


def of_memory() -> Hit:
    return make_hit({**memory_row(ENTRY), "seq": 2}, 0.5, {"lexical": 0.5})


BOTH = pytest.mark.parametrize(
    ("make", "stored"), [(of_message, MESSAGE), (of_memory, ENTRY)], ids=["message", "memory"]
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that were made of rows."""
    models: list[Any] = []
    make = hits.record

    def record(row: Any) -> Any:
        models.append(make(row))
        return models[-1]

    monkeypatch.setattr(hits, "record", record)
    return models


@BOTH
def test_nothing_but_the_record_makes_it(
    make: Callable[[], Hit], stored: Message | MemoryEntry, made: list[Any]
) -> None:
    hit = make()
    shown = hit.kind, hit.speaker, hit.excerpt, repr(hit), str(hit), hit.to_dict(), hash(hit)
    assert made == []
    assert hit.record == stored
    assert hit.record is hit.record
    assert len(made) == 1
    assert shown == (
        hit.kind,
        hit.speaker,
        hit.excerpt,
        repr(hit),
        str(hit),
        hit.to_dict(),
        hash(hit),
    )


@BOTH
@pytest.mark.parametrize(
    "copied",
    [
        lambda hit: pickle.loads(pickle.dumps(hit)),
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
    ],
    ids=["pickle", "copy", "deepcopy", "replace"],
)
def test_a_copy_has_the_model(
    make: Callable[[], Hit], stored: Message | MemoryEntry, copied: Callable[[Hit], Hit]
) -> None:
    hit = make()
    other = copied(hit)
    assert other == hit
    assert other.record == stored
    assert dataclasses.asdict(other)["record"] == stored


@BOTH
def test_hits_with_other_records_are_not_equal(
    make: Callable[[], Hit], stored: Message | MemoryEntry
) -> None:
    other = dataclasses.replace(make(), record=stored.model_copy(update={"content": "else"}))
    assert make() == make()
    assert other != make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.record = stored  # type: ignore[misc]


def test_what_its_metadata_may_have_is_told_without_it(made: list[Any]) -> None:
    hit = of_message()
    assert (may_have(hit, "a"), may_have(hit, "tool_calls")) == (True, False)
    assert made == []
    assert hit.record.content == MESSAGE.content
    assert (may_have(hit, "a"), may_have(hit, "tool_calls")) == (True, False)


async def test_a_recall_makes_no_model(made: list[Any]) -> None:
    async with VectorMemory("memory://") as memory:
        await memory.store_message(MESSAGE, "talk", user_id="ana")
        await memory.store_memory(ENTRY)
        found = await memory.recall("Porto", user_id="ana")
        assert [hit.kind for hit in found] in (["message", "memory"], ["memory", "message"])
        assert made == []
        assert {hit.record.id for hit in found} == {MESSAGE.id, ENTRY.id}


async def test_a_context_makes_no_model_of_a_hit(made: list[Any]) -> None:
    async with VectorMemory("memory://") as memory:
        await memory.store_message(MESSAGE, "talk", user_id="ana")
        calling = MESSAGE.model_copy(
            update={"id": uuid4(), "metadata": {"tool_calls": [{"name": "map"}]}}
        )
        built = await memory.build_context("Where is Porto?", user_id="ana")
        assert MESSAGE.content in built.messages[0].content
        assert made == []
        await memory.store_message(calling, "talk", user_id="ana")
        await memory.build_context("Where is Porto?", user_id="ana")
        assert [model.id for model in made] == [calling.id]


async def test_what_was_deleted_meanwhile_can_still_be_read() -> None:
    async with VectorMemory("memory://") as memory:
        await memory.store_message(MESSAGE, "talk", user_id="ana")
        found = await memory.recall("Porto", user_id="ana")
        await memory.delete_messages([MESSAGE.id])
        assert found[0].record == MESSAGE


async def test_many_records_are_made_in_a_thread(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[Any] = []
    to_thread = asyncio.to_thread

    async def noted(work: Any, *args: Any) -> Any:
        threads.append(work)
        return await to_thread(work, *args)

    monkeypatch.setattr(asyncio, "to_thread", noted)
    few = await hits.records([of_message() for _ in range(3)])
    assert (len(few), len(made), threads) == (3, 3, [])
    many = await hits.records([of_message() for _ in range(200)])
    assert many == [MESSAGE] * 200
    assert len(threads) == 1
