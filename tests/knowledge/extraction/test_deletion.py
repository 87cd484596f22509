"""Facts go with the messages that say them: deleted means gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec import PriorityWeights, PrunePolicy, VectorMemory, open_memory
from bruno_memory_vec.knowledge.extraction.fact import Fact
from tests.knowledge.extraction.support import START, message


@pytest.fixture(params=["memory://", "folder"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = str(tmp_path) if request.param == "folder" else request.param
    async with open_memory(url, embedder="hash") as memory:
        yield memory


async def tell(memory: VectorMemory, text: str, minute: int, talk: str = "talk") -> str:
    told = message(text, minute)
    await memory.store_message(told, talk, user_id="ana")
    await memory.facts.extract(talk)
    return str(told.id)


async def homes(memory: VectorMemory) -> dict[str, Fact]:
    return {fact.value: fact for fact in await memory.facts.history("ana", attribute="home")}


async def values(memory: VectorMemory) -> list[str]:
    return sorted(fact.value for fact in await memory.facts.list("ana"))


async def test_a_fact_goes_with_its_only_source(memory: VectorMemory) -> None:
    first, _ = await tell(memory, "I live in Lisbon", 0), await tell(memory, "I love tea", 1)
    assert await memory.delete_messages(first) == 1
    assert await values(memory) == ["tea"]
    hits = await memory.recall("Lisbon", user_id="ana", include_archived=True)
    assert not any("Lisbon" in hit.content for hit in hits)
    assert not (await memory.maintain()).problems


async def test_a_fact_stays_while_another_message_says_it(memory: VectorMemory) -> None:
    first, second = await tell(memory, "I love tea", 0), await tell(memory, "I love tea!", 1)
    await memory.forget(first)
    (fact,) = await memory.facts.list("ana")
    assert (fact.sources, fact.times_seen) == ((second,), 1)
    await memory.clear_history("talk")
    assert await memory.facts.history("ana") == []


async def test_what_a_fact_that_goes_has_superseded_holds_again(memory: VectorMemory) -> None:
    await tell(memory, "I live in Lisbon", 0)
    second = await tell(memory, "I've moved to Porto", 1)
    third = await tell(memory, "I've moved to Faro", 2)
    await memory.forget(second)
    known = await homes(memory)
    assert set(known) == {"Lisbon", "Faro"}
    assert known["Lisbon"].superseded_by == known["Faro"].id
    assert known["Faro"].supersedes == known["Lisbon"].id
    assert known["Lisbon"].archived_at is not None
    await memory.forget(third)
    assert await values(memory) == ["Lisbon"]
    assert (await homes(memory))["Lisbon"].superseded_by is None


async def test_what_a_deleted_message_has_ended_holds_again(memory: VectorMemory) -> None:
    await tell(memory, "I live in Lisbon", 0)
    ended = await tell(memory, "I no longer live in Lisbon", 1)
    assert await values(memory) == []
    await memory.forget(ended)
    assert await values(memory) == ["Lisbon"]


async def test_a_branch_still_says_it(memory: VectorMemory) -> None:
    told = message("I live in Lisbon", 0)
    await memory.store_message(told, "talk", user_id="ana")
    await memory.store_message(told, "branch", user_id="ana")
    await memory.facts.extract("talk")
    await memory.clear_history("branch")
    assert await values(memory) == ["Lisbon"]
    await memory.clear_history("talk")
    assert await values(memory) == []


async def test_a_message_with_another_text_says_its_old_facts_no_more(
    memory: VectorMemory,
) -> None:
    told = message("I live in Lisbon", 0)
    await memory.store_message(told, "talk", user_id="ana")
    await memory.facts.extract("talk")
    await memory.store_message(told, "talk", user_id="ana")  # the same again: nothing changes
    assert await values(memory) == ["Lisbon"]
    await memory.store_message(
        told.model_copy(update={"content": "I live in Porto"}), "talk", user_id="ana"
    )
    assert await memory.facts.history("ana") == []
    await memory.facts.extract("talk")
    assert await values(memory) == ["Porto"]


async def test_another_users_facts_stay(memory: VectorMemory) -> None:
    told = message("I live in Lisbon", 0)
    await memory.store_message(told, "talk", user_id="ana")
    await memory.store_message(told, "bo's", user_id="bo")
    await memory.facts.extract("talk")
    await memory.facts.extract("bo's")
    await memory.for_user("ana").forget(told.id)
    assert await memory.facts.list("ana") == []
    assert [fact.value for fact in await memory.facts.list("bo")] == ["Lisbon"]


async def test_a_given_fact_holds_again(memory: VectorMemory) -> None:
    await memory.facts.add("home", "Paris", user_id="ana")
    moved = await tell(memory, "I've moved to Berlin", 600_000)
    assert await values(memory) == ["Berlin"]
    await memory.forget(moved)
    assert await values(memory) == ["Paris"]


async def test_a_fact_that_is_deleted_by_itself(memory: VectorMemory) -> None:
    await tell(memory, "I live in Lisbon", 0)
    await tell(memory, "I've moved to Porto", 1)
    await memory.delete_memory((await homes(memory))["Porto"].id)
    assert await values(memory) == ["Lisbon"]


async def test_a_fact_that_was_put_aside_stays_so(memory: VectorMemory) -> None:
    first, _ = await tell(memory, "I love tea", 0), await tell(memory, "I love tea!", 1)
    (fact,) = await memory.facts.list("ana")
    await memory.forget(fact.id, archive=True)
    await memory.forget(first)
    assert await values(memory) == []
    assert len(await memory.facts.history("ana")) == 1


async def test_what_a_caller_wrote_keeps_no_message_from_being_deleted(
    memory: VectorMemory,
) -> None:
    told, other = message("I live in Lisbon", 0), message("Still there", 1)
    await memory.store_messages([told, other], "talk", user_id="ana")
    odd = MemoryEntry(
        content="odd",
        memory_type=MemoryType.FACT,
        user_id="ana",
        metadata=MemoryMetadata(
            category="fact",
            related_memories=[told.id, other.id],
            custom_fields={"times_seen": "many", "superseded_by": [1], "supersedes": "itself"},
        ),
    )
    await memory.store_memory(odd, origin="extracted")
    assert await memory.forget(told.id) == 1
    (left,) = await memory.list_memories("ana")
    assert left.metadata.related_memories == [other.id]
    assert await memory.forget(other.id) == 1
    assert await memory.list_memories("ana") == []


async def test_pruning_takes_a_fact_together_with_a_source(memory: VectorMemory) -> None:
    first, second = await tell(memory, "I love tea", 0), await tell(memory, "I love tea!", 1)
    await memory.pin(second)
    policy = PrunePolicy(
        below=1.0,
        keep=0,
        older_than=timedelta(0),
        kinds=("memory", "message"),
        action="delete",
        weights=PriorityWeights(emotion=0),
    )
    report = await memory.prune("ana", policy=policy, dry_run=False, now=START + timedelta(days=9))
    assert {row.id for row in report.pruned} >= {first}
    assert report.changed_meanwhile == 0
    assert await memory.facts.history("ana") == []
