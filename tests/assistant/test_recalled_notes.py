"""Which of the recalled hits a prompt carries as notes about the user."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import Hit, VectorMemory, open_memory
from bruno_memory_vec.conversations.context import (
    estimate_tokens,
    hits_for_prompt,
    recalled_message,
)

SYSTEM, USER, ASSISTANT = MessageRole.SYSTEM, MessageRole.USER, MessageRole.ASSISTANT
QUESTION = "What did the boiler cost?"


async def notes(memory: VectorMemory, question: str = QUESTION) -> list[str]:
    """The notes in the prompt to a question: their texts, best first."""
    context = await memory.get_context("ana", "now")
    message = Message(role=USER, content=question)
    context.add_message(message)
    await memory.store_message(message, "now", user_id="ana")
    told = [m.content for m in context.messages if m.content.startswith("Recalled from memory")]
    assert len(told) <= 1
    lines = told[0].splitlines()[1:] if told else []
    return [line.split("] ", 1)[1] for line in lines]


async def said(memory: VectorMemory, text: str, talk: str = "old", role: Any = USER) -> None:
    await memory.store_message(Message(role=role, content=text), talk, user_id="ana")


def memory_of(text: str, **fields: Any) -> MemoryEntry:
    return MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id="ana", **fields)


async def test_what_an_assistant_was_told_to_be_is_no_note_about_a_user() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await said(memory, "You answer what a boiler did cost.", role=SYSTEM)
        await said(memory, "The boiler cost 386 euros.")
        await said(memory, "So the boiler cost a lot.", role=ASSISTANT)
        found = await memory.recall(QUESTION, user_id="ana")
        assert "system" in {hit.speaker for hit in found}
        told = await notes(memory)
        assert sorted(told) == ["So the boiler cost a lot.", "The boiler cost 386 euros."]


async def test_what_only_fills_a_recall_is_not_told() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await said(memory, "The boiler did cost 386 euros.", "a")
        await said(memory, "Zebras graze at dusk.", "b")
        found = await memory.recall(QUESTION, user_id="ana")
        assert len(found) == 2
        assert 0 < found[1].score < 0.4 * found[0].score
        assert await notes(memory) == ["The boiler did cost 386 euros."]


async def test_a_text_that_was_said_twice_is_told_once() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for talk in ("a", "b", "c"):
            await said(memory, "The boiler cost 386 euros.", talk)
        await said(memory, "The boiler cost too much.", "d")
        assert sorted(await notes(memory)) == [
            "The boiler cost 386 euros.",
            "The boiler cost too much.",
        ]


async def test_an_expired_memory_is_not_told() -> None:
    now = datetime.now(timezone.utc)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_memories(
            [
                memory_of("The boiler cost 386 euros.", expires_at=now - timedelta(hours=1)),
                memory_of("The boiler cost 400 euros.", expires_at=now + timedelta(hours=1)),
                memory_of("The boiler cost much."),
                memory_of("Zebras graze at dusk."),
            ]
        )
        every = await memory.recall(QUESTION, user_id="ana", include_expired=True)
        # What has expired would be told, if it had not.
        assert "386" in " ".join(hit.content for hit in hits_for_prompt(every, 9))
        assert sorted(await notes(memory)) == [
            "The boiler cost 400 euros.",
            "The boiler cost much.",
        ]


def hit(content: str, score: float, speaker: MessageRole = USER, number: int = 0) -> Hit:
    record = Message(role=speaker, content=content)
    at = datetime(2024, 5, 6, tzinfo=timezone.utc)
    return Hit(str(number), content, score, {"lexical": score}, "talk", 0, at, record)


def test_a_share_of_the_best_is_reckoned_from_the_best_that_is_told() -> None:
    hits = [hit("rules", 9.0, SYSTEM), hit("best", 1.0), hit("just", 0.4), hit("less", 0.39)]
    assert [one.content for one in hits_for_prompt(hits, 9)] == ["best", "just"]


def test_scores_are_compared_with_each_other_alone() -> None:
    for scale in (1e-4, 1.0, 1e4):
        hits = [hit("best", scale), hit("near", scale / 2), hit("far", scale / 3)]
        assert [one.content for one in hits_for_prompt(hits, 9)] == ["best", "near"]


def test_of_equal_texts_the_best_is_told() -> None:
    hits = [hit("same", 1.0, number=1), hit("other", 0.9, number=2), hit("same", 0.8, number=3)]
    assert [one.id for one in hits_for_prompt(hits, 9)] == ["1", "2"]


@pytest.mark.parametrize("k", [0, 1, 2])
def test_so_many_are_told(k: int) -> None:
    hits = [hit("same", 1.0), hit("same", 1.0), hit("b", 0.9), hit("c", 0.8)]
    assert [one.content for one in hits_for_prompt(hits, k)] == ["same", "b"][:k]


@pytest.mark.parametrize("budget", range(90, 106))
def test_the_beginning_of_a_long_text_is_told_whatever_the_budget(budget: int) -> None:
    """Where it is cut there may be a space, or several, which leave room."""
    told = recalled_message([hit("ab" + "   cd" * 400, 1.0)], budget)
    assert told is not None
    assert told.content.endswith("…")
    assert estimate_tokens(told.content) <= budget
