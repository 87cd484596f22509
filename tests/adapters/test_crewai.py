"""The storage of CrewAI's memory, with the real package, its ``Memory`` and a crew.

It is not among what the suite installs. The step ``agent frameworks`` of ``.ci/run`` installs it,
and runs these.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from pydantic import Field

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError, StoreClosedError

if find_spec("crewai") is None:
    pytest.skip("crewai is not installed", allow_module_level=True)

# Before it is imported: nothing is sent anywhere.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true"}

# The framework and what it needs warn of themselves.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from crewai import Agent, Crew, Memory, Task
    from crewai.llms.base_llm import BaseLLM
    from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
    from crewai.memory.storage.lancedb_storage import LanceDBStorage
    from crewai.memory.types import MemoryRecord

    from bruno_memory_vec.adapters.crewai import MemoryStorage

pytestmark = pytest.mark.filterwarnings("default", "ignore::DeprecationWarning:crewai")


class Scripted(BaseLLM):
    """A model that says what it is told to, and notes what it was asked."""

    answers: list[str] = Field(default_factory=list)
    asked: list[str] = Field(default_factory=list)

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        text = messages if isinstance(messages, str) else str([one["content"] for one in messages])
        self.asked.append(text)
        return self.answers.pop(0) if self.answers else "Thought: done\nFinal Answer: done"

    def supports_function_calling(self) -> bool:
        return False


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[MemoryStorage]:
    with MemoryStorage(tmp_path / "store") as one:
        yield one


def record(storage: MemoryStorage, content: str, scope: str = "/", **more: Any) -> MemoryRecord:
    (vector,) = storage.embed([content])
    return MemoryRecord(content=content, scope=scope, embedding=vector, **more)


def test_it_is_a_storage_backend(storage: MemoryStorage) -> None:
    assert isinstance(storage, StorageBackend)
    assert deepcopy(storage) is storage


def test_it_answers_as_crewais_own_storage_does(storage: MemoryStorage, tmp_path: Path) -> None:
    own = LanceDBStorage(path=tmp_path / "own", vector_dim=len(storage.embed(["x"])[0]))
    day = datetime(2025, 5, 1, 12)
    records = [
        record(storage, "Rex is a dog", "/ana/pets", categories=["pets"], importance=0.9,
               metadata={"color": "brown", "age": 3}, source="ana", private=True,
               created_at=day),
        record(storage, "Tom is a cat", "/ana/pets/cats", categories=["pets", "cats"],
               metadata={"color": "grey"}, created_at=day + timedelta(days=1)),
        record(storage, "The boiler cost 386 euros", "/ana/house", categories=["house"],
               created_at=day + timedelta(days=2)),
        record(storage, "Ben likes boats", "/ben", created_at=day + timedelta(days=3)),
    ]  # fmt: skip
    for one in (storage, own):
        one.save(records)
    for scope in (None, "/", "/ana", "/ana/", "/ana/pets", "/ben", "/nobody"):
        ours, theirs = (
            [(r.id, r.content, r.scope, r.categories, r.metadata, r.importance, r.created_at,
              r.source, r.private) for r in one.list_records(scope)]
            for one in (storage, own)
        )  # fmt: skip
        assert ours == theirs, scope
        assert storage.count(scope) == own.count(scope), scope
        assert storage.list_categories(scope) == own.list_categories(scope), scope
    for scope in ("/", "/ana", "/ben", "/nobody"):
        assert storage.list_scopes(scope) == own.list_scopes(scope), scope
        assert storage.get_scope_info(scope) == own.get_scope_info(scope), scope
    page, other = (one.list_records(limit=2, offset=1) for one in (storage, own))
    assert [one.id for one in page] == [one.id for one in other]
    for one in records:
        assert storage.get_record(one.id) == own.get_record(one.id).model_copy(
            update={"embedding": None}
        )
    assert storage.get_record("nothing") is None
    query = storage.embed(["which animal is Rex?"])[0]
    for given in (
        {},
        {"scope_prefix": "/ana"},
        {"categories": ["cats", "house"]},
        {"metadata_filter": {"color": "brown"}},
        {"metadata_filter": {"color": "brown", "age": 4}},
        {"scope_prefix": "/ana", "limit": 1},
        {"limit": 0},
    ):
        ours = [r.id for r, _ in storage.search(query, **given)]
        theirs = [r.id for r, _ in own.search(query, **given)] if given != {"limit": 0} else []
        assert ours == theirs, given
    scores = [score for _, score in storage.search(query)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert [s for _, s in storage.search(query, min_score=scores[1])] == scores[:2]
    changed = records[0].model_copy(update={"content": "Rex was a dog", "scope": "/past"})
    for one in (storage, own):
        one.update(changed)
        assert one.get_record(changed.id).scope == "/past"
        assert one.count("/ana/pets") == 1
        assert one.delete(record_ids=[changed.id]) == 1
        assert one.delete(categories=["house"], older_than=day) == 0
        assert one.delete(categories=["house"]) == 1
        one.reset("/ben")
        assert one.count("/ben") == 0
    assert storage.count() == 1
    storage.reset()
    assert storage.count() == 0


def test_a_scope_holds_what_is_within_it_and_not_what_begins_like_it(
    storage: MemoryStorage,
) -> None:
    # CrewAI's own storage gives "/ana" what is in "/analysts", too.
    storage.save([record(storage, "mine", "/ana"), record(storage, "theirs", "/analysts")])
    assert [one.content for one in storage.list_records("/ana")] == ["mine"]
    assert storage.list_scopes() == ["/ana", "/analysts"]
    storage.reset("/ana")
    assert storage.count() == 1


def test_two_slashes_in_a_row_are_one(storage: MemoryStorage) -> None:
    storage.save([record(storage, "one", "//crew//a/"), record(storage, "two", "crew/a")])
    assert storage.list_scopes("/crew") == ["/crew/a"]
    assert storage.count("/crew/a") == storage.count("//crew/a") == 2
    assert {one.scope for one in storage.list_records()} == {"/crew/a"}


def test_crewais_memory_remembers_over_a_restart(tmp_path: Path) -> None:
    for again in (False, True):
        with MemoryStorage(tmp_path / "store") as storage:
            memory = Memory(llm=Scripted(model="x"), storage=storage, embedder=storage.embed)
            if not again:
                kept = memory.remember(
                    "The deploy key is rotated on Fridays",
                    scope="/ops", categories=["ops"], metadata={"team": "a"}, importance=0.8,
                )  # fmt: skip
                assert kept is not None
            found = memory.recall("when is the deploy key rotated?", depth="shallow")
            assert [one.record.content for one in found] == ["The deploy key is rotated on Fridays"]
            assert memory.recall("deploy key", scope="/other", depth="shallow") == []
            hits = storage.recall("deploy key", scope_prefix="/ops")
            assert [one.content for one, _ in hits] == ["The deploy key is rotated on Fridays"]
            memory.drain_writes()


def test_a_crew_puts_what_it_remembered_into_the_next_ones_prompt(tmp_path: Path) -> None:
    def run(asked: str, answer: str, *, keep: bool) -> list[str]:
        # The answers after the first are those of the memory, which asks what to keep of it.
        model = Scripted(model="x", answers=[f"Thought: ok\nFinal Answer: {answer}"])
        with MemoryStorage(tmp_path / "store") as storage:
            memory = Memory(llm=model, storage=storage, embedder=storage.embed)
            if keep:
                memory.remember(answer, scope="/", categories=["trip"], importance=0.9)
            agent = Agent(role="Guide", goal="help", backstory="knows", llm=model, verbose=False)
            task = Task(description=asked, expected_output="an answer", agent=agent)
            crew = Crew(agents=[agent], tasks=[task], memory=memory, verbose=False)
            crew.kickoff()
            memory.drain_writes()
        return model.asked

    run("Where did Ana stay in Lisbon?", "Ana stayed at Hotel Aurora in Lisbon", keep=True)
    prompts = run("Which hotel was it in Lisbon?", "I see", keep=False)
    assert any("Ana stayed at Hotel Aurora in Lisbon" in one for one in prompts)


def test_users_of_a_store_do_not_see_each_other(tmp_path: Path) -> None:
    with MemoryStorage(tmp_path / "store", user_id="ana") as storage:
        mine = record(storage, "Ana earns 4000")
        storage.save([mine])
    with MemoryStorage(tmp_path / "store", user_id="ben") as storage:
        query = storage.embed(["what does Ana earn?"])[0]
        assert storage.search(query) == []
        assert storage.recall("what does Ana earn?") == []
        assert storage.list_records() == []
        assert storage.get_record(mine.id) is None
        assert storage.delete(record_ids=[mine.id]) == 0
        storage.reset()
    with MemoryStorage(tmp_path / "store", user_id="ana") as storage:
        assert storage.count() == 1


async def test_the_users_other_memories_are_no_records(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store") as memory:
        await memory.store_memory(
            MemoryEntry(content="Rex is a dog", memory_type=MemoryType.FACT, user_id="ana")
        )
    with MemoryStorage(tmp_path / "store", user_id="ana") as storage:
        assert storage.recall("which dog?") == []
        assert storage.search(storage.embed(["which dog?"])[0]) == []
        storage.reset()
        storage.save([record(storage, "Tom is a cat", "/pets", categories=["pets"])])
    async with open_memory(tmp_path / "store") as memory:
        texts = {hit.content for hit in await memory.recall("which pet?", user_id="ana")}
        assert texts == {"Rex is a dog", "Tom is a cat"}
        assert len(await memory.recall("which pet?", user_id="ana", tags="pets")) == 1


def test_use_is_noted(storage: MemoryStorage) -> None:
    one = record(storage, "Rex is a dog", last_accessed=datetime(2024, 1, 1))
    storage.save([one])
    storage.touch_records([one.id, "nothing"])
    after = storage.get_record(one.id)
    assert after is not None
    assert after.last_accessed > datetime(2025, 1, 1)
    assert after.model_copy(update={"last_accessed": one.last_accessed}) == one.model_copy(
        update={"embedding": None}
    )


async def test_coroutines_and_threads_may_call_it(storage: MemoryStorage) -> None:
    one = record(storage, "Rex is a dog")
    await storage.asave([one])
    query = storage.embed(["dog"])[0]
    assert [r.id for r, _ in await storage.asearch(query, limit=3)] == [one.id]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.save([record(storage, f"fact {n}")]), range(40)))
    assert storage.count() == 41
    both = await asyncio.gather(*(storage.asearch(query) for _ in range(5)))
    assert all(found[0][0].id == one.id for found in both)
    assert await storage.adelete(record_ids=[one.id]) == 1


def test_what_is_odd_is_refused_before_anything_is_stored(storage: MemoryStorage) -> None:
    good = record(storage, "good")
    other = good.model_copy(update={"embedding": [0.1, 0.2]})
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.save([good, other])
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.search([0.1, 0.2])
    deep = good.model_copy(update={"scope": "/a" * 50})
    blank = good.model_copy(update={"content": " "})
    surrogate = good.model_copy(update={"content": "\ud800"})
    for odd in (deep, blank, good.model_copy(update={"content": ""}), surrogate):
        with pytest.raises(InvalidInputError):
            storage.save([good, odd])
    for texts in ("text", [1]):
        with pytest.raises(InvalidInputError, match="texts"):
            storage.embed(texts)  # type: ignore[arg-type]
    assert storage.count() == 0
    assert storage.embed([]) == []
    assert storage.search([]) == []
    assert storage.search([0.0] * len(good.embedding or ())) == []
    assert storage.delete(record_ids=[]) == 0
    with pytest.raises(InvalidInputError, match="user_id"):
        MemoryStorage("memory://", user_id="")


def test_a_closed_storage_says_so(tmp_path: Path) -> None:
    storage = MemoryStorage(tmp_path / "store")
    storage.close()
    storage.close()
    with pytest.raises(StoreClosedError):
        storage.count()
