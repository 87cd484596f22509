"""The parts of a context: pinned, known, summed up, recalled, recent; and what is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest
import pytest_asyncio
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import CompressionPolicy, VectorMemory, open_memory
from bruno_memory_vec.context import BuiltContext, Strategy
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError

START = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)
NOW = START + timedelta(days=30)


def said(role: str, content: str, minute: int = 0, **metadata: object) -> Message:
    return Message(
        role=MessageRole(role),
        content=content,
        timestamp=START + timedelta(minutes=minute),
        metadata=metadata,
    )


def known(content: str, **changes: object) -> MemoryEntry:
    metadata = MemoryMetadata(importance=float(changes.pop("importance", 0.5)))  # type: ignore[arg-type]
    return MemoryEntry(
        content=content,
        memory_type=MemoryType.FACT,
        user_id="ana",
        metadata=metadata,
        created_at=START,
        **changes,
    )


def texts(built: BuiltContext, source: str) -> list[str]:
    return [item.text for item in built.report.items if item.source == source]


@pytest_asyncio.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://") as opened:
        yield opened


async def test_what_is_pinned_is_there_whatever_the_question(memory: VectorMemory) -> None:
    nuts = known("Ana must not eat nuts.")
    await memory.store_memories([nuts, known("Ana has a bicycle.")])
    assert "nuts" not in (await memory.build_context("bicycle?", user_id="ana", budget=160)).text
    await memory.pin(nuts.id, user_id="ana")
    built = await memory.build_context("bicycle?", user_id="ana", budget=160, now=NOW)
    assert texts(built, "pinned") == ["Ana must not eat nuts."]
    assert "Pinned:\n[m1] 2024-05-06 fact: " in built.text
    assert texts(built, "recalled") == ["Ana has a bicycle."]


async def test_the_users_profile(memory: VectorMemory) -> None:
    user = UserContext(user_id="ana", name="Ana", preferences={"units": "metric"})
    await memory.save_user(user)
    built = await memory.build_context("How far is it?", user_id="ana", now=NOW)
    assert texts(built, "profile") == ["Ana", "metric"]
    assert 'About the user:\n[m1] name: "Ana"\n' in built.text
    alone = await memory.build_context(
        "How far is it?", user_id="ana", strategy="sliding_window", now=NOW
    )
    assert len(alone.messages) == 1


async def test_summaries_stand_for_what_is_archived(memory: VectorMemory) -> None:
    turns = [
        said(role, f"{text} Number {number}.", 2 * number + place)
        for number in range(30)
        for place, (role, text) in enumerate(
            [("user", "I went to the market and bought pears."), ("assistant", "Pears are good.")]
        )
    ]
    await memory.store_messages(turns, "talk", user_id="ana")
    policy = CompressionPolicy(
        block_turns=10, keep_newest=10, idle_after=timedelta(0), method="extractive"
    )
    report = await memory.compress("ana", policy=policy)
    assert report.summaries
    built = await memory.build_context(
        "What is the plan for today?", user_id="ana", conversation_id="talk", budget=900, now=NOW
    )
    every = await memory.recall("pears market", user_id="ana", k=200, include_archived=True)
    archived = {hit.id for hit in every if hit.archived}
    shown = {item.id for item in built.report.items}
    assert len(archived) >= 20
    assert not archived & shown
    assert texts(built, "summary")
    assert "Summaries:\n" in built.text


async def test_archived_messages_are_recalled_where_they_are_asked_for(
    memory: VectorMemory,
) -> None:
    told = said("user", "The boiler cost 386 euros in Faro.")
    await memory.store_messages([told, said("user", "Boilers are loud.", 1)], "talk", user_id="ana")
    old = known("The boiler cost 400 euros.")
    await memory.store_memory(old)
    await memory.forget([told.id, old.id], archive=True)
    asked = {"user_id": "ana", "budget": 500, "now": NOW}
    without = await memory.build_context("What did the boiler cost?", **asked)
    assert "euros" not in without.text
    built = await memory.build_context("What did the boiler cost?", include_archived=True, **asked)
    # An archived memory, such as a fact that was superseded, does not hold any more.
    assert "386 euros" in built.text
    assert "400 euros" not in built.text
    with pytest.raises(InvalidInputError, match="include_archived"):
        await memory.build_context("boiler", include_archived="yes", **asked)  # type: ignore[arg-type]


async def test_nothing_of_others_nothing_expired(memory: VectorMemory) -> None:
    await memory.store_messages([said("user", "My boiler is old.")], "his", user_id="ben")
    gone = known("The boiler is broken.", expires_at=START + timedelta(days=1))
    await memory.store_memories([gone, known("The boiler is in the cellar.")])
    for strategy in ("hybrid", "semantic", "importance"):
        built = await memory.build_context(
            "boiler", user_id="ana", strategy=strategy, budget=500, now=NOW
        )
        assert texts(built, "recalled") == ["The boiler is in the cellar."], strategy
    view = memory.for_user("ana")
    assert "cellar" in (await view.build_context("boiler", now=NOW)).text
    with pytest.raises(ForeignUserError):
        await view.build_context("boiler", user_id="ben")
    with pytest.raises(ForeignUserError):
        await memory.build_context("boiler", user_id="ana", conversation_id="his")
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.build_context("boiler")
    # In a view another user's conversation is as one that has not begun.
    built = await view.build_context("boiler", conversation_id="his", now=NOW)
    assert "old" not in built.text


async def test_the_question_is_shown_once_where_it_is_stored(memory: VectorMemory) -> None:
    question = said("user", "What did the boiler cost?", 5)
    await memory.store_messages(
        [said("user", "The boiler was 386 euros."), said("assistant", "Noted.", 1), question],
        "talk",
        user_id="ana",
    )
    for query in (question, question.content):
        built = await memory.build_context(
            query, user_id="ana", conversation_id="talk", budget=300, now=NOW
        )
        assert built.text.count("What did the boiler cost?") == 1
        assert built.report.items[-1].id == str(question.id)
        assert [one.content for one in built.messages[:-1]] == [
            "The boiler was 386 euros.",
            "Noted.",
        ]


async def test_the_days_are_those_of_the_zone(memory: VectorMemory) -> None:
    late = Message(role=MessageRole.USER, content="The boiler is new.")
    late.timestamp = datetime(2024, 5, 6, 23, 30, tzinfo=timezone.utc)
    await memory.store_message(late, "talk", user_id="ana")
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    built = await memory.build_context("boiler", user_id="ana", now=east)
    assert "2024-05-07:" in built.text
    assert "2024-05-06:" in (await memory.build_context("boiler", user_id="ana", now=NOW)).text


async def test_a_call_of_tools_and_its_result_together_or_not_at_all(
    memory: VectorMemory,
) -> None:
    call = said("assistant", "Looking up the boiler.", 1, tool_calls=[{"id": "a"}])
    result = said("tool", "boiler: 386 euros", 2)
    lost = said("assistant", "Looking up the garden.", 3, tool_calls=[{"id": "b"}])
    await memory.store_messages(
        [said("user", "What did it cost?"), call, result, lost, said("user", "Thanks!", 4)],
        "talk",
        user_id="ana",
    )
    for budget in range(30, 150, 6):
        built = await memory.build_context(
            "And now?",
            user_id="ana",
            conversation_id="talk",
            budget=budget,
            now=NOW,
            strategy="sliding_window",
        )
        shown = {item.id for item in built.report.items}
        assert (str(call.id) in shown) == (str(result.id) in shown)
        assert str(lost.id) not in shown
    assert str(call.id) in shown
    reasons = {(one.id, one.reason) for one in built.report.left_out}
    assert (str(lost.id), "tool pair incomplete") in reasons
    # Recalled into another conversation, too.
    built = await memory.build_context("boiler euros", user_id="ana", budget=400, now=NOW)
    quoted = texts(built, "recalled")
    assert quoted.index("Looking up the boiler.") + 1 == quoted.index("boiler: 386 euros")
    assert "Looking up the garden." not in built.text


async def test_importance_asks_nothing(memory: VectorMemory) -> None:
    await memory.store_memories(
        [known("Low.", importance=0.1), known("High.", importance=0.9), known("Middle.")]
    )
    built = await memory.build_context(
        "Something else entirely", user_id="ana", strategy="importance", budget=100, now=NOW
    )
    assert texts(built, "recalled")[0] == "High."
    assert "Low." not in built.text
    assert built.report.confidence is None


async def test_a_strategy_of_ones_own(memory: VectorMemory) -> None:
    await memory.store_memories([known("The boiler is in the cellar.")])
    own = Strategy("facts only", "what is recalled, nothing else", recalled="question")
    built = await memory.build_context("boiler", user_id="ana", strategy=own, now=NOW)
    assert built.report.strategy == "facts only"
    assert texts(built, "recalled") == ["The boiler is in the cellar."]


async def test_the_turn_before_a_hit_comes_with_it(memory: VectorMemory) -> None:
    filler = [said("user", f"Nothing of note, number {n}.", n) for n in range(40)]
    await memory.store_messages(
        [*filler, said("assistant", "Where did you sleep?", 50), said("user", "In Porto.", 51)],
        "talk",
        user_id="ana",
    )
    built = await memory.build_context("Porto", user_id="ana", budget=1600, now=NOW)
    shown = [item for item in built.report.items if item.cite is not None]
    places = {item.turn: item.source for item in shown}
    assert places[41] == "recalled"
    assert places[40] in ("recalled", "neighbour")
