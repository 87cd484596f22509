# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""What a memory shows of what it holds: users, conversations, turns, messages, memories, sessions.

::

    from bruno_memory_vec.testing import ListingConformance

    class TestMyMemory(ListingConformance):
        async def open_memory(self, **settings):
            return MyMemory(self.folder, **settings)
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.memory import ALL_USERS
from bruno_memory_vec.testing.memory_suite import MemorySuite, noted, said

JUNE = datetime(2024, 6, 1)


def at(day: int, text: str, **fields: Any) -> Message:
    """A message of a day in June."""
    return said(text, timestamp=JUNE + timedelta(days=day), **fields)


class ListingConformance(MemorySuite):
    """Tests of listing, reading and deleting by id. A subclass says how to open a memory."""

    async def fill(self, memory: Any) -> dict[str, Message]:
        """Ana with two conversations and two memories, Bo with one conversation."""
        stored = {
            "rule": at(0, "Be brief.", role=MessageRole.SYSTEM),
            "asked": at(1, "How  do I prune\nroses?"),
            "answered": at(2, "In March.", role=MessageRole.ASSISTANT),
            "later": at(9, "And tulips?"),
            "bo's": at(4, "Bo was here"),
        }
        await memory.store_messages(
            [stored[n] for n in ("rule", "asked", "answered")], "roses", user_id="ana"
        )
        await memory.store_message(stored["later"], "tulips", user_id="ana")
        await memory.store_message(stored["bo's"], "of bo", user_id="bo")
        await memory.store_memories([noted("Ana has a garden"), noted("Ana likes roses")])
        return stored

    # Users

    async def test_users(self, memory: Any) -> None:
        assert await memory.list_users() == []
        await self.fill(memory)
        await memory.store_memory(noted("Cy only has a memory", user_id="cy"))
        ana, bo, cy = await memory.list_users()
        assert (ana.user_id, ana.messages, ana.memories, ana.conversations) == ("ana", 4, 2, 2)
        assert ana.first == JUNE.replace(tzinfo=timezone.utc)
        assert ana.last == (JUNE + timedelta(days=9)).replace(tzinfo=timezone.utc)
        assert (bo.user_id, bo.messages, bo.memories, bo.conversations) == ("bo", 1, 0, 1)
        assert (cy.user_id, cy.messages, cy.memories, cy.first) == ("cy", 0, 1, None)

    async def test_a_view_lists_no_users(self, memory: Any) -> None:
        with pytest.raises(ForeignUserError, match="'ana' only"):
            await memory.for_user("ana").list_users()

    # Conversations

    async def test_conversations_the_last_spoken_in_first(self, memory: Any) -> None:
        await self.fill(memory)
        tulips, roses = await memory.list_conversations("ana")
        assert (tulips.conversation_id, tulips.title, tulips.messages) == (
            "tulips",
            "And tulips?",
            1,
        )
        # What the system says is no title, and a title is one line.
        assert (roses.conversation_id, roses.title) == ("roses", "How do I prune roses?")
        assert (roses.user_id, roses.messages) == ("ana", 3)
        assert roses.first == JUNE.replace(tzinfo=timezone.utc)
        assert roses.last == (JUNE + timedelta(days=2)).replace(tzinfo=timezone.utc)
        assert await memory.for_user("ana").list_conversations() == [tulips, roses]
        every = await memory.list_conversations(ALL_USERS)
        assert [one.conversation_id for one in every] == ["tulips", "of bo", "roses"]
        assert await memory.get_conversation("roses") == roses
        assert await memory.list_conversations("nobody") == []

    async def test_conversations_page_by_page(self, memory: Any) -> None:
        names = [f"talk {number:02}" for number in range(7)]
        for number, name in enumerate(names):
            # Pairs with an equal time.
            await memory.store_message(at(number // 2, f"about {name}"), name, user_id="ana")
        whole = await memory.list_conversations("ana", limit=None)
        assert (len(whole), whole.next) == (7, None)
        pages, after = [], None
        while True:
            page = await memory.list_conversations("ana", limit=3, after=after)
            pages.append(len(page))
            assert page == whole[sum(pages[:-1]) :][: len(page)]
            after = page.next
            if after is None:
                break
        assert pages == [3, 3, 1]

    async def test_a_title_is_short(self, memory: Any) -> None:
        await memory.store_message(said("word " * 400), "long", user_id="ana")
        (long,) = await memory.list_conversations("ana")
        assert len(long.title) <= 80
        assert long.title.startswith("word word")
        assert long.title.endswith("…")

    async def test_a_conversation_with_nothing_but_a_system_message(self, memory: Any) -> None:
        await memory.store_message(
            said("Be brief.", role=MessageRole.SYSTEM), "rules", user_id="ana"
        )
        (rules,) = await memory.list_conversations("ana")
        assert (rules.title, rules.messages) == ("Be brief.", 1)

    async def test_another_users_conversation_is_not_there(self, memory: Any) -> None:
        await self.fill(memory)
        view = memory.for_user("ana")
        assert await view.get_conversation("of bo") is None
        assert await view.conversation_owner("of bo") is None
        assert await view.read_turns("of bo") == []
        with pytest.raises(ForeignUserError):
            await view.list_conversations("bo")
        with pytest.raises(ForeignUserError):
            await view.list_conversations(ALL_USERS)

    async def test_owners(self, memory: Any) -> None:
        await self.fill(memory)
        assert await memory.conversation_owner("roses") == "ana"
        assert await memory.for_user("ana").conversation_owner("roses") == "ana"
        assert await memory.conversation_owner("unknown") is None
        assert await memory.get_conversation("unknown") is None

    # Turns

    async def test_turns_in_both_directions(self, memory: Any) -> None:
        messages = [said(f"turn {number}") for number in range(6)]
        await memory.store_messages(messages, "talk", user_id="ana")
        await memory.store_message(said("elsewhere"), "other", user_id="ana")
        turns = await memory.read_turns("talk")
        assert [(one.turn, one.user_id, one.message) for one in turns] == [
            (number, "ana", message) for number, message in enumerate(messages)
        ]

        async def read(**how: Any) -> list[int]:
            return [one.turn for one in await memory.read_turns("talk", **how)]

        assert await read(limit=2) == [0, 1]
        assert await read(from_turn=4) == [4, 5]
        assert await read(from_turn=1, limit=3) == [1, 2, 3]
        assert await read(newest_first=True) == [5, 4, 3, 2, 1, 0]
        assert await read(newest_first=True, limit=2) == [5, 4]
        assert await read(newest_first=True, from_turn=3, limit=2) == [3, 2]
        assert await read(from_turn=6) == []
        await memory.delete_messages([messages[2].id, messages[3].id])
        assert await read() == [0, 1, 4, 5]
        assert await read(from_turn=2, limit=1) == [4]
        assert await read(newest_first=True, from_turn=3) == [1, 0]

    async def test_turns_of_a_sessions_conversation(self, memory: Any) -> None:
        session = await memory.create_session("ana")
        await memory.store_message(said("in the session"), session.conversation_id)
        (turn,) = await memory.read_turns(session.session_id)
        assert turn.message.content == "in the session"

    # By id

    async def test_get_by_id(self, memory: Any) -> None:
        stored = await self.fill(memory)
        entry = noted("A fact to get")
        await memory.store_memory(entry)
        for id_ in (stored["asked"].id, str(stored["asked"].id), str(stored["asked"].id).upper()):
            assert await memory.get_message(id_) == stored["asked"]
        assert await memory.get_memory(str(entry.id)) == entry
        # A memory is no message, and an unknown id is nobody's.
        assert await memory.get_message(entry.id) is None
        assert await memory.get_memory(stored["asked"].id) is None
        assert await memory.get_message(uuid4()) is None

    async def test_get_by_id_in_a_view(self, memory: Any) -> None:
        stored = await self.fill(memory)
        view = memory.for_user("ana")
        assert await view.get_message(stored["asked"].id) == stored["asked"]
        assert await view.get_message(stored["bo's"].id) is None
        assert await memory.get_message(stored["bo's"].id, user_id="ana") is None
        with pytest.raises(ForeignUserError):
            await view.get_message(stored["bo's"].id, user_id="bo")

    async def test_get_one_of_several_copies(self, memory: Any) -> None:
        first = said("said in one")
        second = first.model_copy(update={"content": "changed in two"})
        await memory.store_message(first, "one", user_id="ana")
        await memory.store_message(second, "two", user_id="ana")
        assert await memory.get_message(first.id) == second
        assert await memory.get_message(first.id, conversation_id="one") == first
        assert await memory.get_message(first.id, conversation_id="three") is None

    async def test_delete_messages(self, memory: Any) -> None:
        stored = await self.fill(memory)
        await memory.get_context("ana", "roses")
        assert await memory.delete_messages(str(stored["asked"].id)) == 1
        assert await memory.retrieve_messages("roses") == [stored["answered"], stored["rule"]]
        assert (await memory.get_context("ana", "roses")).messages == [
            stored["rule"],
            stored["answered"],
        ]
        assert await memory.delete_messages([stored["asked"].id, uuid4()]) == 0
        assert await memory.delete_messages([]) == 0
        hits = await memory.recall("prune roses", user_id="ana", k=10)
        assert str(stored["asked"].id) not in {hit.id for hit in hits}
        # The turns of the others stay as they are.
        assert [one.turn for one in await memory.read_turns("roses")] == [0, 2]

    async def test_delete_messages_in_a_view(self, memory: Any) -> None:
        stored = await self.fill(memory)
        view = memory.for_user("ana")
        assert await view.delete_messages([stored["bo's"].id, stored["later"].id]) == 1
        assert await memory.get_message(stored["bo's"].id) == stored["bo's"]

    async def test_delete_a_message_from_every_conversation_or_from_one(self, memory: Any) -> None:
        both, all_three = said("in two of them"), said("in all")
        for name in ("one", "two", "three"):
            await memory.store_messages([both, all_three], name, user_id="ana")
            await memory.get_context("ana", name)
        assert await memory.delete_messages(both.id, conversation_id="two") == 1
        assert (await memory.get_context("ana", "two")).messages == [all_three]
        assert (await memory.get_context("ana", "one")).messages == [both, all_three]
        assert await memory.delete_messages(all_three.id) == 3
        for name, left in (("one", [both]), ("two", []), ("three", [both])):
            assert (await memory.get_context("ana", name)).messages == left
            assert await memory.retrieve_messages(name) == left

    # Memories

    async def test_memories_without_a_cap(self, memory: Any) -> None:
        entries = [
            noted(f"fact {number}", created_at=JUNE + timedelta(hours=number // 3))
            for number in range(1200)
        ]
        await memory.store_memories(entries)
        whole = await memory.list_memories("ana", limit=None)
        assert whole.next is None
        assert {entry.id for entry in whole} == {entry.id for entry in entries}
        times = [entry.created_at for entry in whole]
        assert times == sorted(times, reverse=True)
        seen, after = [], None
        while True:
            page = await memory.for_user("ana").list_memories(limit=500, after=after)
            seen.extend(page)
            # What is stored again meanwhile stays in its place.
            await memory.store_memory(whole[700])
            after = page.next
            if after is None:
                break
        assert [entry.id for entry in seen] == [entry.id for entry in whole]
        assert len(await memory.list_memories("ana")) == 100

    async def test_memories_are_filtered_by_the_list(self, memory: Any) -> None:
        await memory.store_memories(
            [
                noted("tagged", tags=["a", "b"]),
                noted("of a category", category="c"),
                noted("an episode", memory_type=MemoryType.EPISODIC),
                noted("gone", expires_at=JUNE),
                noted("of bo", user_id="bo"),
            ]
        )
        await memory.store_message(said("a message"), "talk", user_id="ana")

        async def found(**where: Any) -> set[str]:
            where = {"user_id": "ana", **where}
            return {entry.content for entry in await memory.list_memories(**where)}

        assert await found() == {"tagged", "of a category", "an episode"}
        assert await found(tags=["b", "x"]) == {"tagged"}
        assert await found(categories="c") == {"of a category"}
        assert await found(memory_types="episodic") == {"an episode"}
        assert await found(include_expired=True) >= {"gone", "tagged"}
        assert "of bo" in await found(user_id=ALL_USERS)

    # Sessions

    async def test_sessions_the_newest_first(self, memory: Any) -> None:
        made = [await memory.create_session("ana", {"number": number}) for number in range(5)]
        await memory.create_session("bo")
        await memory.end_session(made[1].session_id)
        found = await memory.list_sessions("ana")
        assert [one.session_id for one in found] == [one.session_id for one in made[::-1]]
        assert found[0].metadata == {"number": 4}
        ended = await memory.list_sessions("ana", active=False)
        assert [one.session_id for one in ended] == [made[1].session_id]
        assert len(await memory.for_user("ana").list_sessions(active=True)) == 4
        assert len(await memory.list_sessions(ALL_USERS)) == 6
        first = await memory.list_sessions("ana", limit=3)
        rest = await memory.list_sessions("ana", limit=3, after=first.next)
        assert [*first, *rest] == found
        assert rest.next is None
        with pytest.raises(ForeignUserError):
            await memory.for_user("ana").list_sessions("bo")

    # What is refused

    async def test_what_is_refused(self, memory: Any) -> None:
        stored = await self.fill(memory)

        async def refuses(field: str, call: Any) -> None:
            with pytest.raises(InvalidInputError) as caught:
                await call
            assert caught.value.field == field

        bad: Any
        for bad in ("", "nobody", 5, None, b"x"):
            await refuses("message_id", memory.get_message(bad))
            await refuses("memory_id", memory.get_memory(bad))
            await refuses("message_ids", memory.delete_messages([stored["asked"].id, bad]))
        await refuses("message_ids", memory.delete_messages(None))
        assert await memory.get_message(stored["asked"].id) == stored["asked"]
        for bad in (0, -1, "3", 1.5, True):
            await refuses("limit", memory.list_conversations("ana", limit=bad))
            await refuses("limit", memory.list_memories("ana", limit=bad))
            await refuses("limit", memory.list_sessions("ana", limit=bad))
            await refuses("limit", memory.read_turns("roses", limit=bad))
        for bad in (-1, "0", 0.5):
            await refuses("from_turn", memory.read_turns("roses", from_turn=bad))
        for bad in ("", "x", "7 8", "[]", '["a"]', '[1.5, "a"]', "[1, 2]", 5, b"[1]"):
            await refuses("after", memory.list_conversations("ana", after=bad))
            await refuses("after", memory.list_memories("ana", after=bad))
        for bad in ("", "x", "-1", "1.5", 5, "²"):
            await refuses("after", memory.list_sessions("ana", after=bad))
        for call in (memory.list_conversations, memory.list_memories, memory.list_sessions):
            await refuses("user_id", call())
        for bad in ("", 5, None):
            await refuses("conversation_id", memory.read_turns(bad))
            await refuses("conversation_id", memory.get_conversation(bad))
            await refuses("conversation_id", memory.conversation_owner(bad))
