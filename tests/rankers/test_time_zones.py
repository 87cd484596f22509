"""Days that a question names are those of whoever asks, and rows' times are UTC."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytz
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rankers import read_question
from bruno_memory_vec.rankers.time_expressions import find_periods
from bruno_memory_vec.rows.checks import local_moment, moment

UTC = timezone.utc
EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))


def found(text: str, now: datetime) -> list[tuple[str, str]]:
    """The periods in UTC."""
    assert now.tzinfo is not None

    def shown(at: int) -> str:
        epoch = datetime(1970, 1, 1)
        return (epoch + timedelta(microseconds=at)).isoformat(timespec="minutes")

    periods = find_periods(text, micros(now), now.tzinfo)
    return [(shown(period.start), shown(period.end)) for period in periods]


@pytest.mark.parametrize(
    ("zone", "text", "start", "end"),
    [
        # In all of them it is 2024-05-15T10:30 UTC, a Wednesday.
        (UTC, "yesterday", "2024-05-14T00:00", "2024-05-15T00:00"),
        (EAST, "yesterday", "2024-05-14T10:00", "2024-05-15T10:00"),
        (EAST, "today", "2024-05-15T10:00", "2024-05-16T10:00"),
        (WEST, "today", "2024-05-14T12:00", "2024-05-15T12:00"),
        (WEST, "yesterday", "2024-05-13T12:00", "2024-05-14T12:00"),
        (WEST, "on Monday", "2024-05-13T12:00", "2024-05-14T12:00"),
        (EAST, "last week", "2024-05-05T10:00", "2024-05-12T10:00"),
        (EAST, "last weekend", "2024-05-10T10:00", "2024-05-12T10:00"),
        (EAST, "last night", "2024-05-14T10:00", "2024-05-15T22:00"),
        (EAST, "last month", "2024-03-31T10:00", "2024-04-30T10:00"),
        (EAST, "in 2023", "2022-12-31T10:00", "2023-12-31T10:00"),
        (EAST, "last winter", "2023-11-30T10:00", "2024-02-29T10:00"),
        (EAST, "on 3 July 2023", "2023-07-02T10:00", "2023-07-03T10:00"),
        (timezone(timedelta(hours=5, minutes=45)), "today", "2024-05-14T18:15", "2024-05-15T18:15"),
        # From winter to summer: each border has the offset of its own day.
        (ZoneInfo("Europe/Berlin"), "last month", "2024-03-31T22:00", "2024-04-30T22:00"),
        (ZoneInfo("Europe/Berlin"), "in March", "2024-02-29T23:00", "2024-03-31T22:00"),
        (ZoneInfo("America/New_York"), "last year", "2023-01-01T05:00", "2024-01-01T05:00"),
    ],
)
def test_days_are_those_of_the_asker(zone: tzinfo, text: str, start: str, end: str) -> None:
    now = datetime(2024, 5, 15, 10, 30, tzinfo=UTC).astimezone(zone)
    assert found(f"what did I say {text}?", now) == [(start, end)]
    period = read_question(f"what did I say {text}?", micros(now), zone).periods[0]
    assert period == find_periods(text, micros(now), zone)[0]


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        # A day of 23 hours, one of 25, and days that have no midnight or two.
        ("Europe/Berlin", "2024-03-31T12:00", "2024-03-30T23:00", "2024-03-31T22:00"),
        ("Europe/Berlin", "2024-10-27T12:00", "2024-10-26T22:00", "2024-10-27T23:00"),
        ("America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00"),
        ("America/Havana", "2024-11-03T12:00", "2024-11-03T04:00", "2024-11-04T05:00"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-31T12:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_day_on_which_the_clocks_change(zone: str, now: str, start: str, end: str) -> None:
    here = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(zone))
    assert found("today", here) == [(start, end)]


@pytest.mark.parametrize("hours", range(-12, 15))
def test_at_the_borders_of_a_day(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    midnight = datetime(2024, 3, 1, tzinfo=zone)
    last = midnight - timedelta(microseconds=1)
    assert found("yesterday", midnight) == found("today", last)
    assert found("today", midnight)[0][0] == found("today", last)[0][1]


@pytest.mark.parametrize("year", [1, 9999])
@pytest.mark.parametrize("zone", [EAST, WEST, ZoneInfo("Europe/Berlin")])
def test_at_the_ends_of_the_calendar(year: int, zone: tzinfo) -> None:
    now = datetime(year, 1, 2, tzinfo=UTC) if year == 1 else datetime(year, 12, 30, tzinfo=UTC)
    for text in ("yesterday", "today", "this year", "last year", "the last few days"):
        find_periods(text, micros(now), zone)


def test_pytz_is_reckoned_with_as_zoneinfo() -> None:
    berlin = pytz.timezone("Europe/Berlin")
    summer = local_moment("now", berlin.localize(datetime(2024, 5, 15)))
    assert found("last winter", summer) == [("2023-11-30T23:00", "2024-02-29T23:00")]
    for second in (False, True):
        at = berlin.localize(datetime(2024, 10, 27, 2, 30), is_dst=second)
        assert local_moment("now", at).astimezone(UTC) == at.astimezone(UTC)
        assert moment("now", at) == at


class Broken(tzinfo):
    def utcoffset(self, at: datetime | None) -> timedelta:
        raise OSError("no clock")


class Bare(tzinfo):
    """Says its offset only, so that nothing can be brought into it."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(hours=3)


