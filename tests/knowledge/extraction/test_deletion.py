"""Facts go with the messages that say them: deleted means gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.knowledge.extraction.fact import Fact
from tests.knowledge.extraction.support import message


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
