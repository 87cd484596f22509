"""``memory.facts``: extraction by hand, facts by hand, lists and history, for one user each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotFoundError
from bruno_memory_vec.knowledge.extraction.fact import Fact
from tests.knowledge.extraction.support import START, message
from tests.scripted_llm import REFUSAL, Hang, ScriptedLLM


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as memory:
        yield memory


def brief(facts: list[Fact]) -> list[tuple[str, str]]:
    return [(fact.attribute, fact.value) for fact in facts]


async def test_a_fact_is_a_memory_with_its_source(memory: VectorMemory) -> None:
    told = message("I live in Lisbon")
    await memory.store_message(told, "talk", user_id="ana")
    report = await memory.facts.extract(user_id="ana")
    assert (report.method, report.turns, report.found, report.new) == ("patterns", 1, 1, 1)
    (fact,) = await memory.facts.list("ana")
    entry = await memory.get_memory(fact.id, user_id="ana")
    assert entry is not None
    assert entry.content == fact.text == "The user lives in Lisbon."
    assert entry.metadata.related_memories == [told.id]
    assert entry.metadata.custom_fields["method"] == "patterns"
    assert entry.conversation_id == fact.conversation_id == "talk"
    assert fact.said_at == fact.said_last == told.timestamp
    (hit,) = await memory.recall("where", user_id="ana", origins="extracted")
    assert (hit.id, hit.origin) == (fact.id, "extracted")


async def test_extracting_again_changes_nothing(memory: VectorMemory) -> None:
    texts = ["I live in Lisbon", "I live in Porto", "I live in Porto!", "I love tea"]
    await memory.store_messages(
        [message(text, minute) for minute, text in enumerate(texts)], "talk", user_id="ana"
    )
    await memory.facts.extract("talk")
    before = await memory.facts.history("ana")
    report = await memory.facts.extract(user_id="ana")
    assert (report.new, report.repeated, report.superseded, report.ended) == (0, 0, 0, 0)
    assert await memory.facts.history("ana") == before


async def test_extractions_at_once_count_each_turn_once() -> None:
    async with open_memory("memory://", embedder="hash", extract="patterns") as memory:
        texts = ["I live in Lisbon", "I love tea", "I live in Porto", "I live in Porto"]
        for minute, text in enumerate(texts):
            await memory.store_message(message(text, minute), f"talk {minute}", user_id="ana")
        await asyncio.gather(
            *(memory.facts.extract(user_id="ana") for _ in range(4)),
            *(memory.facts.add("likes", "tea", user_id="ana") for _ in range(3)),
            memory.facts.wait(),
        )
        found = {fact.value: fact.times_seen for fact in await memory.facts.list("ana")}
        assert found["Porto"] == 2
        assert set(found) == {"Porto", "tea"}
        assert len(await memory.facts.history("ana")) == 3


async def test_a_superseded_fact_is_archived_and_linked_both_ways(memory: VectorMemory) -> None:
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    await memory.facts.extract("talk")
    await memory.store_message(message("I've moved to Porto", 60), "other", user_id="ana")
    report = await memory.facts.extract("other")
    assert (report.new, report.superseded) == (1, 1)
    lisbon, porto = await memory.facts.history("ana", attribute="home")
    assert (lisbon.superseded_by, porto.supersedes) == (porto.id, lisbon.id)
    assert lisbon.archived_at is not None
    assert brief(await memory.facts.list("ana")) == [("home", "Porto")]
    found = {hit.id for hit in await memory.recall("live home", user_id="ana", kinds="memory")}
    assert found == {porto.id}
    all_of_them = await memory.recall(
        "live home", user_id="ana", kinds="memory", include_archived=True
    )
    assert {hit.id for hit in all_of_them} == {lisbon.id, porto.id}


async def test_what_ended_is_history(memory: VectorMemory) -> None:
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    gone = message("I no longer live in Lisbon", 9)
    await memory.store_message(gone, "talk", user_id="ana")
    await memory.facts.extract("talk")
    assert await memory.facts.list("ana") == []
    (fact,) = await memory.facts.history("ana")
    assert fact.ended_by == str(gone.id)


async def test_only_turns_since_a_time(memory: VectorMemory) -> None:
    texts = ["I live in Lisbon", "I love tea"]
    await memory.store_messages(
        [message(text, 60 * hour) for hour, text in enumerate(texts)], "talk", user_id="ana"
    )
    await memory.facts.extract("talk", since=START + timedelta(minutes=30))
    assert brief(await memory.facts.list("ana")) == [("likes", "tea")]


async def test_a_dry_run_stores_nothing(memory: VectorMemory) -> None:
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    report = await memory.facts.extract("talk", dry_run=True)
    assert (report.new, report.dry_run) == (1, True)
    assert await memory.facts.history("ana") == []


async def test_facts_are_one_users(memory: VectorMemory) -> None:
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    await memory.store_message(message("I live in Oslo"), "other", user_id="ben")
    ana, ben = memory.for_user("ana"), memory.for_user("ben")
    await ben.facts.extract()
    assert await ana.facts.list() == []
    assert brief(await ben.facts.list()) == [("home", "Oslo")]
    with pytest.raises(ForeignUserError):
        await ana.facts.extract(user_id="ben")
    with pytest.raises(ForeignUserError):
        await ana.facts.list("ben")
    with pytest.raises(ForeignUserError):
        await memory.facts.extract("other", user_id="ana")
    # In a view another user's conversation is as one that does not exist.
    assert (await ana.facts.extract("other")).turns == 0
    with pytest.raises(ForeignUserError):
        await ana.facts.wait()


async def test_arguments_are_refused_before_anything_is_written(memory: VectorMemory) -> None:
    await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.facts.extract()
    with pytest.raises(InvalidInputError, match="method"):
        await memory.facts.extract("talk", method="llm")
    with pytest.raises(InvalidInputError, match="method"):
        await memory.facts.extract("talk", method="magic")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await memory.facts.extract("nowhere")
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.facts.list()
    for bad in ({"attribute": " "}, {"value": ""}, {"confidence": 2}, {"value": "x" * 2_000}):
        with pytest.raises(InvalidInputError):
            await memory.facts.add(
                **{"attribute": "home", "value": "Porto", "user_id": "ana", **bad}
            )  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="sources"):
        await memory.facts.add("home", "Porto", user_id="ana", sources=[uuid4()])
    assert await memory.facts.history("ana") == []


async def test_a_fact_by_hand_takes_part_like_any_other(memory: VectorMemory) -> None:
    told = message("I live in Lisbon")
    await memory.store_message(told, "talk", user_id="ana")
    await memory.facts.extract("talk")
    porto = await memory.facts.add("home", "Porto", user_id="ana")
    assert (porto.method, porto.confidence, porto.sources) == ("given", 1.0, ())
    assert brief(await memory.facts.list("ana")) == [("home", "Porto")]
    (hit,) = await memory.recall("Porto", user_id="ana", origins="given")
    assert hit.id == porto.id
    past = await memory.facts.add(
        "home", "Braga", user_id="ana", said_at=datetime(2020, 1, 1, tzinfo=timezone.utc)
    )
    assert past.archived_at is not None
    assert brief(await memory.facts.list("ana")) == [("home", "Porto")]
    again = await memory.facts.add("home", "porto", user_id="ana", sources=[told.id])
    assert (again.id, again.sources) == (porto.id, (str(told.id),))


async def test_a_source_by_hand_is_a_message_of_the_user(memory: VectorMemory) -> None:
    answer = message("You live in Lisbon", 1, role="assistant")
    other = message("I live in Oslo", 2)
    await memory.store_message(answer, "talk", user_id="ana")
    await memory.store_message(other, "other", user_id="ben")
    for foreign in (answer.id, other.id):
        with pytest.raises(InvalidInputError, match="sources"):
            await memory.facts.add("home", "Lisbon", user_id="ana", sources=[foreign])


async def test_a_model_finds_facts_and_lies_are_dropped() -> None:
    def answers(messages: list[object]) -> str:
        text = str(messages[-1].content)  # type: ignore[attr-defined]
        number = text.splitlines()[1].split()[1]
        good = {"attribute": "pet", "value": "a ferret", "sources": [number], "confidence": 0.8}
        lie = {"attribute": "home", "value": "Atlantis", "sources": [number]}
        return json.dumps({"facts": [good, lie, {**good, "sources": ["u999"]}]})

    llm = ScriptedLLM(answers)
    async with open_memory("memory://", embedder="hash", llm=llm) as memory:
        told = message("We took in a ferret")
        await memory.store_message(told, "talk", user_id="ana")
        report = await memory.facts.extract("talk")
        assert report.method == "llm"
        assert report.dropped == {
            "is not in the turns that it cites": 1,
            "cites no turn of the user": 1,
        }
        (fact,) = await memory.facts.list("ana")
        assert (fact.value, fact.sources, fact.method) == ("a ferret", (str(told.id),), "llm")
        assert UUID(fact.id)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (REFUSAL, "refused"),
        ("no json", "malformed"),
        (RuntimeError("away"), "error"),
        (Hang(), "timeout"),
        ("", "empty"),
    ],
)
async def test_a_model_that_fails_loses_nothing(step: object, reason: str) -> None:
    llm = ScriptedLLM(step)  # type: ignore[arg-type]
    async with open_memory("memory://", embedder="hash", llm=llm, extract_timeout=0.05) as memory:
        told = message("I live in Lisbon")
        await memory.store_message(told, "talk", user_id="ana")
        report = await memory.facts.extract("talk")
        assert [one.split(":")[0] for one in report.failures] == [reason]
        assert await memory.facts.history("ana") == []
        assert await memory.retrieve_messages("talk") == [told]
