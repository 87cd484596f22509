# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""What ``VectorMemory`` adds to bruno-core's contract: recall, views, bulk writes, expiry.

::

    from bruno_memory_vec.testing import RecallConformance

    class TestMyMemory(RecallConformance):
        async def open_memory(self, **settings):
            return MyMemory(self.folder, **settings)

The suite includes :class:`~bruno_memory_vec.testing.MemoryConformance`. The settings
the tests give are ``max_messages``, ``short_term_ttl`` and ``recall_in_context``.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotFoundError
from bruno_memory_vec.memory import ALL_USERS
from bruno_memory_vec.testing.conformance_memory import MemoryConformance
from bruno_memory_vec.testing.memory_suite import noted, said

JUNE = datetime(2024, 6, 1)


class RecallConformance(MemoryConformance):
    """Tests of a memory with recall and views. A subclass says how to open one."""

    async def fill(self, memory: Any) -> dict[str, Message | MemoryEntry]:
        """Store one thing of each sort about a zebra, and return them by name."""
        stored: dict[str, Message | MemoryEntry] = {
            "asked": said("Did you see the zebra?", timestamp=JUNE),
            "answered": said(
                "The zebra, yes", MessageRole.ASSISTANT, timestamp=JUNE + timedelta(days=1)
            ),
            "fact": noted(
                "The zebra is called Zed",
                tags=["animals"],
                category="names",
                created_at=JUNE + timedelta(days=2),
                importance=0.9,
            ),
            "rumour": noted(
                "The zebra bites",
                memory_type=MemoryType.EPISODIC,
                confidence=0.1,
                created_at=JUNE + timedelta(days=3),
            ),
            "expired": noted("The zebra was hungry", expires_at=JUNE),
            "bo's": said("Bo rides the zebra", timestamp=JUNE),
        }
        await memory.store_messages([stored["asked"], stored["answered"]], "zoo", user_id="ana")
        await memory.store_memories([stored["fact"], stored["rumour"], stored["expired"]])
        await memory.store_message(stored["bo's"], "bo's", user_id="bo")
        return stored

    # Recall

    async def test_hits_say_what_and_why(self, memory: Any) -> None:
        stored = await self.fill(memory)
        hits = await memory.recall("zebra", user_id="ana", include_expired=True)
        assert {hit.id for hit in hits} == {str(stored[n].id) for n in stored if n != "bo's"}
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert sum(hit.signals.values()) == pytest.approx(hit.score, abs=1e-5)
            assert hit.record.content == hit.content
            assert str(hit.record.id) == hit.id
            assert hit.created_at.tzinfo is timezone.utc
        (asked,) = [hit for hit in hits if hit.id == str(stored["asked"].id)]
        assert asked.record == stored["asked"]
        assert (asked.conversation_id, asked.turn) == ("zoo", 0)
        assert asked.created_at == JUNE.replace(tzinfo=timezone.utc)
        (fact,) = [hit for hit in hits if hit.id == str(stored["fact"].id)]
        assert (fact.record, fact.conversation_id, fact.turn) == (stored["fact"], None, None)

    @pytest.mark.parametrize(
        ("condition", "wanted"),
        [
            ({}, ("answered", "asked", "fact", "rumour")),
            ({"include_expired": True}, ("answered", "asked", "expired", "fact", "rumour")),
            ({"now": datetime(2024, 5, 1)}, ("answered", "asked", "expired", "fact", "rumour")),
            ({"kinds": "message"}, ("answered", "asked")),
            ({"kinds": ["memory"]}, ("fact", "rumour")),
            ({"kinds": ["memory", "message"]}, ("answered", "asked", "fact", "rumour")),
            ({"roles": MessageRole.USER}, ("asked",)),
            ({"roles": ["user", "assistant"]}, ("answered", "asked")),
            ({"memory_types": "episodic"}, ("rumour",)),
            ({"memory_types": [MemoryType.FACT, "episodic"]}, ("fact", "rumour")),
            ({"tags": "animals"}, ("fact",)),
            pytest.param({"tags": {"animals", "plants"}}, ("fact",), id="tags, a set"),
            ({"categories": ["names"]}, ("fact",)),
            ({"since": JUNE + timedelta(days=2)}, ("fact", "rumour")),
            ({"until": JUNE + timedelta(days=1)}, ("asked",)),
            ({"as_of": JUNE + timedelta(days=1)}, ("answered", "asked")),
            ({"as_of": JUNE + timedelta(days=3)}, ("answered", "asked", "fact", "rumour")),
            (
                {"since": datetime(2024, 6, 2, 2, tzinfo=timezone(timedelta(hours=2)))},
                ("answered", "fact", "rumour"),
            ),
            ({"min_importance": 0.9}, ("fact", "rumour")),
            ({"kinds": "memory", "min_confidence": 0.5}, ("fact",)),
            ({"conversation_id": "zoo"}, ("answered", "asked")),
            ({"conversation_id": "new"}, ()),
            ({"k": 1000}, ("answered", "asked", "fact", "rumour")),
        ],
        ids=str,
    )
    async def test_recall_is_filtered(
        self, memory: Any, condition: dict[str, Any], wanted: tuple[str, ...]
    ) -> None:
        stored = await self.fill(memory)
        hits = await memory.recall("zebra", user_id="ana", **condition)
        names = {str(record.id): name for name, record in stored.items()}
        assert {names[hit.id] for hit in hits} == set(wanted)

    async def test_metadata_is_compared_exactly(self, memory: Any) -> None:
        """Of a message's metadata and of a memory's custom fields: 1 is 1.0, not True, not "1"."""
        values: dict[str, Any] = {
            "one": 1,
            "one as a float": 1.0,
            "true": True,
            "digit": "1",
            "no number": float("nan"),
            "nothing": None,
            "nested": ["1", 1],
            "deeper": {"n": 1},
            "long": "x" * 100_000,
            "quoted": 'it\'s "1"',
        }
        for name, value in values.items():
            told = said(f"zebra {name}", metadata={"n": value, "project": "zoo"})
            await memory.store_message(told, "talk", user_id="ana")
            custom = {"n": value, "project": "farm"}
            await memory.store_memory(noted(f"zebra {name}", custom_fields=custom))
        await memory.store_message(said("zebra of bo", metadata={"n": 1}), "bo's", user_id="bo")

        async def found(**metadata: Any) -> list[str]:
            hits = await memory.recall("zebra", user_id="ana", k=100, metadata=metadata)
            return sorted(hit.content.removeprefix("zebra ") for hit in hits)

        for value, wanted in (
            (1, ["one", "one as a float"]),
            (1.0, ["one", "one as a float"]),
            (True, ["true"]),
            ("1", ["digit"]),
            (float("nan"), []),
            (0, []),
            (False, []),
            ("", []),
            ("x" * 100_000, ["long"]),
            ("x" * 99_999, []),
            ('it\'s "1"', ["quoted"]),
        ):
            assert await found(n=value) == sorted(2 * wanted), value
            assert await found(n=value, project="zoo") == wanted, value
            assert await found(n=value, project="Zoo") == [], value
            listed = await memory.list_memories("ana", metadata={"n": value, "project": "farm"})
            assert sorted(entry.content for entry in listed) == [f"zebra {n}" for n in wanted]
        assert await found(missing="x") == []
        assert len(await found()) == 2 * len(values)

    async def test_metadata_that_changes_is_found_as_it_is(self, memory: Any) -> None:
        entry = noted("the zebra", custom_fields={"project": "zoo"})
        await memory.store_memory(entry)
        entry.metadata.custom_fields["project"] = "farm"
        await memory.store_memory(entry)
        assert await memory.recall("zebra", user_id="ana", metadata={"project": "zoo"}) == []
        (hit,) = await memory.recall("zebra", user_id="ana", metadata={"project": "farm"})
        assert hit.record == entry

    async def test_metadata_that_cannot_be_asked_for(self, memory: Any) -> None:
        for bad in ("x", ["x"], {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {1: "x"}):
            with pytest.raises(InvalidInputError, match="metadata") as refused:
                await memory.recall("zebra", user_id="ana", metadata=bad)
            assert refused.value.field == "metadata"
            with pytest.raises(InvalidInputError, match="metadata"):
                await memory.list_memories("ana", metadata=bad)

    async def test_recall_gives_k(self, memory: Any) -> None:
        await memory.store_messages([said(f"zebra {i}") for i in range(30)], "zoo", user_id="ana")
        for k in (1, 7, 30):
            assert len(await memory.recall("zebra", user_id="ana", k=k)) == k
        assert len(await memory.recall("zebra", user_id="ana")) == 10

    async def test_recall_of_nothing(self, memory: Any) -> None:
        assert await memory.recall("zebra", user_id="ana") == []

    async def test_recall_wants_to_know_whose(self, memory: Any) -> None:
        await self.fill(memory)
        with pytest.raises(InvalidInputError, match="user_id"):
            await memory.recall("zebra")
        everyone = await memory.recall("zebra", user_id=ALL_USERS)
        assert {hit.conversation_id for hit in everyone} == {"zoo", "bo's", None}
        with pytest.raises(ForeignUserError, match="bo's"):
            await memory.recall("zebra", user_id="ana", conversation_id="bo's")

    async def test_an_update_is_embedded_anew(self, memory: Any) -> None:
        entry = noted("xylophone")
        await memory.store_memories([entry, noted("bassoon")])
        entry.update_content("harpsichord")
        await memory.store_memory(entry)
        hits = await memory.recall("harpsichord", user_id="ana", profile="semantic", k=1)
        assert hits[0].content == "harpsichord"
        found = await memory.recall("xylophone", user_id="ana", profile="lexical")
        assert found == []

    # Bulk

    async def test_many_at_once_keep_their_order(self, memory: Any) -> None:
        messages = [said(f"message {i}") for i in range(500)]
        await memory.store_messages(messages, "talk", user_id="ana")
        await memory.store_messages([], "talk", user_id="ana")
        assert await memory.retrieve_messages("talk") == messages[::-1]

    async def test_all_or_none(self, memory: Any) -> None:
        good, bad = said("good"), said("bad", metadata={"x": object()})
        with pytest.raises(InvalidInputError, match="metadata"):
            await memory.store_messages([good, bad], "talk", user_id="ana")
        with pytest.raises(InvalidInputError, match="custom_fields"):
            await memory.store_memories([noted("good"), noted("bad", custom_fields={"x": len})])
        await memory.store_message(said("bo's"), "bo's", user_id="bo")
        with pytest.raises(ForeignUserError):
            await memory.store_memories([noted("good"), noted("bad", conversation_id="bo's")])
        counts = await memory.get_statistics("ana")
        assert (counts["total_messages"], counts["memories"]) == (0, 0)

    async def test_the_last_of_the_same_id_counts(self, memory: Any) -> None:
        first, other = said("first version"), said("between")
        last = first.model_copy(update={"content": "last version"})
        await memory.store_messages([first, other, last], "talk", user_id="ana")
        assert await memory.retrieve_messages("talk") == [other, last]

    async def test_many_callers_at_once(self, memory: Any) -> None:
        async def talk(user: str) -> list[Message]:
            messages = [said(f"{user} says {i}") for i in range(20)]
            for message in messages:
                await memory.store_message(message, f"of {user}", user_id=user)
            return messages

        users = ["ana", "bo", "cy"]
        stored = await asyncio.gather(*(talk(user) for user in users))
        for user, messages in zip(users, stored, strict=True):
            assert await memory.retrieve_messages(f"of {user}") == messages[::-1]

    # A message in several conversations

    async def test_a_branch_keeps_both_whole(self, memory: Any) -> None:
        history = [said(f"turn {i} about the garden") for i in range(6)]
        question = said("and what about the tulips?")
        await memory.store_messages(history, "main", user_id="ana")
        await memory.store_messages([*history, question], "branch", user_id="ana")
        assert await memory.retrieve_messages("main") == history[::-1]
        assert await memory.retrieve_messages("branch") == [question, *history[::-1]]
        assert (await memory.get_context("ana", "main")).messages == history
        assert (await memory.get_context("ana", "branch")).messages == [*history, question]
        counts = await memory.get_statistics("ana")
        assert (counts["total_messages"], counts["conversations"]) == (13, 2)
        # Said again in its own conversation, it is replaced in its place there, and only there.
        changed = history[2].model_copy(update={"content": "turn 2 about the pond"})
        await memory.store_message(changed, "main", user_id="ana")
        assert (await memory.retrieve_messages("main"))[3] == changed
        assert (await memory.retrieve_messages("branch"))[4] == history[2]

    async def test_one_system_message_in_three_conversations(self, memory: Any) -> None:
        rule = said("Answer in one sentence.", role=MessageRole.SYSTEM)
        for name in ("one", "two", "three"):
            await memory.store_messages([rule, said(f"hello {name}")], name, user_id="ana")
        for name in ("one", "two", "three"):
            kept = [message.content for message in await memory.retrieve_messages(name)]
            assert kept == [f"hello {name}", rule.content]
        hits = await memory.recall("answer in one sentence", user_id="ana", k=20)
        assert [hit.id for hit in hits].count(str(rule.id)) == 1
        await memory.clear_history("two", keep_system_messages=False)
        assert await memory.retrieve_messages("two") == []
        assert (await memory.retrieve_messages("three"))[-1] == rule

    async def test_recall_shows_copies_once(self, memory: Any) -> None:
        history = [said(f"note {i} about the garden") for i in range(12)]
        for length in range(1, 13):  # as an agent that stores its whole history in each request
            await memory.store_messages(history[:length], f"request {length}", user_id="ana")
        other = said("the garden of somebody else", id=history[0].id)
        await memory.store_message(other, "of bo", user_id="bo")
        hits = await memory.recall("notes about the garden", user_id="ana", k=12)
        assert sorted(hit.id for hit in hits) == sorted(str(message.id) for message in history)
        (hit,) = await memory.recall(
            "note 3 garden", user_id="ana", k=1, conversation_id="request 7"
        )
        assert hit.conversation_id == "request 7"
        # One user's ids say nothing about another's, and a memory is no message.
        await memory.store_memory(noted("a garden memory", id=history[0].id))
        every = await memory.recall("the garden", user_id=ALL_USERS, k=50)
        same = [(hit.kind, hit.content) for hit in every if hit.id == str(history[0].id)]
        assert sorted(same) == [
            ("memory", "a garden memory"),
            ("message", history[0].content),
            ("message", other.content),
        ]

    async def test_copies_take_no_other_rows_place(self, memory: Any) -> None:
        """Far more copies than an engine is asked for candidates."""
        common = [said(f"the garden, the garden, part {i}") for i in range(4)]
        for number in range(120):
            await memory.store_messages(common, f"fork {number}", user_id="ana")
        rare = [said(f"one word on the garden among many others, {i}") for i in range(6)]
        await memory.store_messages(rare, "rare", user_id="ana")
        for profile in ("balanced", "fast", "lexical", "semantic", "rrf"):
            hits = await memory.recall("the garden", user_id="ana", k=10, profile=profile)
            found = {hit.id for hit in hits}
            assert found == {str(message.id) for message in (*common, *rare)}, profile

    # Expiry

    async def test_short_term_memories_end(self) -> None:
        memory = await self.open_memory(short_term_ttl=timedelta(hours=1))
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        old, fresh = now - timedelta(hours=2), now - timedelta(minutes=1)
        short = {"memory_type": MemoryType.SHORT_TERM}
        await memory.store_memories(
            [
                noted("old", created_at=old, **short),
                noted("fresh", created_at=fresh, **short),
                noted("lasting", created_at=old),
                noted("dated", created_at=old, expires_at=now + timedelta(days=1), **short),
            ]
        )
        found = await memory.retrieve_memories(MemoryQuery(user_id="ana"))
        assert {entry.content for entry in found} == {"fresh", "lasting", "dated"}
        every = MemoryQuery(user_id="ana", include_expired=True)
        (gone,) = [e for e in await memory.retrieve_memories(every) if e.content == "old"]
        assert gone.expires_at == old + timedelta(hours=1)
        await self.close_memory(memory)

    # Views

    async def test_a_view_serves_its_user(self, memory: Any) -> None:
        stored = await self.fill(memory)
        view = memory.for_user("ana")
        hits = await view.recall("zebra")
        assert {h.id for h in hits} == {
            str(stored[n].id) for n in "asked answered fact rumour".split()
        }
        found = await view.search_messages("zebra")
        assert {m.id for m in found} == {stored["asked"].id, stored["answered"].id}
        await view.store_message(said("through the view"), "zoo")
        assert (await memory.get_statistics("ana"))["total_messages"] == 3
        assert await view.health() == {"status": "ok"}

    async def test_in_a_view_others_do_not_exist(self, memory: Any) -> None:
        stored = await self.fill(memory)
        session = await memory.create_session("ana")
        view = memory.for_user("bo")
        assert await view.retrieve_messages("zoo") == []
        assert await view.recall("zebra", conversation_id="zoo") == []
        assert await view.get_session(session.session_id) is None
        with pytest.raises(NotFoundError):
            await view.end_session(session.session_id)
        with pytest.raises(NotFoundError):
            await view.delete_memory(str(stored["fact"].id))
        await view.clear_history("zoo", keep_system_messages=False)
        await view.clear_conversation("bo", "zoo")
        assert len(await memory.retrieve_messages("zoo")) == 2
        assert (await memory.get_session(session.session_id)).is_active
        assert (await memory.get_statistics("ana"))["memories"] == 3

    async def test_a_view_acts_for_no_one_else(self, memory: Any) -> None:
        view = memory.for_user("bo")
        for call in (
            view.store_message(said("x"), "talk", user_id="ana"),
            view.store_memory(noted("x", "ana")),
            view.recall("x", user_id="ana"),
            view.recall("x", user_id=ALL_USERS),
            view.search_messages("x", user_id="ana"),
            view.retrieve_memories(MemoryQuery(user_id="ana")),
            view.retrieve_context("ana", "x"),
            view.search_memories("ana", "x"),
            view.clear_conversation("ana", "talk"),
            view.create_session("ana"),
            view.get_context("ana", "talk"),
            view.get_user("ana"),
            view.save_user(UserContext(user_id="ana")),
            view.get_statistics("ana"),
        ):
            with pytest.raises(ForeignUserError):
                await call
        with pytest.raises(ForeignUserError):
            view.for_user("ana")
        assert view.for_user("bo") is not None

    async def test_the_same_id_for_two_users(self, memory: Any) -> None:
        shared = uuid4()
        ana, bo = noted("of ana", "ana", id=shared), noted("of bo", "bo", id=shared)
        await memory.store_memories([ana, bo])
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == [ana]
        await memory.for_user("bo").delete_memory(str(shared))
        assert await memory.retrieve_memories(MemoryQuery(user_id="ana")) == [ana]
        assert await memory.retrieve_memories(MemoryQuery(user_id="bo")) == []

    # Users

    async def test_profiles_are_kept(self, memory: Any) -> None:
        assert (await memory.get_user("ana")).preferences == {}
        user = UserContext(user_id="ana", name="Ána", preferences={"language": "pt", "n": (1, 2)})
        await memory.save_user(user)
        assert await memory.get_user("ana") == user
        assert (await memory.get_context("ana", "talk")).user == user
        assert (await memory.get_user("bo")).name is None

    # Recall into a context

    async def test_what_is_recalled_reaches_the_context(self, memory: Any) -> None:
        await memory.store_message(said("My dog is called Biscuit"), "old", user_id="ana")
        await memory.store_message(said("My dog is called Rex"), "bo's", user_id="bo")
        context = await memory.get_context("ana", "new")
        question = said("What is my dog called?")
        context.add_message(question)
        await memory.store_message(question, "new")
        recalled, asked = context.messages
        assert recalled.role is MessageRole.SYSTEM
        assert "Biscuit" in recalled.content
        assert "Rex" not in recalled.content
        assert asked is question
        assert await memory.retrieve_messages("new") == [question]

    async def test_what_was_put_into_a_context_is_not_stored(self, memory: Any) -> None:
        await memory.store_message(said("My dog is called Biscuit"), "old", user_id="ana")
        context = await memory.get_context("ana", "new")
        question = said("What is my dog called?")
        context.add_message(question)
        await memory.store_message(question, "new")
        recalled, _ = context.messages
        plain = Message(role=MessageRole.SYSTEM, content=recalled.content)
        joined = Message(role=MessageRole.SYSTEM, content=f"Be kind.\n\n{recalled.content}")
        await memory.store_messages([recalled, plain, joined, question], "copy", user_id="ana")
        assert [(turn.turn, turn.message.content) for turn in await memory.read_turns("copy")] == [
            (0, "Be kind."),
            (1, question.content),
        ]

    async def test_recall_into_contexts_can_be_off(self) -> None:
        memory = await self.open_memory(recall_in_context=False)
        await memory.store_message(said("My dog is called Biscuit"), "old", user_id="ana")
        context = await memory.get_context("ana", "new")
        question = said("What is my dog called?")
        context.add_message(question)
        await memory.store_message(question, "new")
        assert context.messages == [question]
        await self.close_memory(memory)
