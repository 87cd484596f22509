"""A mark reads its rows once; a deletion what goes along only of users who may have such rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.writing.dependants.users import UsersWithDependants
from tests.knowledge.extraction.support import message

COUNTED = ("read", "count", "delete", "upsert")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often LanceDB was asked, by the name of the method."""
    counts: Counter[str] = Counter()

    def counting(name: str) -> Any:
        inner = getattr(LanceIndex, name)

        async def call(self: LanceIndex, *given: Any, **named: Any) -> Any:
            counts[name] += 1
            return await inner(self, *given, **named)

        return call

    for name in COUNTED:
        monkeypatch.setattr(LanceIndex, name, counting(name))
    return counts


def note(user: str, text: str, *, lasting: bool = True) -> MemoryEntry:
    kind = MemoryType.LONG_TERM if lasting else MemoryType.SHORT_TERM
    return MemoryEntry(user_id=user, content=text, memory_type=kind)


async def learned(memory: VectorMemory) -> None:
    """Wait until the stored rows are known."""
    writer = await memory._lazy.writer()
    await writer._learn_dependants()
    for task in writer._background.under_way:
        await task


async def flushed(memory: VectorMemory) -> None:
    await (await memory._lazy.writer())._flush_rows()


async def test_who_has_nothing_that_goes_along_is_not_looked_for(
    tmp_path: Path, asked: Counter[str]
) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        kept, gone = note("ana", "the pool opens at nine"), note("ana", "the key is blue")
        said = message("where is the pool", 0)
        await memory.store_memories([kept, gone])
        await memory.store_message(said, "talk", user_id="ana")
        await flushed(memory)
        asked.clear()
        await memory.delete_memory(str(gone.id))
        assert asked == {"read": 1, "delete": 1}
        asked.clear()
        assert await memory.delete_messages(str(said.id), "talk") == 1
        assert asked == {"read": 1, "delete": 1}
        assert [one.content for one in await memory.list_memories("ana")] == [kept.content]


async def test_the_facts_of_a_message_go_with_it_after_another_opening(
    tmp_path: Path, asked: Counter[str]
) -> None:
    said, other = message("I live in Lisbon", 0), note("bo", "the key is blue")
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_message(said, "talk", user_id="ana")
        await memory.facts.extract("talk")
        await memory.store_memory(other)
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        asked.clear()
        await memory.delete_memory(str(other.id))
        assert asked["read"] == 1
        await memory.forget(said.id)
        assert await memory.facts.list("ana") == []
        assert await memory.list_memories("ana") == []


async def test_who_stores_the_first_row_that_goes_along_is_known_at_once(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        said = message("I live in Lisbon", 0)
        await memory.store_message(said, "talk", user_id="ana")
        await memory.facts.extract("talk")
        await memory.delete_messages(str(said.id))
        assert await memory.facts.list("ana") == []


async def test_a_text_that_is_replaced_is_not_read_again(
    tmp_path: Path, asked: Counter[str]
) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        said = message("where is the pool", 0)
        await memory.store_message(said, "talk", user_id="ana")
        await flushed(memory)
        asked.clear()
        await memory.store_message(
            said.model_copy(update={"content": "where is the key"}), "talk", user_id="ana"
        )
        assert asked == {"read": 1, "upsert": 1}
        hits = await memory.recall("where is the pool", user_id="ana")
        assert [hit.content for hit in hits] == ["where is the key"]


async def test_recalls_of_a_held_user_read_nothing_after_a_change(
    tmp_path: Path, asked: Counter[str]
) -> None:
    """Also where the caller is nobody's view, so that the deletion's scope is everyone."""
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        notes = [note("ana", f"the key number {number} is blue") for number in range(600)]
        others = [note("bo", f"the door number {number} is red") for number in range(600)]
        await memory.store_memories([*notes, *others])
        for user in ("ana", "bo"):
            await memory.recall("key", user_id=user)
        await memory.delete_memory(str(notes[0].id))
        await memory.delete_memory(str(notes[1].id))
        await memory.pin(str(notes[2].id))
        await flushed(memory)
        asked.clear()
        hits = await memory.recall("the key number is blue", user_id="ana", k=600)
        assert len({hit.id for hit in hits} | {str(notes[0].id), str(notes[1].id)}) > len(hits) + 1
        assert await memory.recall("the door number is red", user_id="bo", k=5)
        assert not asked
        (pinned,) = [hit for hit in hits if hit.id == str(notes[2].id)]
        assert pinned.content == notes[2].content


async def test_until_the_rows_are_known_everyone_may_have_some() -> None:
    users = UsersWithDependants()
    schema = row_schema(2)
    found = schema.empty_table().select(["user_id"])
    some = found.from_pylist([{"user_id": "ana"}, {"user_id": "bo"}], schema=found.schema)
    for narrowed in (users.summaries, users.facts, users.sources):
        assert narrowed(some).num_rows == 2


async def test_a_mark_reads_its_rows_once(tmp_path: Path, asked: Counter[str]) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await learned(memory)
        one = note("ana", "the pool opens at nine")
        await memory.store_memory(one)
        await flushed(memory)
        marks = (
            memory.set_importance(one.id, 0.9),
            memory.pin(one.id),
            memory.unpin(one.id),
            memory.forget(one.id, archive=True),
        )
        for mark in marks:
            asked.clear()
            await mark
            assert asked == {"read": 1, "upsert": 1}


async def test_no_row_is_marked_if_one_is_missing(tmp_path: Path, asked: Counter[str]) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        one, others = note("ana", "the pool opens at nine"), note("ben", "the key is blue")
        await memory.store_memories([one, others])
        await flushed(memory)
        before = await memory.list_memories("ana")
        asked.clear()
        for named, user in (([one.id, uuid4()], None), ([one.id, others.id], "ana")):
            with pytest.raises(NotFoundError):
                await memory.set_importance(named, 0.9, user_id=user)
            with pytest.raises(NotFoundError):
                await memory.pin(named, user_id=user)
            for archive in (False, True):
                with pytest.raises(NotFoundError):
                    await memory.forget(named, user_id=user, archive=archive)
        assert not asked.keys() & {"upsert", "delete"}
        assert await memory.list_memories("ana") == before
        assert await memory.list_pinned("ana") == []