@pytest.mark.parametrize("zone", [Broken(), Bare()])
def test_a_zone_that_fails_is_refused(zone: tzinfo) -> None:
    with pytest.raises(InvalidInputError, match=r"now.*zoneinfo"):
        local_moment("now", datetime(2024, 5, 15, tzinfo=zone))


def test_a_naive_now_is_utc() -> None:
    assert local_moment("now", datetime(2024, 5, 15)).tzinfo is UTC


class Subclass(datetime):
    """As pendulum and pandas have one."""


async def test_recall_prefers_the_day_of_the_asker() -> None:
    """Of two rows of one text that one wins which was said on the asker's yesterday."""
    tokyo = ZoneInfo("Asia/Tokyo")

    async with open_memory("memory://", embedder="hash", recall_cache_mb=0) as memory:
        for day, words in ((14, "the 14th"), (15, "the 15th")):
            at = datetime(2024, 5, day, 10, tzinfo=UTC)
            said = Message(role=MessageRole.USER, content=f"zebra, {words}", timestamp=at)
            await memory.store_message(said, f"c{day}", user_id="ana")

        async def gains(now: datetime) -> dict[str, float]:
            hits = await memory.recall("zebra yesterday?", user_id="ana", now=now)
            return {hit.content[-4:]: round(hit.signals["time_named"], 3) for hit in hits}

        here = datetime(2024, 5, 16, 0, 30, tzinfo=tokyo)
        in_tokyo, in_utc = await gains(here), await gains(here.astimezone(UTC))
        assert in_tokyo["15th"] > in_tokyo["14th"]
        assert in_utc["14th"] > in_utc["15th"]
        assert await gains(here.astimezone(UTC).replace(tzinfo=None)) == in_utc
        whole: Any = Subclass(2024, 5, 16, 0, 30, tzinfo=tokyo)
        assert await gains(whole) == in_tokyo


async def test_a_context_is_filled_by_the_days_of_the_messages_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bruno_memory_vec.recall import Retriever

    asked: list[datetime] = []
    recall = Retriever.recall

    async def noted(self: Retriever, request: Any, **options: Any) -> Any:
        asked.append(request.now)
        return await recall(self, request, **options)

    monkeypatch.setattr(Retriever, "recall", noted)
    async with open_memory("memory://", embedder="hash") as memory:
        context = await memory.get_context("ana", "c")
        at = datetime.now(ZoneInfo("Asia/Tokyo"))
        said = Message(id=uuid4(), role=MessageRole.USER, content="yesterday?", timestamp=at)
        context.messages.append(said)
        await memory.store_message(said, "c", user_id="ana")
    assert [str(now.tzinfo) for now in asked] == ["Asia/Tokyo"]
