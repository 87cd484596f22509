"""``memory://`` answers as a folder does, hit by hit, also while it is written."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.surfaces import demo
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.writing import writer
from tests.durability.support import rows_of, words_committed

NOW = datetime(2026, 9, 30)


async def fill(memory: VectorMemory) -> None:
    """A year of conversations; then some are deleted, some replaced, and one goes on."""
    turns = demo.turns()
    for name, said in groupby(turns, key=lambda turn: turn.conversation_id):
        told = list(said)
        await memory.store_messages([one.message for one in told], name, user_id=told[0].user_id)
    facts = demo.memories()
    await memory.store_memories(facts)
    names = list(dict.fromkeys(turn.conversation_id for turn in turns))
    await memory.clear_history(names[3], keep_system_messages=False)
    await memory.delete_messages([turn.message.id for turn in turns[5::17]])
    await memory.delete_memory(str(facts[1].id))
    for turn in turns[7::23]:
        held = await memory.get_message(turn.message.id)
        if held is not None:
            changed = held.model_copy(update={"content": f"{held.content} Lisbon, that is."})
            await memory.store_message(changed, turn.conversation_id, user_id=turn.user_id)
    await memory.store_memory(facts[2].model_copy(update={"content": "Something else by now."}))


@pytest.fixture
async def both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[VectorMemory, VectorMemory]]:
    # A row that was deleted counts in Tantivy's statistics until its segment is merged, so both
    # have to commit at the same moments: once, below.
    monkeypatch.setattr(writer, "LEXICAL_DELAY", 600.0)
    async with open_memory("memory://") as one, open_memory(tmp_path / "store") as other:
        for memory in (one, other):
            await fill(memory)
            # Words are weighed by everyone's average length, which is that of committed rows.
            await words_committed(memory)
        yield one, other


def shown(hits: Hits) -> list[tuple[Any, ...]]:
    return [
        (hit.id, hit.content, hit.conversation_id, hit.turn, hit.created_at, hit.record)
        for hit in hits
    ]


async def agree(one: VectorMemory, other: VectorMemory, question: str, **asked: Any) -> int:
    mine = await one.recall(question, now=NOW, **asked)
    theirs = await other.recall(question, now=NOW, **asked)
    assert shown(mine) == shown(theirs), (question, asked)
    for hit, like in zip(mine, theirs, strict=True):
        assert hit.score == pytest.approx(like.score, abs=1e-4)
        assert hit.signals == pytest.approx(like.signals, abs=1e-4)
    assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-4)
    return len(mine)


async def test_the_same_hits(both: tuple[VectorMemory, VectorMemory]) -> None:
    found = 0
    for asked in demo.questions():
        found += await agree(*both, asked.question, user_id=asked.user_id)
    wheres: list[dict[str, Any]] = [
        {"kinds": "memory"},
        {"roles": "user", "k": 25},
        {"since": NOW - timedelta(days=90)},
        {"until": NOW - timedelta(days=90), "kinds": "message"},
        {"conversation_id": demo.questions()[0].conversation_id},
        {"min_importance": 0.6},
        {"min_similarity": 0.3},
        {"min_confidence_of_answer": 0.5},
        {"profile": "fast"},
        {"profile": "lexical"},
        {"profile": "semantic"},
        {"user_id": ALL_USERS, "k": 30},
    ]
    for number, where in enumerate(wheres * 2):
        asked = demo.questions()[number % len(demo.questions())]
        found += await agree(*both, asked.question, **{"user_id": asked.user_id, **where})
    assert found > 300


async def test_the_same_lists(both: tuple[VectorMemory, VectorMemory]) -> None:
    one, other = both
    assert await one.list_users() == await other.list_users()
    for user in ("ana", "ben"):
        talks = await one.list_conversations(user, limit=None)
        assert talks == await other.list_conversations(user, limit=None)
        assert await one.list_memories(user, limit=7) == await other.list_memories(user, limit=7)
        assert await one.get_statistics(user) == await other.get_statistics(user)
        for talk in talks[:5]:
            name = talk.conversation_id
            assert await one.read_turns(name) == await other.read_turns(name)
            assert await one.retrieve_messages(name, 3) == await other.retrieve_messages(name, 3)
            mine, theirs = await one.get_context(user, name), await other.get_context(user, name)
            assert mine.messages == theirs.messages
    assert not (await one.maintain()).problems


@pytest.mark.parametrize("large", [0, 1_200])
async def test_reading_beside_writing(large: int) -> None:
    """Recalls, contexts and lists, in threads and not, while rows come, change and go."""
    rng = random.Random(large)
    async with open_memory("memory://", embedder=HashEmbedder()) as memory:
        if large:
            await memory.store_messages(
                [_said(f"ballast {n} garden") for n in range(large)], "ballast", user_id="u0"
            )
        kept: dict[str, str] = {}
        gone: set[str] = set()
        over = asyncio.Event()

        async def write(user: str, talk: str) -> None:
            own: list[Message] = []
            for number in range(12):
                what = rng.random()
                if what < 0.6 or not own:
                    more = [_said(f"{talk} {number} {n} garden") for n in range(rng.choice([1, 9]))]
                    await memory.store_messages(more, talk, user_id=user)
                    own += more
                    kept.update((str(one.id), one.content) for one in more)
                elif what < 0.8:
                    at = rng.randrange(len(own))
                    own[at] = own[at].model_copy(update={"content": f"{talk} {number} changed"})
                    await memory.store_message(own[at], talk, user_id=user)
                    kept[str(own[at].id)] = own[at].content
                else:
                    out = own.pop(rng.randrange(len(own)))
                    kept.pop(str(out.id))
                    assert await memory.delete_messages(out.id) == 1
                    gone.add(str(out.id))
                if own:
                    # What was acknowledged is there, and found.
                    hits = await memory.recall(
                        own[-1].content, user_id=user, conversation_id=talk, k=200
                    )
                    assert str(own[-1].id) in {hit.id for hit in hits}

        async def read(user: str) -> None:
            while not over.is_set():
                before = set(gone)
                hits = await memory.recall("garden", user_id=user, k=100)
                assert before.isdisjoint(hit.id for hit in hits)
                await memory.recall("garden changed", user_id=ALL_USERS)
                await memory.get_context(user, f"{user} talk 0")
                await memory.list_conversations(user)
                await memory.list_users()
                await memory.get_statistics(user)
                await memory.read_turns(f"{user} talk 1")
                await asyncio.sleep(0)

        readers = [asyncio.create_task(read(f"u{n}")) for n in range(3)]
        await asyncio.gather(
            *(write(f"u{n}", f"u{n} talk {talk}") for n in range(3) for talk in range(3))
        )
        over.set()
        await asyncio.gather(*readers)
        rows = {row["id"]: row["content"] for row in await rows_of(memory)}
        assert {key: text for key, text in rows.items() if "ballast" not in text} == kept
        assert len(rows) == len(kept) + large
        assert not (await memory.maintain()).problems


def _said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)
