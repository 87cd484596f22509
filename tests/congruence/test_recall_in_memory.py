"""A recall over rows in memory gives what a recall through the engine gives."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import HoldsRows
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rankers import Diversity, Duplicates, Profile, Update
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.recall.profiles import load_profile

NOW = datetime(2026, 3, 1)  # bruno-core's times are naive UTC
WORDS = (
    "cat dog garden roof Lisbon train Ana Ben moved works since last May party cake yesterday "
    "new york red car old bank teacher sister plays violin rain night"
).split()
QUESTIONS = [
    "Where did Ana move last May?",
    "When was the party with cake?",
    "Where do I work now?",
    "new york",
    "What did you tell me of the violin?",
    "zebra",
    "the",
    "cat dog garden roof Lisbon train",
]
WHERE: list[dict[str, Any]] = [
    {},
    {"conversation_id": "c2"},
    {"conversation_id": "nowhere"},
    {"kinds": "memory"},
    {"kinds": "message", "roles": "user"},
    {"roles": ["assistant", "system"], "k": 3},
    {"since": NOW - timedelta(days=40), "until": NOW - timedelta(days=10)},
    {"tags": ["home", "none"]},
    {"memory_types": "fact", "min_importance": 0.4},
    {"min_confidence": 0.95},
    {"include_expired": True, "k": 200},
    {"min_similarity": 0.35},
    {"categories": "nobody's"},
    {"metadata": {"speaker": "Ana"}},
    {"metadata": {"speaker": "Ben", "importance": 0.9}, "k": 3},
    {"metadata": {"place": 1}, "kinds": "memory"},
]
METADATA: list[dict[str, Any]] = [{}, {"speaker": "Ana"}, {"speaker": "Ben", "importance": 0.9}]
_RRF = load_profile("rrf")
PROFILES: dict[str, str | Profile] = {
    **{name: name for name in ("balanced", "fast", "lexical", "semantic")},
    "by their vectors": replace(
        _RRF,
        rank=_RRF.rank.with_steps(Diversity(0.3), Duplicates(0.9), Update(3, 30, 0.5, 0.5)),
    ),
}


def text(rng: random.Random) -> str:
    said = " ".join(rng.choices(WORDS, k=rng.randint(1, 25)))
    return said + rng.choice(["", "?", ". So I moved, and now it is otherwise.", "!"])


async def fill(memory: VectorMemory, rng: random.Random) -> None:
    for number in range(6):
        messages = [
            Message(
                role=rng.choice([MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM]),
                content=text(rng),
                timestamp=NOW - timedelta(days=rng.randint(0, 60), minutes=number),
                metadata=rng.choice(
                    [{}, {"speaker": "Ana"}, {"speaker": "Ben", "importance": 0.9}]
                ),
            )
            for _ in range(40)
        ]
        await memory.store_messages(messages, f"c{number}", user_id="ana" if number < 5 else "ben")
    for number in range(60):
        user = rng.choice(["ana", "ana", "ben"])
        await memory.store_memory(
            MemoryEntry(
                content=text(rng),
                user_id=user,
                memory_type=rng.choice(list(MemoryType)),
                conversation_id=rng.choice([None, "c2"]) if user == "ana" else None,
                expires_at=rng.choice([None, None, NOW, NOW + timedelta(days=90)]),
                created_at=NOW - timedelta(days=number),
                metadata=MemoryMetadata(
                    tags=rng.choice([[], ["home"], ["home", "work"]]),
                    importance=rng.random(),
                    confidence=rng.choice([0.5, 1.0]),
                    custom_fields=rng.choice([{}, {"place": 1}, {"place": True}]),
                ),
            )
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, made once."""
    folder = tmp_path_factory.mktemp("congruence") / "store"

    async def make() -> None:
        async with open_memory(folder) as memory:
            await fill(memory, random.Random(7))

    asyncio.run(make())
    return folder


