"""Rows by their priority, and pruning by policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import MessageRole

from bruno_memory_vec import (
    ALL_USERS,
    PriorityWeights,
    PrunePolicy,
    PruneReport,
    VectorMemory,
    open_memory,
)
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, ReadOnlyError
from bruno_memory_vec.knowledge.priorities import ranking
from bruno_memory_vec.testing.memory_suite import noted, said

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
OLD = NOW.replace(tzinfo=None) - timedelta(days=400)
CALM = PriorityWeights(emotion=0)


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


def aged(content: str, importance: float = 0.1, **fields: Any) -> Any:
    fields = {"created_at": OLD, "updated_at": OLD, "last_accessed": OLD, **fields}
    return noted(content, importance=importance, **fields)


def policy(**fields: Any) -> PrunePolicy:
    return PrunePolicy(**{"keep": 0, "weights": CALM, **fields})


async def left(memory: VectorMemory, user: str = "ana") -> set[str]:
    return {one.content for one in await memory.list_memories(user)}


async def test_rows_by_priority(memory: VectorMemory) -> None:
    await memory.store_memories([aged("low"), aged("high", 0.9), aged("pinned", 0.0)])
    await memory.store_message(said("said", timestamp=OLD), "talk", user_id="ana")
    await memory.store_memory(noted("another's", "bo"))
    (pinned,) = [one for one in await memory.list_memories("ana") if one.content == "pinned"]
    await memory.pin(pinned.id)
    found = await memory.priorities("ana", weights=CALM, now=NOW)
    assert [row.content for row in found] == ["pinned", "high", "said", "low"]
    assert [row.pinned for row in found] == [True, False, False, False]
    for row in found[1:]:
        assert sum(row.parts.values()) == pytest.approx(row.score)
    lowest = await memory.priorities("ana", weights=CALM, now=NOW, lowest_first=True, limit=1)
    assert [row.content for row in lowest] == ["low"]
    said_only = await memory.priorities("ana", kinds="message", weights=CALM, now=NOW)
    assert [row.content for row in said_only] == ["said"]
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.priorities()


async def test_a_row_that_was_recalled_ranks_higher_at_once(memory: VectorMemory) -> None:
    await memory.store_memories([aged("zebra"), aged("giraffe")])
    await memory.recall("giraffe", user_id="ana", k=1)
    found = await memory.priorities("ana", weights=CALM, now=NOW)
    assert [row.content for row in found] == ["giraffe", "zebra"]
    assert found[0].parts["use"] > 0


async def test_a_dry_run_says_what_the_run_then_does(memory: VectorMemory) -> None:
    await memory.store_memories([aged(f"low {n}") for n in range(12)])
    await memory.store_memories([aged("high", 0.9), noted("young", importance=0.0)])
    dry = await memory.prune("ana", policy=policy(), now=NOW)
    assert (dry.dry_run, dry.examined, len(dry.pruned)) == (True, 14, 12)
    assert len(await left(memory)) == 14
    told = str(dry)
    assert told.startswith("12 of 14 rows would be archived")
    assert "and 2 more" in told
    assert "priority below 0.25" in told
    done = await memory.prune("ana", policy=policy(), now=NOW, dry_run=False)
    assert [row.id for row in done.pruned] == [row.id for row in dry.pruned]
    assert await left(memory) == {"high", "young"}
    assert len(await memory.list_memories("ana", include_archived=True)) == 14
    assert done.to_dict()["pruned"][0].keys() >= {"id", "score", "parts", "reason"}
    again = await memory.prune("ana", policy=policy(), now=NOW, dry_run=False)
    assert (again.examined, again.pruned) == (2, ())


async def test_deleted_is_gone(memory: VectorMemory) -> None:
    await memory.store_memories([aged("zebra"), aged("high", 0.9)])
    await memory.prune("ana", policy=policy(action="delete"), now=NOW, dry_run=False)
    assert [one.content for one in await memory.list_memories("ana", include_archived=True)] == [
        "high"
    ]


async def test_what_is_never_pruned(memory: VectorMemory) -> None:
    pinned, summary = aged("pinned", 0.0), aged("summary", 0.0)
    await memory.store_memories([pinned, aged("low", 0.0)])
    await memory.store_memory(summary, origin="summary")
    rules = said("rules", MessageRole.SYSTEM, timestamp=OLD, metadata={"importance": 0.0})
    chat = said("chat", timestamp=OLD, metadata={"importance": 0.0})
    await memory.store_messages([rules, chat], "talk", user_id="ana")
    await memory.pin(pinned.id)
    both = policy(kinds=("memory", "message"), below=1.0)
    report = await memory.prune("ana", policy=both, now=NOW, dry_run=False)
    assert {row.content for row in report.pruned} == {"low", "chat"}


async def test_how_many_are_kept_at_least_and_at_most(memory: VectorMemory) -> None:
    await memory.store_memories([aged(f"{n}", n / 10) for n in range(10)])
    await memory.store_memories([aged("bo's", user_id="bo")])
    most = await memory.prune("ana", policy=policy(below=0, most=7), now=NOW)
    assert {row.content for row in most.pruned} == {"0", "1", "2"}
    assert {row.reason for row in most.pruned} == {"more than 7 rows"}
    keep = await memory.prune("ana", policy=policy(below=1, keep=8), now=NOW)
    assert {row.content for row in keep.pruned} == {"0", "1"}
    # Each user by itself.
    all_of_them = policy(below=1, keep=1)
    report = await memory.prune(ALL_USERS, policy=all_of_them, now=NOW, dry_run=False)
    assert len(report.pruned) == 9
    assert await left(memory, "bo") == {"bo's"}


async def test_a_view_prunes_its_user_only(memory: VectorMemory) -> None:
    await memory.store_memories([aged("mine"), aged("bo's", user_id="bo")])
    view = memory.for_user("ana")
    await view.prune(policy=policy(), now=NOW, dry_run=False)
    assert await left(memory) == set()
    assert await left(memory, "bo") == {"bo's"}
    with pytest.raises(ForeignUserError):
        await view.prune("bo", policy=policy())
    with pytest.raises(ForeignUserError):
        await view.priorities(ALL_USERS)


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_a_row_that_is_pinned_meanwhile_stays(
    memory: VectorMemory, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, low = aged("saved in time"), aged("low")
    await memory.store_memories([saved, low])
    read, go_on = asyncio.Event(), asyncio.Event()
    scored = ranking._scored

    async def slowly(*args: Any) -> Any:
        async for part in scored(*args):
            yield part
        read.set()
        await go_on.wait()

    monkeypatch.setattr(ranking, "_scored", slowly)
    pruning = asyncio.ensure_future(
        memory.prune("ana", policy=policy(action=action), now=NOW, dry_run=False)
    )
    await read.wait()
    await memory.pin(saved.id)
    go_on.set()
    report = await pruning
    assert report.changed_meanwhile == 1
    assert await left(memory) == {"saved in time"}
    assert "1 were changed meanwhile" in str(report)


async def test_a_reader_may_only_look(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_memory(aged("low"))
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as reader:
        report = await reader.prune("ana", policy=policy(), now=NOW)
        assert len(report.pruned) == 1
        with pytest.raises(ReadOnlyError):
            await reader.prune("ana", policy=policy(), now=NOW, dry_run=False)
        with pytest.raises(ReadOnlyError):
            await reader.pin(report.pruned[0].id)


async def test_marks_and_pruning_survive_closing(tmp_path: Path) -> None:
    pinned, low = aged("pinned"), aged("low")
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_memories([pinned, low])
        await memory.pin(pinned.id)
        await memory.prune("ana", policy=policy(), now=NOW, dry_run=False)
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert [one.content for one in await memory.list_pinned("ana")] == ["pinned"]
        assert await left(memory) == {"pinned"}
        assert await memory.recall("low", user_id="ana", include_archived=True, k=1)
        report = await memory.maintain()
        assert not report.problems


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"below": 2}, "policy.below"),
        ({"most": -1}, "policy.most"),
        ({"keep": "all"}, "policy.keep"),
        ({"older_than": 30}, "policy.older_than"),
        ({"kinds": ["fact"]}, "kinds"),
        ({"kinds": ()}, "policy.kinds"),
        ({"memory_types": ["dream"]}, "memory_types"),
        ({"action": "burn"}, "policy.action"),
        ({"weights": {}}, "policy.weights"),
    ],
)
def test_policies_that_are_not_usable(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        PrunePolicy(**fields)


def test_the_report_says_what_did_not_count() -> None:
    report = PruneReport(False, "archive", 3, (), 0, ("emotion (pip install x)",))
    assert str(report).splitlines() == [
        "0 of 3 rows archived",
        "not counted: emotion (pip install x)",
    ]


async def test_a_message_in_several_conversations_is_one_row(memory: VectorMemory) -> None:
    words = ["one", "two", "three"]
    said_then = [said(word, timestamp=OLD + timedelta(days=n)) for n, word in enumerate(words)]
    await memory.store_messages(said_then, "talk", user_id="ana")
    await memory.pin(said_then[0].id)
    for _ in range(2):
        await memory.conversations.fork("talk")
    assert [one.content for one in await memory.list_pinned("ana")] == ["one"]
    found = await memory.priorities("ana", weights=CALM, now=NOW)
    assert sorted(row.content for row in found) == sorted(words)
    assert [one.content for one in await memory.retrieve_context("ana", "", 2)] == words[1:]
    assert [one.content for one in await memory.search_memories("ana", "", 2)] == ["three", "two"]
    # Of the three, one may go: the older one that is not pinned, wherever it is.
    for action in ("archive", "delete"):
        chosen = policy(below=0, most=2 if action == "archive" else 1, kinds="message")
        report = await memory.prune(
            "ana", policy=replace(chosen, action=action), dry_run=False, now=NOW
        )
        assert (len(report.pruned), report.changed_meanwhile) == (1, 0)
        assert report.examined == (3 if action == "archive" else 2)
        hits = await memory.recall("one two three", user_id="ana", k=20)
        words.remove(report.pruned[0].content)
        assert sorted(hit.content for hit in hits) == sorted(words)
    assert words == ["one"]
