"""A fact, the line of the profile that it became, and the turn it is from: shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.context import BuiltContext

SENTENCES = [
    "I'm allergic to nuts",
    "I live in Lisbon.",
    "My name is Ana.",
    "I work as a nurse.",
    "I like hiking.",
    "My sister is called Marta.",
    "I moved to Porto.",
    "I prefer tea to coffee.",
]
QUESTION = "what may I not eat?"


@pytest_asyncio.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", extract="patterns") as opened:
        for sentence in SENTENCES:
            said = Message(role=MessageRole.USER, content=sentence)
            await opened.store_message(said, "talk", user_id="ana")
        await opened.facts.wait()
        await opened.users.refresh("ana")
        yield opened


def shown(built: BuiltContext) -> list[str]:
    return [item.text for item in built.report.items if item.source != "question"]


async def test_of_a_turn_a_fact_and_a_line_the_turn_is_shown(memory: VectorMemory) -> None:
    facts = {str(fact.id) for fact in await memory.facts.list("ana")}
    assert len(facts) == 7
    for conversation_id in ("talk", None):
        built = await memory.build_context(
            QUESTION, user_id="ana", conversation_id=conversation_id, budget=2_000
        )
        assert sorted(shown(built)) == sorted(SENTENCES), conversation_id
        twice = [one for one in built.report.left_out if one.reason == "duplicate"]
        assert {one.id for one in twice if one.kind == "memory"} <= facts
        assert 'profile, allergy: "nuts"' in {one.text for one in twice if one.kind == "user"}


async def test_without_the_turn_the_line_of_the_profile_is_shown(memory: VectorMemory) -> None:
    (allergy,) = [fact for fact in await memory.facts.list("ana") if fact.value == "nuts"]
    turns = [one.id for one in await memory.retrieve_messages("talk")]
    await memory.forget(turns, archive=True)
    built = await memory.build_context(QUESTION, user_id="ana", budget=2_000)
    assert sum("nuts" in text for text in shown(built)) == 1
    assert 'profile, allergy: "nuts"' in built.text
    assert (str(allergy.id), "duplicate") in {(one.id, one.reason) for one in built.report.left_out}
    # A pinned one is what somebody wants to be shown.
    await memory.pin(allergy.id)
    built = await memory.build_context(QUESTION, user_id="ana", budget=2_000)
    assert sum("nuts" in text for text in shown(built)) == 1
    assert "Pinned:" in built.text


async def test_a_fact_stays_whose_turns_and_line_are_not_shown(memory: VectorMemory) -> None:
    turns = [one.id for one in await memory.retrieve_messages("talk")]
    await memory.forget(turns, archive=True)
    built = await memory.build_context(QUESTION, user_id="ana", budget=2_000, strategy="semantic")
    assert "The user is allergic to nuts." in shown(built)


async def test_a_fact_stays_that_the_passage_of_its_turn_does_not_hold() -> None:
    filler = "The harbour was full of ferries and the weather was fine for the whole week. "
    long = Message(
        role=MessageRole.USER,
        content="I am allergic to nuts. " + filler * 40 + "The ferry to Barreiro costs 3 euros.",
    )
    async with open_memory("memory://") as memory:
        await memory.store_message(long, "talk", user_id="ana")
        fact = MemoryEntry(
            content="The user is allergic to nuts.",
            memory_type=MemoryType.FACT,
            user_id="ana",
            metadata=MemoryMetadata(
                category="fact", related_memories=[long.id], custom_fields={"value": "nuts"}
            ),
        )
        await memory.store_memory(fact, origin="extracted")
        for question, kept in (
            ("Is the user allergic, and what does the ferry to Barreiro cost in euros?", True),
            ("Who is allergic to nuts?", False),
        ):
            built = await memory.build_context(question, user_id="ana", budget=400)
            items = {item.id: item for item in built.report.items}
            assert not items[str(long.id)].whole
            assert ("nuts" in items[str(long.id)].text) is not kept
            assert (str(fact.id) in items) is kept, (built.text, built.report.left_out)