@pytest.fixture
async def both(folder: Path) -> AsyncIterator[tuple[VectorMemory, VectorMemory]]:
    """The same rows, once in memory and once answered by the engine."""
    first = open_memory(folder, read_only=True)
    second = open_memory(folder, read_only=True, recall_cache_mb=0)
    async with first as in_memory, second as by_engine:
        yield in_memory, by_engine


def shown(hits: Hits) -> list[tuple[Any, ...]]:
    return [
        (hit.id, hit.content, hit.conversation_id, hit.turn, hit.created_at, hit.record)
        for hit in hits
    ]


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_same_hits(both: tuple[VectorMemory, VectorMemory], profile: str) -> None:
    in_memory, by_engine = both
    found = 0
    # Coverage weighs words by the texts of the pool, and of candidates that are equal at the pool's
    # edge either may be in it.
    near = 5e-3 if profile == "balanced" else 1e-5
    for number, where in enumerate(WHERE):
        # Three of the questions each; all of them where nothing is left out.
        for question in (QUESTIONS * 2)[number % 8 :][: 3 if where else 8]:
            asked = {"user_id": "ana", "now": NOW, "profile": PROFILES[profile], **where}
            one = await in_memory.recall(question, **asked)
            other = await by_engine.recall(question, **asked)
            assert shown(one) == shown(other), (question, where)
            for mine, theirs in zip(one, other, strict=True):
                assert mine.score == pytest.approx(theirs.score, abs=near)
                assert mine.signals == pytest.approx(theirs.signals, abs=near)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            found += len(one)
    assert found > 200
    assert (await in_memory.health())["rows"]["cache"]["hits"] > 30


@pytest.fixture(scope="module")
def forked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, with some of its messages in many conversations, a few of them changed."""
    copy = tmp_path_factory.mktemp("congruence") / "forked"
    shutil.copytree(folder, copy)

    async def fork() -> None:
        rng = random.Random(11)
        async with open_memory(copy) as memory:
            history = (await memory.retrieve_messages("c1"))[::-1]
            for number in range(30):
                part = history[: rng.randint(1, 12)]
                if number % 3 == 0:
                    part[-1] = part[-1].model_copy(update={"content": text(rng)})
                own = Message(role=MessageRole.USER, content=text(rng), timestamp=NOW)
                await memory.store_messages([*part, own], f"fork {number}", user_id="ana")

    asyncio.run(fork())
    return copy


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_same_hits_where_there_are_copies(forked: Path, profile: str) -> None:
    first = open_memory(forked, read_only=True)
    second = open_memory(forked, read_only=True, recall_cache_mb=0)
    async with first as in_memory, second as by_engine:
        for number, where in enumerate([*WHERE, {"conversation_id": "fork 4"}]):
            question = QUESTIONS[number % len(QUESTIONS)]
            asked = {"user_id": "ana", "now": NOW, "profile": PROFILES[profile], **where}
            one = await in_memory.recall(question, **asked)
            other = await by_engine.recall(question, **asked)
            assert shown(one) == shown(other), (question, where)
            assert len({(hit.kind, hit.id) for hit in one}) == len(one)
            if not where:
                assert len(one) == 10


@pytest.fixture(scope="module")
def archived(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, with every third row archived."""
    copy = tmp_path_factory.mktemp("congruence") / "archived"
    shutil.copytree(folder, copy)
    at = micros(NOW.replace(tzinfo=timezone.utc) - timedelta(days=1))

    async def archive() -> None:
        async with open_memory(copy) as memory:
            writer = await memory._lazy.writer()
            await writer.rewrite(
                Scope.all_users(),
                RowFilter(),
                lambda row: None if row["seq"] % 3 else {"archived_at": at},
            )

    asyncio.run(archive())
    return copy


