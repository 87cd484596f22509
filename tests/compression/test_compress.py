"""Turns become summaries that link to them, and come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import CompressionPolicy, MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.access import ALL_USERS
from bruno_memory_vec.compression.report import (
    CompressionFailure,
    CompressionReport,
    RestoreReport,
)
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    NotFoundError,
    ReadOnlyError,
)
from tests.compression.support import (
    BEGIN,
    archived,
    check_each_once,
    check_whole,
    pin,
    recalled,
    turns,
)

LARGE = {"block_turns": 20}


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://") as opened:
        yield opened


async def test_older_turns_become_a_summary_for_each_block(memory: VectorMemory) -> None:
    said = turns(60)
    await memory.store_messages(said, "talk", user_id="ana")
    report = await memory.compress("ana", policy=LARGE)
    assert (report.turns, report.conversations, report.blocks) == (40, 1, 2)
    assert report.ok
    assert 0.2 < report.ratio <= 0.4
    blocks = [one for one in report.summaries if one.level == "block"]
    assert [(one.from_turn, one.to_turn) for one in blocks] == [(0, 19), (20, 39)]
    stored = {str(one.id): one for one in await memory.list_memories("ana")}
    first = stored[blocks[0].id]
    assert first.metadata.category == "summary"
    assert first.metadata.related_memories == [one.id for one in said[:20]]
    assert first.conversation_id == "talk"
    assert first.created_at == said[19].timestamp
    fields = first.metadata.custom_fields
    assert (fields["level"], fields["from_turn"], fields["to_turn"]) == ("block", 0, 19)
    assert fields["method"] == "extractive"
    session = next(one for one in report.summaries if one.level == "session")
    assert stored[session.id].metadata.custom_fields["level"] == "session"
    assert {str(one) for one in stored[session.id].metadata.related_memories} == {
        one.id for one in blocks
    }
    # What the summaries stand for is recalled only on request, and is in the history.
    assert await archived(memory, "ana") == {
        str(one.id): place < 40 for place, one in enumerate(said)
    }
    question = said[6].content
    assert str(said[6].id) not in {hit.id for hit in await memory.recall(question, user_id="ana")}
    hits = await memory.recall(question, user_id="ana", include_archived=True, kinds="message")
    assert next(hit for hit in hits if hit.id == str(said[6].id)).archived
    assert [one.content for one in await memory.retrieve_messages("talk")] == [
        one.content for one in reversed(said)
    ]
    hits = await memory.recall("what did the piano cost?", user_id="ana", origins="summary")
    assert hits
    assert all(hit.origin == "summary" for hit in hits)


async def test_restored_all_is_as_before(tmp_path: Path) -> None:
    said = turns(70)
    first, second = str(tmp_path / "compressed"), str(tmp_path / "never")
    async with open_memory(first) as memory, open_memory(second) as other:
        for one in (memory, other):
            await one.store_messages(said, "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        report = await memory.compress("ana", policy=LARGE)
        restored = await memory.restore(conversation_id="talk")
        assert restored.turns == report.turns == 50
        assert restored.summaries == len(report.summaries)
        # A row that was replaced counts among those with its words until upkeep.
        await memory.maintain()
        # Of a memory that never was compressed: what was recalled before counts in a recall.
        assert await recalled(memory, "ana") == await recalled(other, "ana")
        assert await memory.list_memories("ana", include_archived=True) == []
        again = await memory.get_context("ana", "talk")
        assert [one.id for one in again.messages] == [one.id for one in context.messages]
        assert await memory.restore(conversation_id="talk") == type(restored)(0, 0)


async def test_one_block_is_restored_by_the_id_of_its_summary(memory: VectorMemory) -> None:
    said = turns(60)
    await memory.store_messages(said, "talk", user_id="ana")
    report = await memory.compress("ana", policy=LARGE)
    restored = await memory.restore(report.summaries[0].id)
    # The conversation's summary, which was made of it, goes with it.
    assert (restored.turns, restored.summaries) == (20, 2)
    left = {str(one.id) for one in await memory.list_memories("ana")}
    assert left == {report.summaries[1].id}
    assert await archived(memory, "ana") == {
        str(one.id): 20 <= place < 40 for place, one in enumerate(said)
    }


async def test_a_second_run_finds_nothing_to_do(memory: VectorMemory) -> None:
    await memory.store_messages(turns(60), "talk", user_id="ana")
    await memory.compress("ana", policy=LARGE)
    stored = await memory.list_memories("ana", limit=None)
    again = await memory.compress("ana", policy=LARGE)
    assert (again.turns, again.summaries) == (0, ())
    assert await memory.list_memories("ana", limit=None) == stored


async def test_compressed_piece_by_piece_each_turn_has_one_summary(memory: VectorMemory) -> None:
    said = turns(120)
    for start in range(0, 120, 30):
        await memory.store_messages(said[start : start + 30], "talk", user_id="ana")
        await memory.compress("ana", policy=LARGE)
    blocks = [
        one
        for one in await memory.list_memories("ana", limit=None)
        if one.metadata.custom_fields["level"] == "block"
    ]
    covered = [id_ for one in blocks for id_ in one.metadata.related_memories]
    assert len(covered) == len(set(covered)) == 100
    sessions = [
        one
        for one in await memory.list_memories("ana", limit=None)
        if one.metadata.custom_fields["level"] == "session"
    ]
    assert len(sessions) == 1
    assert set(sessions[0].metadata.related_memories) == {one.id for one in blocks}


async def test_two_summaries_of_one_turn_become_one(memory: VectorMemory) -> None:
    # As two processes may leave them that compress one conversation at once.
    said = turns(60)
    await memory.store_messages(said, "talk", user_id="ana")
    await memory.compress("ana", policy=LARGE)
    entries = await memory.list_memories("ana", limit=None)
    first = next(one for one in entries if one.metadata.custom_fields.get("from_turn") == 0)
    fields = {**first.metadata.custom_fields, "to_turn": 9}
    metadata = first.metadata.model_copy(
        update={
            "custom_fields": fields,
            "related_memories": first.metadata.related_memories[:10],
        }
    )
    other = first.model_copy(update={"id": uuid4(), "metadata": metadata})
    await memory.store_memory(other, origin="summary")
    assert (await memory.compress("ana", policy=LARGE)).ok
    await check_each_once(memory, "ana")
    await check_whole(memory, "ana", {"talk": said})
    assert sum((await archived(memory, "ana")).values()) == 40


async def test_pinned_system_and_unanswered_turns_stay(memory: VectorMemory) -> None:
    said = turns(40)
    said[4] = Message(role=MessageRole.SYSTEM, content="Be kind.", timestamp=said[4].timestamp)
    said.append(Message(role=MessageRole.USER, content="Is anybody there?", timestamp=BEGIN))
    await memory.store_messages(said, "talk", user_id="ana")
    await pin(memory, "ana", said[7])
    await memory.compress("ana", policy={"keep_newest": 0})
    open_ = {id_ for id_, gone in (await archived(memory, "ana")).items() if not gone}
    assert open_ == {str(said[place].id) for place in (4, 7, 40)}


async def test_what_a_policy_leaves_out(memory: VectorMemory) -> None:
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    old = turns(30, begin=now - timedelta(days=30))
    new = turns(30, seed=2, begin=now - timedelta(hours=1), apart=1)
    weighty = [
        Message(
            role=one.role,
            content=one.content,
            timestamp=one.timestamp,
            metadata={"importance": 0.9},
        )
        for one in turns(30, seed=3, begin=now - timedelta(days=30))
    ]
    await memory.store_messages(old, "old", user_id="ana")
    await memory.store_messages(new, "new", user_id="ana")
    await memory.store_messages(weighty, "weighty", user_id="ana")

    async def places(**policy: object) -> set[str | None]:
        report = await memory.compress("ana", policy={"keep_newest": 0, **policy}, dry_run=True)
        return {one.conversation_id for one in report.summaries}

    assert await places() == {"old", "new", "weighty"}
    assert await places(older_than=timedelta(days=1)) == {"old", "weighty"}
    assert await places(conversations="idle") == {"old", "weighty"}
    assert await places(below_importance=0.7) == {"old", "new"}
    assert await places(keep_newest=25) == set()
    assert await places(min_tokens=10**6) == set()
    assert await places(conversations="ended") == set()
    session = await memory.create_session("ana")
    ended = turns(30, seed=4, begin=now - timedelta(days=2))
    await memory.store_messages(ended, session.conversation_id, user_id="ana")
    assert await places(conversations="ended") == set()
    await memory.end_session(session.session_id)
    assert await places(conversations="ended") == {session.conversation_id}
    assert not await memory.list_memories("ana", include_archived=True), "dry runs store nothing"


async def test_days_of_several_conversations_get_a_summary(memory: VectorMemory) -> None:
    for day in range(2):
        for part in range(2):
            begin = BEGIN + timedelta(days=day, hours=4 * part)
            said = turns(30, seed=10 * day + part, begin=begin)
            await memory.store_messages(said, f"talk-{day}-{part}", user_id="ana")
    policy = CompressionPolicy(keep_newest=0, period="day")
    report = await memory.compress("ana", policy=policy)
    periods = [one for one in report.summaries if one.level == "period"]
    stored = {str(one.id): one for one in await memory.list_memories("ana", limit=None)}
    assert sorted(stored[one.id].metadata.custom_fields["period"] for one in periods) == [
        "2024-05-06",
        "2024-05-07",
    ]
    assert all(stored[one.id].conversation_id is None for one in periods)
    assert not (await memory.compress("ana", policy=policy)).summaries
    restored = await memory.restore(periods[0].id)
    assert restored.turns == 60
    kept = await memory.list_memories("ana", limit=None)
    days = {one.metadata.custom_fields.get("period") for one in kept}
    assert days == {None, "2024-05-07"}


async def test_days_of_one_long_conversation_get_a_summary(memory: VectorMemory) -> None:
    for day in range(3):
        said = turns(30 if day < 2 else 12, seed=day, begin=BEGIN + timedelta(days=day))
        await memory.store_messages(said, "talk", user_id="ana")
    policy = CompressionPolicy(keep_newest=0, period="day", gap=timedelta(hours=12))
    report = await memory.compress("ana", policy=policy)
    stored = {str(one.id): one for one in await memory.list_memories("ana", limit=None)}
    periods = {
        stored[one.id].metadata.custom_fields["period"]: stored[one.id]
        for one in report.summaries
        if one.level == "period"
    }
    # Of the third day there is one summary, which is as good as one of the day.
    assert sorted(periods) == ["2024-05-06", "2024-05-07"]
    parts = {str(one) for one in periods["2024-05-06"].metadata.related_memories}
    assert parts == {
        one.id for one in report.summaries if one.level == "block" and (one.to_turn or 0) < 30
    }
    assert not (await memory.compress("ana", policy=policy)).summaries


async def test_nobody_else_is_touched(memory: VectorMemory) -> None:
    await memory.store_messages(turns(60), "ana-1", user_id="ana")
    await memory.store_messages(turns(60), "ben-1", user_id="ben")
    ben = memory.for_user("ben")
    report = await ben.compress()
    assert {one.conversation_id for one in report.summaries} == {"ben-1"}
    assert not any((await archived(memory, "ana")).values())
    assert not await memory.list_memories("ana", include_archived=True)
    with pytest.raises(ForeignUserError):
        await ben.compress("ana")
    with pytest.raises(ForeignUserError):
        await memory.compress("ben", conversation_id="ana-1")
    for missing in ("ana-1", "nope"):
        for dry_run in (True, False):
            with pytest.raises(NotFoundError, match="no conversation"):
                await ben.compress(conversation_id=missing, dry_run=dry_run)
        with pytest.raises(NotFoundError, match="no conversation"):
            await ben.restore(conversation_id=missing)
    for user in (None, "ana"):
        with pytest.raises(NotFoundError, match="no conversation"):
            await memory.compress(user, conversation_id="nope")
        with pytest.raises(NotFoundError, match="no conversation"):
            await memory.restore(user_id=user, conversation_id="nope")
    assert (await memory.for_user("ana").restore()).turns == 0
    with pytest.raises(NotFoundError):
        await memory.for_user("ana").restore(report.summaries[0].id)
    assert (await memory.compress(conversation_id="ana-1")).turns == 40
    assert (await memory.compress(ALL_USERS)).turns == 0


async def test_odd_arguments_are_refused(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.compress()
    with pytest.raises(InvalidInputError, match=r"policy\.ratio"):
        await memory.compress("ana", policy={"ratio": 2})
    with pytest.raises(InvalidInputError, match=r"policy\.rate"):
        await memory.compress("ana", policy={"rate": 0.2})
    with pytest.raises(InvalidInputError, match="policy: is a float"):
        await memory.compress("ana", policy=0.3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="summary_id"):
        await memory.restore()
    with pytest.raises(NotFoundError):
        await memory.restore(uuid4())


def test_a_policy_that_is_not_usable_is_refused_by_its_field() -> None:
    for field, value in (("ratio", 3), ("timeout", timedelta(seconds=5)), ("min_turns", 1)):
        with pytest.raises(InvalidInputError, match=rf"policy\.{field}: ") as caught:
            CompressionPolicy(**{field: value})
        assert caught.value.field == f"policy.{field}"
        with pytest.raises(InvalidInputError, match=rf"compression: .*policy\.{field}: "):
            MemoryConfig.build(compression={field: value})
    assert MemoryConfig.build(compression={"ratio": 0.2}).compression == CompressionPolicy(
        ratio=0.2
    )


def test_reports_are_readable() -> None:
    assert str(CompressionReport()) == "no turns were compressed"
    assert str(RestoreReport(1, 1)) == "1 turn is back, 1 summary is gone"
    failed = CompressionFailure("<b>", "turns 0 to 3", "they were changed meanwhile")
    assert "&lt;b&gt;" in CompressionReport(failures=(failed,))._repr_html_()
    assert "there are no summaries" in RestoreReport(0, 0)._repr_html_()


async def test_a_reader_is_refused(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path)) as memory:
        await memory.store_messages(turns(40), "talk", user_id="ana")
        async with open_memory(str(tmp_path), read_only=True) as reader:
            with pytest.raises(ReadOnlyError):
                await reader.compress("ana")
            with pytest.raises(ReadOnlyError):
                await reader.restore(user_id="ana")
            dry = await reader.compress("ana", dry_run=True)
            assert (dry.turns, dry.dry_run) == (20, True)


async def test_of_short_turns_with_long_pauses_what_matters_is_kept(memory: VectorMemory) -> None:
    """A pause ends no block whose summary would have room for small talk alone."""
    talk = ["The tram was late again.", "I had soup for lunch, nothing special.", "I slept badly."]
    told = "The landlord is Mr Kowalczyk, the deposit is 4200 zloty."
    began, said = datetime(2026, 3, 2, 8), []
    for number in range(40):
        asked = number % 2 == 0
        text = told if number == 4 else talk[number % 3] if asked else "Tell me more if you like."
        at = began + timedelta(hours=3 * (number // 2))
        said.append(Message(role="user" if asked else "assistant", content=text, timestamp=at))
    await memory.store_messages(said, "talk", user_id="ana")
    report = await memory.compress("ana", policy=CompressionPolicy(keep_newest=16, ratio=0.3))
    assert report.turns >= 18
    assert report.kept.numbers.share == 1
    assert report.kept.names.share == 1
