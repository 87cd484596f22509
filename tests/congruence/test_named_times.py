"""A time that a question names has candidates of its own, in memory and through an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import pytest_asyncio
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, load_profile, open_memory
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.rankers import Fusion, Question, RankSettings, TimeNamed
from bruno_memory_vec.rankers.time_expressions import Period
from bruno_memory_vec.recall.in_period import named_times

YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)
NOW = datetime(2024, 12, 20, tzinfo=timezone.utc)
MARCH = datetime(2024, 3, 9, tzinfo=timezone.utc)
QUESTION = "Which book did I read with the club in March?"
# It shares one word with the question; three hundred others, of other months, share three.
WANTED = "Middlemarch, for the club"
# The weights of a shipped profile may change.
PROFILE = replace(
    load_profile("balanced"), rank=RankSettings(Fusion("convex", 0.3), (TimeNamed(1.2),))
)


def messages() -> list[Message]:
    other = [
        (f"I read a book with the club, number {number}", YEAR + timedelta(days=120 + number % 200))
        for number in range(300)
    ]
    march = [(f"the train number {day} was late", MARCH + timedelta(days=day)) for day in range(9)]
    return [
        Message(role=MessageRole.USER, content=text, timestamp=at.replace(tzinfo=None))
        for text, at in [*other, *march, (WANTED, MARCH)]
    ]


@pytest_asyncio.fixture(params=["memory://", "folder in memory", "folder"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    """Answers from a snapshot of the rows, or, without a cache, from the engine."""
    url = "memory://" if request.param == "memory://" else str(tmp_path / "store")
    cache = 0 if request.param == "folder" else 64
    async with open_memory(
        url, embedder="static", recall_cache_mb=cache, profile=PROFILE
    ) as opened:
        await opened.store_messages(messages(), "talk", user_id="ana")
        await opened.store_message(
            Message(role=MessageRole.USER, content=WANTED, timestamp=MARCH.replace(tzinfo=None)),
            "of another",
            user_id="bo",
        )
        yield opened


async def test_what_no_side_proposes_is_found_in_its_month(memory: VectorMemory) -> None:
    for _ in range(2):  # the second time, rows that were read are in memory
        hits = await memory.recall(QUESTION, user_id="ana", now=NOW, k=5)
        assert hits[0].content == WANTED
        assert hits[0].signals["period"] > 0.3
        assert hits[0].signals["lexical"] == hits[0].signals["semantic"] == 0
        assert sum(hits[0].signals.values()) == pytest.approx(hits[0].score)
    without = replace(PROFILE, candidates=replace(PROFILE.candidates, in_period=0))
    hits = await memory.recall(QUESTION, user_id="ana", now=NOW, k=200, profile=without)
    assert WANTED not in [hit.content for hit in hits]
    assert "period" not in hits[0].signals


async def test_it_keeps_to_the_filters_of_the_call(memory: VectorMemory) -> None:
    late, early = MARCH + timedelta(hours=1), MARCH - timedelta(hours=1)
    for filters in ({"since": late}, {"until": MARCH}, {"kinds": "memory"}, {"roles": "assistant"}):
        hits = await memory.recall(QUESTION, user_id="ana", now=NOW, k=50, **filters)
        assert WANTED not in [hit.content for hit in hits], filters
    hits = await memory.recall(QUESTION, user_id="ana", now=NOW, k=5, since=early)
    assert [hit.content for hit in hits].count(WANTED) == 1


async def test_a_time_of_half_of_the_rows_has_none_of_its_own(memory: VectorMemory) -> None:
    for question in ("What did the club read in 2024?", "What did the club read in 2019?", "Who?"):
        hits = await memory.recall(question, user_id="ana", now=NOW, k=5)
        assert "period" not in hits[0].signals


def test_times_that_overlap_are_one_and_are_cut_to_the_filter() -> None:
    def moment(hour: int) -> datetime:
        return YEAR + timedelta(hours=hour)

    def period(start: int, end: int) -> Period:
        first, last = (int(moment(hour).timestamp()) * 1_000_000 for hour in (start, end))
        return Period(first, last)

    question = Question("", periods=(period(30, 40), period(0, 10), period(5, 20), period(60, 70)))
    where = RowFilter(since=moment(8), until=moment(35), kinds=("message",))
    now = int(moment(100).timestamp()) * 1_000_000
    assert named_times(where, question, now) == [
        replace(where, since=moment(8), until=moment(20)),
        replace(where, since=moment(30), until=moment(35)),
    ]
    assert named_times(where, Question(""), now) == []


def test_a_time_that_has_not_ended_has_none_of_its_own() -> None:
    hour = 3_600_000_000
    today = Question("", periods=(Period(0, 24 * hour),))
    assert named_times(RowFilter(), today, 23 * hour) == []
    assert len(named_times(RowFilter(), today, 24 * hour)) == 1
