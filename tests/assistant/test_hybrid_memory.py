"""A cache in front of a persistent memory: nothing is only in the cache, nothing deleted stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.base.assistant import BaseAssistant
from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.assistant import HybridMemory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError, InvalidInputError
from tests.amounts import amount
from tests.assistant.scripted import Scripted


def said(text: str, **fields: Any) -> Message:
    return Message(**{"role": "user", "content": text, **fields})


class Breakable(VectorMemory):
    """A memory whose engine can be made to fail, before or after it has done its work."""

    #: The methods that fail now, and those that have been called.
    broken: frozenset[str] = frozenset()
    fails_late = False

    def __init__(self, url: str) -> None:
        super().__init__(url, embedder="hash")
        self.called: list[str] = []

    async def _meet(self, name: str, call: Any) -> Any:
        self.called.append(name)
        if name in self.broken and not self.fails_late:
            raise BackendUnavailable("test", name, "it is away", fix="Wait.")
        result = await call
        if name in self.broken:
            raise BackendUnavailable("test", name, "the answer was lost", fix="Wait.")
        return result


def _breakable(name: str) -> Any:
    async def call(self: Breakable, *args: Any, **named: Any) -> Any:
        work = getattr(VectorMemory, name)(self, *args, **named)
        if name in self.broken and not self.fails_late:
            work.close()
        return await self._meet(name, work)

    return call


READS, WRITES = ("retrieve_messages", "retrieve_context"), ("store_messages",)
DELETIONS = ("clear_history", "delete_messages", "clear_conversation")
for _name in (*READS, *WRITES, *DELETIONS):
    setattr(Breakable, _name, _breakable(_name))


class Both:
    """A hybrid memory of two that can be broken; in a folder, if one is named."""

    def __init__(self, folder: Path | None = None, **options: Any) -> None:
        kept = "memory://" if folder is None else str(folder / "m")
        self.cache, self.persistent = Breakable("memory://"), Breakable(kept)
        self.memory = HybridMemory(self.cache, self.persistent, **options)

    def break_(self, part: Breakable, *names: str, late: bool = False) -> None:
        part.broken, part.fails_late = frozenset(names), late

    async def read(self, conversation: str = "talk") -> tuple[list[str], bool]:
        """The texts, oldest first, and whether the cache alone has answered."""
        self.persistent.called.clear()
        found = await self.memory.retrieve_messages(conversation)
        cached = "retrieve_messages" not in self.persistent.called
        return [message.content for message in reversed(found)], cached

    async def truth(self, conversation: str = "talk") -> list[str]:
        found = await VectorMemory.retrieve_messages(self.persistent, conversation)
        return [message.content for message in reversed(found)]

    async def in_cache(self, conversation: str = "talk") -> list[str]:
        found = await VectorMemory.retrieve_messages(self.cache, conversation)
        return [message.content for message in reversed(found)]


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    made = Both()
    async with made.memory:
        yield made


async def test_it_is_written_to_both_and_read_from_the_cache(both: Both) -> None:
    assert isinstance(both.memory, MemoryInterface)
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    await both.memory.store_messages([said("two"), said("three")], "talk")
    assert await both.read() == (["one", "two", "three"], True)
    assert await both.truth() == ["one", "two", "three"]
    newest = await both.memory.retrieve_messages("talk", 2)
    assert [message.content for message in newest] == ["three", "two"]
    found = await both.memory.retrieve_context("ana", "", conversation_id="talk")
    assert [message.content for message in found] == ["one", "two", "three"]
    assert "retrieve_context" not in both.persistent.called
    with pytest.raises(ForeignUserError):
        await both.memory.retrieve_context("ben", "", conversation_id="talk")
    assert (await both.memory.health())["cache"]["conversations"] == 1


async def test_a_conversation_of_before_is_read_whole_and_then_cached(tmp_path: Path) -> None:
    first = Both(tmp_path)
    async with first.memory:
        await first.memory.store_messages([said("one"), said("two")], "talk", user_id="ana")
    second = Both(tmp_path)
    async with second.memory:
        # Of a conversation that it has not seen whole, the cache takes nothing.
        await second.memory.store_message(said("three"), "talk", user_id="ana")
        assert await second.in_cache() == []
        assert len(await second.memory.retrieve_messages("talk", 2)) == 2
        assert await second.in_cache() == []
        assert await second.read() == (["one", "two", "three"], False)
        assert await second.read() == (["one", "two", "three"], True)
        await second.memory.store_message(said("four"), "talk")
        assert await second.read() == (["one", "two", "three", "four"], True)


async def test_a_session_id_names_its_conversation_in_both(both: Both) -> None:
    session = await both.memory.create_session("ana")
    await both.memory.store_message(said("one"), session.session_id)
    await both.memory.store_message(said("two"), session.conversation_id)
    assert await both.read(session.session_id) == (["one", "two"], False)
    assert await both.read(session.conversation_id) == (["one", "two"], True)
    assert await both.in_cache(session.session_id) == []


async def test_a_cache_that_cannot_be_written_costs_nothing(both: Both) -> None:
    both.break_(both.cache, *WRITES)
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    health = await both.memory.health()
    assert health["status"] == "degraded"
    assert "it is away" in health["problems"]["cache"]
    both.break_(both.cache)
    # It lacks the first message, so it is not asked before it has been filled.
    await both.memory.store_message(said("two"), "talk")
    assert await both.read() == (["one", "two"], False)
    assert await both.read() == (["one", "two"], True)
    assert (await both.memory.health())["status"] == "ok"


async def test_a_cache_that_cannot_be_read_is_not_waited_for(both: Both) -> None:
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    both.break_(both.cache, *READS)
    assert await both.read() == (["one"], False)
    await both.memory.retrieve_context("ana", "", conversation_id="talk")
    both.break_(both.cache)
    assert (await both.read())[0] == ["one"]
    assert await both.read() == (["one"], True)


async def test_what_the_persistent_memory_refuses_is_not_in_the_cache(both: Both) -> None:
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    both.break_(both.persistent, *WRITES)
    with pytest.raises(BackendUnavailable):
        await both.memory.store_message(said("two"), "talk")
    with pytest.raises(BackendUnavailable):
        await both.memory.store_message(said("two"), "new", user_id="ana")
    assert await both.in_cache() == ["one"]
    assert await both.in_cache("new") == []
    both.break_(both.persistent)
    assert (await both.read())[0] == ["one"]
    with pytest.raises(ForeignUserError):
        await both.memory.store_message(said("mine"), "talk", user_id="ben")
    assert (await both.read())[0] == ["one"]


async def test_what_was_stored_although_the_call_failed_is_read(both: Both) -> None:
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    both.break_(both.persistent, *WRITES, late=True)
    with pytest.raises(BackendUnavailable):
        await both.memory.store_message(said("two"), "talk")
    both.break_(both.persistent)
    assert await both.read() == (["one", "two"], False)


async def test_whole_conversations_are_read_while_the_persistent_memory_is_away(
    both: Both,
) -> None:
    await both.memory.store_message(said("one"), "talk", user_id="ana")
    both.break_(both.persistent, *READS)
    assert [one.content for one in await both.memory.retrieve_messages("talk")] == ["one"]
    with pytest.raises(BackendUnavailable):
        await both.memory.retrieve_messages("elsewhere")


async def test_what_is_deleted_is_deleted_in_both(both: Both) -> None:
    rule_, one, two = said("A rule.", role="system"), said("one"), said("two")
    await both.memory.store_messages([rule_, one, two], "talk", user_id="ana")
    assert await both.memory.delete_messages(one.id) == 1
    assert await both.in_cache() == await both.truth() == ["A rule.", "two"]
    assert await both.read() == (["A rule.", "two"], True)
    await both.memory.clear_history("talk")
    assert await both.in_cache() == []
    assert (await both.read())[0] == ["A rule."]
    await both.memory.clear_conversation("ana", "talk")
    assert await both.in_cache() == await both.truth() == []
    # In one conversation only.
    for conversation in ("a", "b"):
        await both.memory.store_message(two, conversation, user_id="ana")
    assert await both.memory.delete_messages([two.id], "a") == 1
    assert await both.read("b") == (["two"], True)
    assert (await both.read("a"))[0] == []


async def test_what_the_cache_failed_to_delete_is_neither_read_nor_kept(both: Both) -> None:
    one = said("one")
    await both.memory.store_messages([one, said("two")], "talk", user_id="ana")
    await both.memory.store_message(said("else"), "other", user_id="ana")
    both.break_(both.cache, *DELETIONS)
    await both.memory.delete_messages(one.id)
    await both.memory.clear_history("other")
    assert await both.in_cache() == ["one", "two"]
    assert (await both.read())[0] == ["two"]
    assert (await both.read("other"))[0] == []
    health = await both.memory.health()
    assert health["cache"]["deletions_to_make"] == 2
    assert "2 deletions" in health["problems"]["deletions"]
    # Stored again in between: it is not what the deletion meant.
    await both.memory.store_message(said("new"), "other", user_id="ana")
    both.break_(both.cache)
    assert (await both.read())[0] == ["two"]
    assert (await both.read("other"))[0] == ["new"]
    assert "one" not in await both.in_cache()
    assert await both.in_cache("other") in ([], ["new"])
    assert (await both.memory.health())["problems"] == {}


async def test_closing_makes_the_deletions_that_are_owed(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.cache = Breakable(str(tmp_path / "cache"))
    both.memory = HybridMemory(both.cache, both.persistent)
    async with both.memory:
        await both.memory.store_message(said("one"), "talk", user_id="ana")
        both.break_(both.cache, *DELETIONS)
        await both.memory.clear_history("talk")
        assert await both.in_cache() == ["one"]
        both.break_(both.cache)
    async with VectorMemory(str(tmp_path / "cache"), embedder="hash", read_only=True) as left:
        assert await left.retrieve_messages("talk") == []


async def test_no_more_conversations_than_it_may_hold(tmp_path: Path) -> None:
    both = Both(tmp_path, conversations=2)
    async with both.memory:
        for name in ("a", "b", "c"):
            await both.memory.store_message(said(name), name, user_id="ana")
        assert await both.in_cache("a") == []
        assert await both.read("b") == (["b"], True)
        assert await both.read("a") == (["a"], False)
        assert await both.in_cache("c") == [], "b was used after it"
        await both.memory.drop_cache()
        assert await both.in_cache("a") == await both.in_cache("b") == []
        assert await both.read("b") == (["b"], False)


async def test_recall_memories_and_contexts_are_the_persistent_memorys(both: Both) -> None:
    llm = Scripted()
    assistant = BaseAssistant(llm=llm, memory=both.memory)
    await assistant.initialize()
    await both.memory.store_message(said("The boiler cost 386 euros."), "old", user_id="ana")
    await both.memory.drop_cache()
    await assistant.process_message(
        said("What did the boiler cost?"), user_id="ana", conversation_id="now"
    )
    assert "386" in llm.text
    assert await both.read("now") == (["What did the boiler cost?", "Reply 1."], True)
    hits = await both.memory.recall("boiler", user_id="ana", k=3)
    assert any("386" in hit.content for hit in hits)
    assert len(await both.memory.search_messages("boiler", "ana")) >= 1
    assert len(await both.memory.search_memories("ana", "boiler")) >= 1
    fact = MemoryEntry(content="Ana likes tea.", memory_type=MemoryType.FACT, user_id="ana")
    await both.memory.store_memory(fact)
    query = MemoryQuery(user_id="ana", query_text="tea")
    assert await both.memory.retrieve_memories(query) == [fact]
    await both.memory.delete_memory(str(fact.id))
    assert await both.memory.retrieve_memories(query) == []
    session = await both.memory.create_session("ana")
    await both.memory.end_session(session.session_id)
    ended = await both.memory.get_session(session.session_id)
    assert ended is not None
    assert not ended.is_active
    assert (await both.memory.get_statistics("ana"))["total_messages"] == 3


async def test_writes_at_once_keep_one_order(both: Both) -> None:
    async def store(name: str, number: int) -> None:
        await both.memory.store_message(said(f"{name}{number}"), name, user_id="ana")

    await asyncio.gather(*(store(name, number) for number in range(15) for name in "abc"))
    for name in "abc":
        assert await both.in_cache(name) == await both.truth(name)
        assert len(await both.truth(name)) == 15


async def test_a_deletion_amid_a_write_is_in_both(both: Both) -> None:
    one, two = said("one"), said("two")
    await both.memory.store_messages([one, two], "talk", user_id="ana")
    for number in range(10):
        again = one.model_copy(update={"content": f"one, {number}"})
        await asyncio.gather(
            both.memory.store_message(again, "talk"), both.memory.delete_messages(one.id)
        )
        assert (await both.read())[0] == await both.truth()


async def test_what_cannot_be_composed_is_refused(tmp_path: Path) -> None:
    memory = VectorMemory("memory://")
    with pytest.raises(InvalidInputError, match="cache"):
        HybridMemory(memory, memory)
    with pytest.raises(InvalidInputError, match="persistent"):
        HybridMemory(memory, object())  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="conversations"):
        HybridMemory(memory, VectorMemory(str(tmp_path)), conversations=0)


class Histories(RuleBasedStateMachine):
    """Whatever happens and fails, what is read is what the persistent memory has."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.both = Both(conversations=2)
        self.stored: list[Message] = []

    def run(self, call: Any) -> Any:
        try:
            return self.loop.run_until_complete(call)
        except BackendUnavailable:
            return None

    @rule(
        cache=st.sets(st.sampled_from((*READS, *WRITES, *DELETIONS))),
        persistent=st.sets(st.sampled_from((*WRITES, *DELETIONS))),
        late=st.booleans(),
    )
    def breaks(self, cache: set[str], persistent: set[str], late: bool) -> None:
        self.both.break_(self.both.cache, *cache, late=late)
        self.both.break_(self.both.persistent, *persistent, late=late)

    @rule()
    def is_mended(self) -> None:
        self.both.break_(self.both.cache)
        self.both.break_(self.both.persistent)

    @rule(talk=st.sampled_from("abc"), again=st.booleans())
    def is_stored(self, talk: str, again: bool) -> None:
        message = said(f"turn {len(self.stored)}")
        if again and self.stored:
            message = self.stored[-1].model_copy(update={"content": f"{message.content}, again"})
        self.stored.append(message)
        self.run(self.both.memory.store_message(message, talk, user_id="ana"))

    @rule(talk=st.sampled_from("abc"), newest=st.integers(1, 3), everywhere=st.booleans())
    def is_deleted(self, talk: str, newest: int, everywhere: bool) -> None:
        if self.stored:
            one = self.stored[-newest:][0]
            self.run(self.both.memory.delete_messages(one.id, None if everywhere else talk))

    @rule(talk=st.sampled_from("abc"))
    def is_cleared(self, talk: str) -> None:
        self.run(self.both.memory.clear_history(talk))

    @rule(talk=st.sampled_from("abc"))
    def is_read(self, talk: str) -> None:
        assert self.run(self.both.read(talk))[0] == self.run(self.both.truth(talk))

    def teardown(self) -> None:
        self.is_mended()
        for talk in "abc":
            self.is_read(talk)
        # Once more, for what is in the cache now.
        for talk in "abc":
            self.is_read(talk)
            cached = self.run(self.both.in_cache(talk))
            assert set(cached) <= set(self.run(self.both.truth(talk)))
        self.loop.run_until_complete(self.both.memory.close())
        self.loop.close()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=amount(8, 200), stateful_step_count=20, deadline=None
)