async def test_the_same_hits_where_rows_are_archived(archived: Path) -> None:
    first = open_memory(archived, read_only=True)
    second = open_memory(archived, read_only=True, recall_cache_mb=0)
    async with first as in_memory, second as by_engine:
        found = dict.fromkeys((True, False, None), 0)
        for number, where in enumerate(WHERE):
            # Neither in memory nor by the engine; and asked for, and as of before.
            for more, shows in (
                ({}, False),
                ({"include_archived": True}, True),
                ({"as_of": NOW - timedelta(days=2), "now": None, "since": None}, None),
            ):
                question = QUESTIONS[number % len(QUESTIONS)]
                asked = {"user_id": "ana", "now": NOW, **where, **more}
                one = await in_memory.recall(question, **asked)
                other = await by_engine.recall(question, **asked)
                assert shown(one) == shown(other), (question, where, more)
                found[shows] += sum(hit.archived for hit in one)
        assert found[False] == 0
        assert found[True] > 20
        assert found[None] > 20
        held = capability((await in_memory._lazy.get()).rows, HoldsRows)
        assert held is not None
        snapshot = await held.snapshot(
            Scope.user("ana"), RowFilter(unarchived_at=NOW.replace(tzinfo=timezone.utc))
        )
        assert snapshot is not None
        assert not snapshot.table.column("archived_at").is_valid().to_numpy().any()
        assert await held.snapshot(Scope.user("ana")) is None


async def test_uses_that_are_not_written_yet_count(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store") as memory:
        ids = []
        for _ in range(2):
            message = Message(role=MessageRole.USER, content="The cat sat on the roof.")
            await memory.store_message(message, "c", user_id="ana")
            ids.append(str(message.id))
        first = await memory.recall("cat on the roof", user_id="ana", k=1)
        assert first[0].signals["use"] == 0.0
        again = await memory.recall("cat on the roof", user_id="ana", k=1)
        assert again[0].id == first[0].id
        assert again[0].signals["use"] > 0.0


async def test_a_row_that_came_after_a_snapshot_is_not_in_it(tmp_path: Path) -> None:
    """The arrays grow in place; what was taken from them before stays as it was."""
    from bruno_memory_vec.indexers.forwarding import capability
    from bruno_memory_vec.indexers.protocols import HoldsRows
    from bruno_memory_vec.indexers.query import RowFilter, Scope

    async with open_memory(tmp_path / "store") as memory:
        await fill(memory, random.Random(3))
        await memory.recall("cat", user_id="ana")
        store = await memory._lazy.get()
        held = capability(store.rows, HoldsRows)
        assert held is not None
        snapshot = await held.snapshot(Scope.user("ana"))
        assert snapshot is not None
        count, last = len(snapshot), int(snapshot.columns["seq"][-1])
        row = snapshot.find(snapshot.columns["seq"][snapshot.columns["turn"] == 39])[0]
        message = Message(role=MessageRole.USER, content="One more.")
        await memory.store_message(message, "c0", user_id="ana")
        later = await held.snapshot(Scope.user("ana"))
        assert later is not None
        assert len(later) == count + 1
        assert len(snapshot) == count
        assert int(snapshot.columns["seq"][-1]) == last
        assert all(other < count for other in snapshot.beside(row.tolist(), 2))
        assert any(other == count for other in later.beside(row.tolist(), 2))
        found = await store.rows.search(snapshot.vectors[0], Scope.user("ana"), RowFilter(), 500)
        assert int(found.seq.max()) > last


async def test_hits_are_the_callers_own(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store") as memory:
        stored = Message(role=MessageRole.USER, content="The cat.", metadata={"tags": ["a"]})
        await memory.store_message(stored, "c", user_id="ana")
        for _ in range(2):
            (hit,) = await memory.recall("cat", user_id="ana")
            assert hit.record.metadata == {"tags": ["a"]}
            assert hit.created_at.tzinfo is timezone.utc
            assert isinstance(hit.record, Message)
            hit.record.metadata["tags"].append("b")
