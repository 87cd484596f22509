"""Short-term memories expire, or become lasting without a loss, wherever that is stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.knowledge.kinds.consolidation import ConsolidationPolicy

IMPORTANT = ConsolidationPolicy(uses=None, importance=0.8)


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


def lives(entry: Any) -> timedelta:
    left: timedelta = entry.expires_at - datetime.now(timezone.utc).replace(tzinfo=None)
    return left


async def test_they_expire(memory: VectorMemory) -> None:
    view = memory.for_user("ana").conversational
    assert timedelta(hours=23) < lives(await view.add("a day")) <= timedelta(days=1)
    assert lives(await view.add("an hour", ttl=timedelta(hours=1))) <= timedelta(hours=1)
    for ttl in (timedelta(0), timedelta(-1), timedelta(40_000), 3600):
        with pytest.raises(InvalidInputError, match="ttl"):
            await view.add("never", ttl=ttl)  # type: ignore[arg-type]
    gone = await view.add("a moment", ttl=timedelta(microseconds=1))
    assert {entry.content for entry in await view.list()} == {"a day", "an hour"}
    assert str(gone.id) not in {hit.id for hit in await view.recall("a moment")}
    async with open_memory("memory://", embedder="hash", short_term_ttl=timedelta(days=7)) as other:
        entry = await other.conversational.add("a week", user_id="ana")
        assert timedelta(days=6) < lives(entry) <= timedelta(days=7)


async def test_what_was_used_becomes_lasting_and_links_to_its_source(memory: VectorMemory) -> None:
    ana = memory.for_user("ana")
    used = await ana.conversational.add("Ana trains for a marathon", importance=0.7, tags=["sport"])
    await ana.conversational.add("Ana is in a meeting")
    for _ in range(3):
        await ana.conversational.recall("marathon", k=1)
    plan = await ana.conversational.consolidate(dry_run=True)
    assert [(one.memory_id, one.into, one.reason) for one in plan.consolidated] == [
        (used.id, None, "uses")
    ]
    assert await ana.semantic.list() == []
    report = await ana.conversational.consolidate()
    (entry,) = await ana.semantic.list()
    assert [(one.memory_id, one.into, one.known) for one in report.consolidated] == [
        (used.id, entry.id, False)
    ]
    assert report.looked_at == 2
    assert (entry.content, entry.expires_at) == (used.content, None)
    assert entry.metadata.related_memories == [used.id]
    assert (entry.metadata.importance, entry.metadata.tags) == (0.7, ["sport"])
    # The source is archived, says what it has become, and expires no more.
    assert used.id not in {one.id for one in await ana.conversational.list()}
    source = await ana.conversational.get(used.id)
    assert source is not None
    assert source.metadata.custom_fields["consolidated_into"] == str(entry.id)
    assert source.expires_at is None
    assert (await ana.conversational.consolidate()).consolidated == ()


async def test_by_importance_and_by_age(memory: VectorMemory) -> None:
    view = memory.for_user("ana").conversational
    await view.add("vital", importance=0.9)
    await view.add("trivial", importance=0.1)
    report = await view.consolidate(IMPORTANT, dry_run=True)
    assert [one.reason for one in report.consolidated] == ["importance"]
    young = ConsolidationPolicy(uses=None, age=timedelta(hours=1))
    assert (await view.consolidate(young)).consolidated == ()
    old = ConsolidationPolicy(uses=None, age=timedelta(microseconds=1))
    assert {one.reason for one in (await view.consolidate(old)).consolidated} == {"age"}
    for wrong in ({"uses": 0}, {"importance": 2.0}, {"uses": None}, {"age": 3}):
        with pytest.raises(InvalidInputError, match="policy"):
            ConsolidationPolicy(**wrong)  # type: ignore[arg-type]


async def test_the_same_said_twice_is_one_lasting_memory(memory: VectorMemory) -> None:
    ana = memory.for_user("ana")
    one = await ana.conversational.add("Ana likes jazz", importance=0.9)
    two = await ana.conversational.add("Ana likes jazz.", importance=0.9)
    await ana.conversational.consolidate(IMPORTANT)
    (entry,) = await ana.semantic.list()
    assert set(entry.metadata.related_memories) == {one.id, two.id}
    assert entry.metadata.custom_fields["times_seen"] == 2


async def test_another_users_are_left_alone(memory: VectorMemory) -> None:
    await memory.conversational.add("Ana likes jazz", user_id="ana", importance=0.9)
    await memory.conversational.add("Ben likes jazz", user_id="ben", importance=0.9)
    await memory.for_user("ana").conversational.consolidate(IMPORTANT)
    assert len(await memory.conversational.list(user_id="ben")) == 1
    assert await memory.semantic.list(user_id="ben") == []


async def test_stopped_at_any_step_nothing_is_lost_and_nothing_doubled(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of the rows fails in turn, before it is made and after."""
    ana = memory.for_user("ana")
    texts = [f"statement number {number}" for number in range(4)]
    texts.append("statement number 0.")  # the same as the first one
    added = [await ana.conversational.add(text, importance=0.9) for text in texts]
    store = await memory._handle.store()
    upsert: Callable[..., Awaitable[None]] = store.rows.upsert
    failures = 0
    for step in range(40):
        steps = 0

        async def failing(*given: Any, stop: int = step, **more: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == stop // 2 + 1:
                if stop % 2:
                    await upsert(*given, **more)
                raise EngineError("rows", "write", "injected", fix="None: it is a test.")
            await upsert(*given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(store.rows, "upsert", failing)
            try:
                await ana.conversational.consolidate(IMPORTANT)
            except EngineError:
                failures += 1
        short = {one.content.strip(".") for one in await ana.conversational.list()}
        lasting = {one.content.strip(".") for one in await ana.semantic.list()}
        assert short | lasting == set(texts[:4]), step
        if not short:
            break
    report = await ana.conversational.consolidate(IMPORTANT)
    assert (report.consolidated, await ana.conversational.list()) == ((), [])
    assert failures >= 5
    entries = {one.content.strip("."): one for one in await ana.semantic.list()}
    assert set(entries) == set(texts[:4])
    assert len(await ana.semantic.list()) == 4
    seen = {text: entries[text].metadata.custom_fields["times_seen"] for text in entries}
    assert seen == {text: 2 if text == texts[0] else 1 for text in texts[:4]}
    cited = {id_ for entry in entries.values() for id_ in entry.metadata.related_memories}
    assert cited == {entry.id for entry in added}
    kept = await store.rows.count(
        Scope.user("ana"), RowFilter(ids=tuple(str(entry.id) for entry in added))
    )
    assert kept == len(added)
