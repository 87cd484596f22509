"""A recall where something was said, or asked, again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory

START = datetime(2025, 3, 1, 9)
TIMES = 40
FACT = "The car is in the Rossio garage now, level 3, next to the lift."
ASKED = (
    "Where did I park my car?",
    "where did i park my car",
    "Hi Bruno, where did I park my car?",
    "Where did I park the car?",
    "WHERE DID I PARK MY CAR??",
    "Where did I park my car, please?",
)
UNKNOWN = (
    "I don't know where you parked your car.",
    "I'm sorry, I don't have that information.",
    "You haven't told me where you parked your car.",
    "I have no record of where you parked your car.",
)
ANSWERED = (
    "You parked on level 3 of the Rossio garage.",
    "You parked your car in the Rossio garage, level 3.",
)


@pytest.fixture(params=["memory://", "folder"])
async def memory(request: Any, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = "memory://" if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url) as opened:
        yield opened


async def talk(memory: VectorMemory, name: str, texts: Sequence[str], first: datetime) -> None:
    """A conversation in which the user begins, and the assistant and the user take turns."""
    await memory.store_messages(
        [
            Message(
                role=("user", "assistant")[turn % 2],
                content=text,
                timestamp=first + timedelta(minutes=turn),
            )
            for turn, text in enumerate(texts)
        ],
        name,
        user_id="ana",
    )


async def ask_often(
    memory: VectorMemory, asked: Sequence[str], told: Sequence[str], *, once_a_talk: bool
) -> None:
    """The fact, other talks, and then the question again and again."""
    await talk(memory, "fact", [FACT, "Noted: level 3, next to the lift."], START)
    for number in range(12):
        said = [f"Lunch number {number} was soup, by the river.", "How was the soup?"] * 2
        await talk(memory, f"lunch {number}", said, START + timedelta(days=1 + number))
    pairs = [(asked[n % len(asked)], told[n % len(told)]) for n in range(TIMES)]
    if once_a_talk:
        for number, pair in enumerate(pairs):
            await talk(memory, f"ask {number}", pair, START + timedelta(days=20 + number))
    else:
        texts = [text for pair in pairs for text in pair]
        await talk(memory, "ask", texts, START + timedelta(days=20))


@pytest.mark.parametrize("once_a_talk", [False, True])
@pytest.mark.parametrize("asked", [ASKED[:1], ASKED], ids=["equal", "nearly"])
@pytest.mark.parametrize("told", [UNKNOWN[:1], UNKNOWN, ANSWERED], ids=["no", "noes", "answers"])
async def test_a_question_asked_again_and_again_buries_no_answer(
    told: Sequence[str], asked: Sequence[str], *, once_a_talk: bool
) -> None:
    async with open_memory("memory://") as memory:
        await ask_often(memory, asked, told, once_a_talk=once_a_talk)
        hits = await memory.recall(ASKED[0], user_id="ana")
        first = [hit.content for hit in hits[:3]]
        assert FACT in first
        assert not set(first) & {*ASKED, *UNKNOWN}
        # Those that stand for the others are there, at the end.
        assert not any(hit.content in {*ASKED, *UNKNOWN} for hit in hits[:5])


async def test_in_a_folder_and_in_the_assistants_context(memory: VectorMemory) -> None:
    await ask_often(memory, ASKED, UNKNOWN, once_a_talk=False)
    assert (await memory.recall(ASKED[0], user_id="ana"))[0].content == FACT
    for conversation in ("ask", "new"):
        context = await memory.get_context("ana", conversation)
        message = Message(role="user", content=ASKED[1])
        context.add_message(message)
        await memory.store_message(message, conversation, user_id="ana")
        (notes,) = (m.content for m in context.messages if m.content.startswith("Recalled"))
        assert FACT in notes
        assert "park" not in notes.partition("<notes>")[2]


async def test_more_than_the_candidates_hold(memory: VectorMemory) -> None:
    await talk(memory, "fact", [FACT], START)
    texts = [text for n in range(150) for text in (ASKED[n % 6], UNKNOWN[n % 4])]
    await talk(memory, "ask", texts, START + timedelta(days=1))
    assert (await memory.recall(ASKED[0], user_id="ana"))[0].content == FACT


async def test_equal_statements_take_one_place(memory: VectorMemory) -> None:
    tea = (
        "My favourite tea is jasmine.",
        "my favourite tea is jasmine",
        "Hey, my favourite tea is jasmine!",
    )
    other = "My favourite tea at work is mint."
    await talk(memory, "work", [other], START)
    for number in range(30):
        await talk(memory, f"tea {number}", [tea[number % 3]], START + timedelta(days=1 + number))
    hits = await memory.recall("What is my favourite tea?", user_id="ana")
    assert [(hit.content, hit.repeats) for hit in hits] == [(tea[29 % 3], 29), (other, 0)]
    assert hits[0].conversation_id == "tea 29"
    assert [hit.to_dict()["repeats"] for hit in hits] == [29, 0]
    then = START + timedelta(days=10)
    (first, _) = await memory.recall("What is my favourite tea?", user_id="ana", as_of=then)
    assert (first.conversation_id, first.repeats) == ("tea 9", 9)


async def test_memories_of_one_text_take_one_place(memory: VectorMemory) -> None:
    for number in range(30):
        await memory.store_memory(
            MemoryEntry(
                content="Ana drinks jasmine tea.",
                memory_type=MemoryType.FACT,
                user_id="ana",
                created_at=START + timedelta(days=number),
            )
        )
    (hit,) = await memory.recall("tea", user_id="ana")
    assert hit.repeats == 29
    assert hit.created_at.day == (START + timedelta(days=29)).day


async def test_what_others_said_and_what_is_short_is_no_repeat(memory: VectorMemory) -> None:
    await talk(memory, "a", ["The violin is here.", "The violin is here.", "A violin!"], START)
    await talk(memory, "b", ["A violin!"], START)
    message = Message(role="user", content="The violin is here.", timestamp=START)
    await memory.store_message(message, "bo's", user_id="bo")
    hits = await memory.recall("violin", user_id=ALL_USERS)
    assert len(hits) == 5
    assert {hit.repeats for hit in hits} == {0}


async def test_of_what_was_said_again_the_one_of_the_named_time_is_shown(
    memory: VectorMemory,
) -> None:
    for month in (3, 4, 5):
        first = START.replace(month=month)
        await talk(memory, f"month {month}", ["The violin lesson was cancelled."], first)
    for question, shown in (("the violin lesson", 5), ("the violin lesson in April 2025", 4)):
        (hit,) = await memory.recall(question, user_id="ana", now=START.replace(month=6))
        assert (hit.conversation_id, hit.repeats) == (f"month {shown}", 2)


async def test_a_statement_that_is_looked_for_by_its_words_is_found(memory: VectorMemory) -> None:
    await talk(memory, "fact", [FACT, "Noted."], START)
    await talk(memory, "other", ["The lift is next to the garage."], START)
    assert (await memory.recall(FACT, user_id="ana"))[0].content == FACT


async def test_a_question_that_was_asked_is_found_where_nothing_answers(
    memory: VectorMemory,
) -> None:
    await talk(memory, "ask", [ASKED[0], UNKNOWN[0]], START)
    hits = await memory.recall(ASKED[0], user_id="ana")
    assert {hit.content for hit in hits} == {ASKED[0], UNKNOWN[0]}
