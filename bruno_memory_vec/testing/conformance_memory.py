# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""What bruno-core expects of a memory, as tests that any memory's own test suite can inherit.

::

    from bruno_memory_vec.testing import MemoryConformance

    class TestMyMemory(MemoryConformance):
        async def open_memory(self, **settings):
            return MyMemory(self.folder, **settings)

It covers the 12 methods of ``MemoryInterface`` and the four of bruno-core's older
guide. The only setting the tests give is ``max_messages``. Where a memory deviates,
override the test and say why; nothing is skipped.
"""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.context import ConversationContext, SessionContext
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole, MessageType
from bruno_core.utils import exceptions as bruno

from bruno_memory_vec.testing.conformance_entries import EntryConformance
from bruno_memory_vec.testing.conformance_marks import MarksConformance
from bruno_memory_vec.testing.memory_suite import noted, said

METHODS = (
    "store_message retrieve_messages search_messages store_memory retrieve_memories delete_memory "
    "create_session get_session end_session get_context clear_history get_statistics"
).split()
GUIDE = (
    "store_message retrieve_context search_memories clear_conversation initialize shutdown".split()
)


class MemoryConformance(EntryConformance, MarksConformance):
    """Tests of a memory. A subclass says how to open one."""

    # The shape

    async def test_it_is_a_memory(self, memory: Any) -> None:
        assert isinstance(memory, MemoryInterface)
        for name in {*METHODS, *GUIDE}:
            assert inspect.iscoroutinefunction(getattr(memory, name)), name

    # Messages

    async def test_messages_come_back_newest_first(self, memory: Any) -> None:
        messages = await self.talk(memory, 5)
        assert await memory.retrieve_messages("talk") == messages[::-1]
        assert await memory.retrieve_messages("talk", limit=None) == messages[::-1]
        assert await memory.retrieve_messages("talk", 2) == messages[:2:-1]
        assert await memory.retrieve_messages("talk", limit=100) == messages[::-1]

    async def test_the_order_is_that_of_storing(self, memory: Any) -> None:
        late = said("said later, stored first", timestamp=datetime(2030, 1, 1))
        early = said("said earlier, stored last", timestamp=datetime(2020, 1, 1))
        await memory.store_message(late, "talk")
        await memory.store_message(early, "talk")
        assert await memory.retrieve_messages("talk") == [early, late]

    async def test_an_unknown_conversation_is_empty(self, memory: Any) -> None:
        assert await memory.retrieve_messages("never heard of") == []

    @pytest.mark.parametrize("limit", [0, -1, True, "5", 2.0])
    async def test_a_wrong_limit_is_refused(self, memory: Any, limit: Any) -> None:
        with pytest.raises(bruno.BrunoError, match="limit"):
            await memory.retrieve_messages("talk", limit)
        with pytest.raises(bruno.BrunoError, match="limit"):
            await memory.search_messages("talk", "ana", limit)

    async def test_every_field_of_a_message_comes_back(self, memory: Any) -> None:
        message = Message(
            id=UUID(int=7),
            role=MessageRole.TOOL,
            content="Ünïcödé 日本語 👩‍👩‍👧‍👦 \x00 'quoted'",
            message_type=MessageType.ACTION,
            timestamp=datetime(2024, 2, 29, 23, 59, 59, 999999, timezone(timedelta(hours=5.5))),
            metadata={
                "nested": [1, {"deep": [None, True, 1.5]}],
                "when": datetime(2024, 1, 1),
                "who": uuid4(),
                "$": {"v": "not a tag"},
            },
            parent_id=uuid4(),
            conversation_id="talk",
        )
        await memory.store_message(message, "talk", user_id="ana")
        (found,) = await memory.retrieve_messages("talk")
        assert found == message
        assert found.timestamp.utcoffset() == timedelta(hours=5.5)
        assert (await memory.get_context("ana", "talk")).messages == [message]

    async def test_storing_the_same_message_again_changes_nothing(self, memory: Any) -> None:
        messages = await self.talk(memory, 3)
        await memory.store_message(messages[0], "talk")
        assert await memory.retrieve_messages("talk") == messages[::-1]
        assert (await memory.get_context("ana", "talk")).messages == messages
        assert (await memory.get_statistics("ana"))["total_messages"] == 3

    async def test_storing_the_same_id_again_replaces_in_place(self, memory: Any) -> None:
        first, second = await self.talk(memory, 2)
        changed = first.model_copy(update={"content": "the aardvark, corrected"})
        await memory.store_message(changed, "talk")
        assert await memory.retrieve_messages("talk") == [second, changed]
        assert (await memory.get_context("ana", "talk")).messages == [changed, second]
        assert await memory.search_messages("aardvark", "ana", 1) == [changed]

    async def test_the_conversation_given_wins(self, memory: Any) -> None:
        message = said("hello", conversation_id="another")
        await memory.store_message(message, "talk")
        assert [m.id for m in await memory.retrieve_messages("talk")] == [message.id]
        assert await memory.retrieve_messages("another") == []

    async def test_what_is_not_a_message_is_refused(self, memory: Any) -> None:
        for wrong in (None, "hello", {"role": "user", "content": "hello"}, noted("hello")):
            with pytest.raises(bruno.BrunoError):
                await memory.store_message(wrong, "talk")
        assert await memory.retrieve_messages("talk") == []

    async def test_messages_are_found_by_their_words(self, memory: Any) -> None:
        await self.talk(memory, 3)
        wanted = said("The zebra crossed the street")
        await memory.store_message(wanted, "talk")
        await memory.store_memory(noted("Ana saw a zebra"))
        assert await memory.search_messages("zebra", user_id="ana", limit=1) == [wanted]
        assert (await memory.search_messages("zebra", limit=1)) == [wanted]
        found = await memory.search_messages("zebra", "ana")
        assert all(isinstance(message, Message) for message in found)
        assert await memory.search_messages("zebra", "bo") == []

    # Who owns what

    async def test_the_context_binds_a_conversation(self, memory: Any) -> None:
        await memory.get_context("ana", "talk")
        message = said("bound")
        await memory.store_message(message, "talk")
        assert (await memory.get_statistics("ana"))["total_messages"] == 1
        with pytest.raises(bruno.BrunoError, match="talk"):
            await memory.store_message(said("mine!"), "talk", user_id="bo")
        with pytest.raises(bruno.BrunoError, match="talk"):
            await memory.get_context("bo", "talk")
        assert await memory.retrieve_messages("talk") == [message]

    async def test_asking_for_a_context_binds_nothing(self, memory: Any) -> None:
        await memory.get_context("ana", "talk")
        assert await memory.conversation_owner("talk") is None
        message = said("of bo")
        await memory.store_message(message, "talk", user_id="bo")
        assert (await memory.get_context("bo", "talk")).messages == [message]
        with pytest.raises(bruno.BrunoError, match="talk"):
            await memory.store_message(said("of ana"), "talk", user_id="ana")

    async def test_a_session_binds_its_conversation(self, memory: Any) -> None:
        session = await memory.create_session("ana")
        await memory.store_message(said("bound"), session.conversation_id)
        assert (await memory.get_statistics("ana"))["total_messages"] == 1

    async def test_metadata_names_an_owner(self, memory: Any) -> None:
        await memory.store_message(said("hi", metadata={"user_id": "ana"}), "talk")
        await memory.store_message(said("hi again"), "talk")
        assert (await memory.get_statistics("ana"))["total_messages"] == 2

    async def test_without_any_owner_it_is_the_default_user(self, memory: Any) -> None:
        await memory.store_message(said("hi"), "talk")
        assert (await memory.get_statistics("default"))["total_messages"] == 1

    # Contexts

    async def test_a_context_is_oldest_first(self, memory: Any) -> None:
        messages = await self.talk(memory, 4)
        context = await memory.get_context("ana", "talk")
        assert isinstance(context, ConversationContext)
        assert context.messages == messages
        assert (context.conversation_id, context.user.user_id) == ("talk", "ana")
        assert (context.session.user_id, context.session.conversation_id) == ("ana", "talk")

    async def test_an_unknown_id_begins_a_conversation(self, memory: Any) -> None:
        context = await memory.get_context("ana", "new one")
        assert (context.conversation_id, context.messages) == ("new one", [])

    async def test_without_an_id_the_conversation_goes_on(self, memory: Any) -> None:
        first = await memory.get_context("ana")
        await memory.store_message(said("hello"), first.conversation_id)
        again = await memory.get_context("ana")
        assert again.conversation_id == first.conversation_id
        assert [m.content for m in again.messages] == ["hello"]
        assert (await memory.get_context("bo")).conversation_id != first.conversation_id

    async def test_a_session_id_leads_to_its_conversation(self, memory: Any) -> None:
        session = await memory.create_session("ana", {"place": "kitchen"})
        await memory.store_message(said("hello"), session.conversation_id)
        context = await memory.get_context("ana", session.session_id)
        assert context.conversation_id == session.conversation_id
        # The message has moved its last activity.
        assert context.session.last_activity >= session.last_activity
        moved = {"last_activity": context.session.last_activity}
        assert context.session == session.model_copy(update=moved)
        assert [m.content for m in context.messages] == ["hello"]

    async def test_a_context_holds_the_newest(self) -> None:
        memory = await self.open_memory(max_messages=4)
        messages = await self.talk(memory, 9)
        context = await memory.get_context("ana", "talk")
        assert (context.messages, context.max_messages) == (messages[-4:], 4)
        await self.close_memory(memory)

    async def test_system_messages_leave_room_for_the_question(self) -> None:
        memory = await self.open_memory(max_messages=4)
        for i in range(6):
            await memory.store_message(said(f"rule {i}", MessageRole.SYSTEM), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        question = said("what are the rules?")
        context.add_message(question)
        assert question in context.messages
        await self.close_memory(memory)

    async def test_a_context_after_clearing_goes_on(self) -> None:
        memory = await self.open_memory(max_messages=4)
        rule = said("be kind", MessageRole.SYSTEM)
        await memory.store_message(rule, "talk", user_id="ana")
        await self.talk(memory, 8)
        await memory.clear_history("talk")
        assert (await memory.get_context("ana", "talk")).messages == [rule]
        (after,) = await self.talk(memory, 1)
        assert await memory.retrieve_messages("talk") == [after, rule]
        assert (await memory.get_context("ana", "talk")).messages == [rule, after]
        await self.close_memory(memory)

    # Sessions

    async def test_a_session_lives_and_ends(self, memory: Any) -> None:
        session = await memory.create_session("ana", {"device": "phone", "n": [1, 2]})
        assert isinstance(session, SessionContext)
        assert session.is_active
        assert (session.user_id, session.metadata) == ("ana", {"device": "phone", "n": [1, 2]})
        assert await memory.get_session(session.session_id) == session
        await memory.end_session(session.session_id)
        ended = await memory.get_session(session.session_id)
        assert not ended.is_active
        assert ended.ended_at is not None
        assert ended.started_at == session.started_at

    async def test_sessions_are_apart(self, memory: Any) -> None:
        one, two = await memory.create_session("ana"), await memory.create_session("ana")
        assert one.session_id != two.session_id
        assert one.conversation_id != two.conversation_id
        await memory.end_session(one.session_id)
        assert (await memory.get_session(two.session_id)).is_active

    async def test_an_unknown_session(self, memory: Any) -> None:
        assert await memory.get_session("no such session") is None
        with pytest.raises(bruno.MemoryError):
            await memory.end_session("no such session")

    # Clearing and counting

    @pytest.mark.parametrize("keep", [True, False])
    async def test_clearing_a_history(self, memory: Any, keep: bool) -> None:
        rule = said("be kind", MessageRole.SYSTEM)
        await memory.store_message(rule, "talk", user_id="ana")
        await self.talk(memory, 3)
        other = await self.talk(memory, 2, "other")
        await memory.store_memory(noted("kept"))
        await memory.clear_history("talk", keep_system_messages=keep)
        left = [rule] if keep else []
        assert await memory.retrieve_messages("talk") == left
        assert (await memory.get_context("ana", "talk")).messages == left
        assert (await memory.get_context("ana", "other")).messages == other
        found = await memory.search_messages("message number", "ana", 100)
        assert {m.id for m in found} == {m.id for m in (*left, *other)}
        assert (await memory.get_statistics("ana"))["memories"] == 1

    async def test_clearing_keeps_system_messages_by_default(self, memory: Any) -> None:
        rule = said("be kind", MessageRole.SYSTEM)
        await memory.store_message(rule, "talk")
        await memory.clear_history("talk")
        assert await memory.retrieve_messages("talk") == [rule]
        await memory.clear_history("never heard of")

    async def test_statistics_count_a_users_own(self, memory: Any) -> None:
        await self.talk(memory, 3)
        await self.talk(memory, 2, "other")
        await memory.store_memory(noted("one"))
        await memory.store_message(said("of bo"), "bo's", user_id="bo")
        statistics = await memory.get_statistics("ana")
        counts = {
            name: statistics[name] for name in ("total_messages", "conversations", "memories")
        }
        assert counts == {"total_messages": 5, "conversations": 2, "memories": 1}
        nobody = await memory.get_statistics("nobody")
        assert (nobody["total_messages"], nobody["conversations"], nobody["memories"]) == (0, 0, 0)

    # The older guide

    async def test_the_guide_stores_by_keyword(self, memory: Any) -> None:
        message = said("by keyword")
        await memory.store_message(message, user_id="ana", conversation_id="talk")
        await memory.store_message(message=message, user_id="ana", conversation_id="talk")
        assert await memory.retrieve_messages("talk") == [message]
        assert (await memory.get_statistics("ana"))["total_messages"] == 1

    async def test_user_and_conversation_are_not_mistaken_for_each_other(self, memory: Any) -> None:
        """The guide's order of arguments is another one, so the user has to be named."""
        with pytest.raises(TypeError):
            await memory.store_message(said("by position"), "ana", "talk")
        with pytest.raises(TypeError):
            await memory.store_messages([said("by position")], "ana", "talk")
        for name in ("ana", "talk"):
            assert await memory.retrieve_messages(name) == []

    async def test_the_guide_begins_and_ends(self) -> None:
        memory = await self.open_memory()
        await memory.initialize()
        await memory.initialize()
        await memory.store_message(said("kept"), "talk")
        await memory.shutdown()
        await memory.shutdown()
        with pytest.raises(bruno.BrunoError, match="closed"):
            await memory.retrieve_messages("talk")
        await self.close_memory(memory)

    async def test_the_end_of_a_view_is_not_that_of_the_memory(self, memory: Any) -> None:
        async with memory.for_user("ana") as view:
            await view.store_message(said("kept"), "talk")
        await view.close()
        await view.shutdown()
        assert len(await memory.retrieve_messages("talk")) == 1
        assert len(await view.retrieve_messages("talk")) == 1

    async def test_the_guide_retrieves_a_context_oldest_first(self, memory: Any) -> None:
        messages = [
            said(f"the zebra, part {i}", timestamp=datetime(2024, 1, 1 + i)) for i in range(3)
        ]
        for message in messages:
            await memory.store_message(message, "talk", user_id="ana")
        await memory.store_memory(noted("a zebra, remembered"))
        found = await memory.retrieve_context(user_id="ana", query="zebra", limit=5)
        assert found == messages
        assert await memory.retrieve_context("ana", "zebra", 5, conversation_id="talk") == messages
        assert await memory.retrieve_context("ana", "zebra", 5, conversation_id="other") == []
        assert len(await memory.retrieve_context("ana", "zebra", 2)) == 2

    async def test_the_guide_retrieves_the_latest(self, memory: Any) -> None:
        """Where nothing is asked: the newest by time, and by turn in one conversation."""
        days = {"one": (1, 5, 3), "two": (4, 2)}
        told: dict[tuple[str, int], Message] = {}
        for talk, numbers in days.items():
            for day in numbers:
                told[talk, day] = said(f"day {day}", timestamp=datetime(2024, 1, day))
                await memory.store_message(told[talk, day], talk, user_id="ana")
        await memory.store_message(said("of bo"), "three", user_id="bo")
        await memory.store_memory(noted("no message"))
        by_time = [told[place] for place in sorted(told, key=lambda place: place[1])]
        for blank in ("", " \n"):
            assert await memory.retrieve_context("ana", blank) == by_time
            assert await memory.retrieve_context("ana", blank, 2) == by_time[-2:]
            last = await memory.retrieve_context("ana", blank, 2, "one")
            assert last == [told["one", 5], told["one", 3]]
            assert await memory.retrieve_context("ana", blank, 2, "never heard of") == []
            assert await memory.retrieve_context("nobody", blank) == []
        with pytest.raises(bruno.BrunoError, match="limit"):
            await memory.retrieve_context("ana", "", 0)
        with pytest.raises(bruno.BrunoError, match="three"):
            await memory.retrieve_context("ana", "", 2, "three")

    async def test_the_guide_searches_memories(self, memory: Any) -> None:
        entry = noted("a zebra, remembered")
        message = said(
            "a zebra, said", timestamp=datetime(2024, 1, 2), metadata={"importance": 0.9, "n": [1]}
        )
        await memory.store_memory(entry)
        await memory.store_message(message, "talk", user_id="ana")
        await memory.store_message(said("a zebra of bo's"), "other", user_id="bo")
        found = {e.id: e for e in await memory.search_memories("ana", "zebra")}
        assert all(isinstance(e, MemoryEntry) for e in found.values())
        assert found.keys() == {entry.id, message.id}
        assert found[entry.id] == entry
        heard = found[message.id]
        assert (heard.content, heard.user_id, heard.conversation_id) == (
            message.content, "ana", "talk",
        )  # fmt: skip
        assert (heard.memory_type, heard.created_at) == (MemoryType.EPISODIC, message.timestamp)
        assert heard.metadata.importance == 0.9
        assert heard.metadata.custom_fields == {**message.metadata, "role": "user"}
        assert len(await memory.search_memories("ana", "zebra", 1)) == 1

    async def test_the_guide_gives_the_newest_memories(self, memory: Any) -> None:
        gone = noted("gone", expires_at=datetime(2024, 2, 1), created_at=datetime(2024, 1, 9))
        await memory.store_memories(
            [noted(f"day {day}", created_at=datetime(2024, 1, day)) for day in (1, 3)] + [gone]
        )
        await memory.store_message(
            said("day 2", timestamp=datetime(2024, 1, 2)), "talk", user_id="ana"
        )
        found = [e.content for e in await memory.search_memories("ana", " ")]
        assert found == ["day 3", "day 2", "day 1"]
        assert [e.content for e in await memory.search_memories("ana", "", 1)] == found[:1]
        assert await memory.search_memories("bo", "") == []

    async def test_the_guide_clears_a_conversation(self, memory: Any) -> None:
        await memory.store_message(said("rule", MessageRole.SYSTEM), "talk", user_id="ana")
        await self.talk(memory, 2)
        with pytest.raises(bruno.BrunoError):
            await memory.clear_conversation("bo", "talk")
        assert len(await memory.retrieve_messages("talk")) == 3
        await memory.clear_conversation("ana", "talk")
        assert await memory.retrieve_messages("talk") == []

    # Life

    async def test_everything_is_there_after_reopening(self) -> None:
        memory = await self.open_memory()
        messages = await self.talk(memory, 3)
        entry = noted("kept")
        await memory.store_memory(entry)
        session = await memory.create_session("ana", {"a": 1})
        await self.close_memory(memory)
        memory = await self.open_memory()
        kept = self.persistent
        assert await memory.retrieve_messages("talk") == (messages[::-1] if kept else [])
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == (
            [entry] if kept else []
        )
        assert await memory.get_session(session.session_id) == (session if kept else None)
        assert (await memory.get_context("ana", "talk")).messages == (messages if kept else [])
        (after,) = await self.talk(memory, 1)
        assert (await memory.retrieve_messages("talk", 1)) == [after]
        await self.close_memory(memory)
