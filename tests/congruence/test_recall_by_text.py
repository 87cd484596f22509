"""An engine that searches text itself gives what a store with a lexical index gives."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.recall.hits import Hits
from tests.congruence.test_recall_in_memory import NOW, QUESTIONS, WHERE, fill
from tests.text_engine import TextDeployment


@pytest.fixture
async def three(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[VectorMemory]]:
    """The same rows with a lexical index, held in memory, and asked of the engine."""
    async with AsyncExitStack() as stack:
        memories = []
        for held in (None, True, False):
            with monkeypatch.context() as patched:
                if held is not None:
                    deployment = TextDeployment(held=held)
                    patched.setattr(
                        "bruno_memory_vec.store.store.deployment_of", lambda url, it=deployment: it
                    )
                memory = await stack.enter_async_context(open_memory("memory://"))
            await fill(memory, random.Random(7))
            memories.append(memory)
        yield memories


def shown(hits: Hits) -> list[tuple[Any, ...]]:
    return [(hit.content, hit.conversation_id, hit.turn, hit.created_at) for hit in hits]


@pytest.mark.parametrize("profile", ["balanced", "fast", "lexical"])
async def test_the_same_hits(three: list[VectorMemory], profile: str) -> None:
    indexed, held, asked = three
    # Of each user once, so that the words of both are held, as they are in the index. Uses count,
    # so all three are asked the same.
    for memory in three:
        await memory.recall("cat", user_id="ben", now=NOW)
        await memory.recall("cat", user_id="ana", now=NOW)
    found = near = 0
    for number, where in enumerate(WHERE):
        for question in (QUESTIONS * 2)[number % 8 :][: 2 if where else 8]:
            call: dict[str, Any] = {"user_id": "ana", "now": NOW, "profile": profile, **where}
            one = await indexed.recall(question, **call)
            same = await held.recall(question, **call)
            assert shown(same) == shown(one), (question, where)
            for mine, theirs in zip(one, same, strict=True):
                assert mine.score == pytest.approx(theirs.score, abs=1e-5)
            assert same.confidence == pytest.approx(one.confidence, abs=1e-5)
            # The engine does not know how rare the words are before it is asked.
            other = await asked.recall(question, **call)
            assert len(other) == len(one)
            found += len(one)
            near += len({*shown(one)} & {*shown(other)})
    assert found > 100
    assert near / found > 0.8


async def test_what_is_held_follows_the_rows(three: list[VectorMemory]) -> None:
    _, held, _ = three
    assert not await held.recall("zebra", user_id="ana", profile="lexical")

    message = Message(role="user", content="a zebra in the garden")
    await held.store_message(message, "c1", user_id="ana")
    (hit, *_) = await held.recall("zebra", user_id="ana", profile="lexical")
    assert hit.content == "a zebra in the garden"
    changed = message.model_copy(update={"content": "an okapi in the garden"})
    await held.store_message(changed, "c1", user_id="ana")
    assert not await held.recall("zebra", user_id="ana", profile="lexical")
    (hit, *_) = await held.recall("okapi", user_id="ana", profile="lexical")
    assert hit.content == "an okapi in the garden"
    await held.delete_messages(message.id)
    assert not await held.recall("okapi", user_id="ana", profile="lexical")


async def test_health_tells_whose_words_are_held(three: list[VectorMemory]) -> None:
    _, held, _ = three
    assert (await held.health())["held_words"] == {"users": 0, "rows": 0}
    await held.recall("cat", user_id="ana", now=NOW)
    snapshot = await (await held._lazy.get()).retriever._held.snapshot(Scope.user("ana"))
    rows = len(snapshot)
    assert rows > 200
    assert snapshot.words.missing(rows) == 0
    assert (await held.health())["held_words"] == {"users": 1, "rows": rows}
