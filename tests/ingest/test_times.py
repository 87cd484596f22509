"""Times of every usual form; those that may be two are refused, once."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Format, Turn, formats, read
from bruno_memory_vec.portability.times import Days, NoTimeError, from_epoch, read_time

MEANT = datetime(2025, 10, 3, 18, 50)


@pytest.mark.parametrize(
    "written",
    [
        1759517400,
        1759517400.0,
        "1759517400",
        1759517400000,
        "1759517400000",
        1759517400000000,
        1759517400000000000,
        "2025-10-03T18:50:00Z",
        "2025-10-03 18:50:00 UTC",
        "20251003T185000Z",
        "20251003185000",
        "2025/10/03 (Fri) 18:50",
        "2025/10/3, 6:50 PM",
        "2025-10-03, 6:50:00 p.m.",
        "Fri, 03 Oct 2025 18:50:00 +0000",
        "Fri, 3 Oct 2025 20:50:00 +0200",
        "3 Oct 2025 18:50:00 GMT",
        "03.10.2025 18:50",
        "03.10.25, 18:50:00",
    ],
)
def test_one_moment_in_many_forms(written: Any) -> None:
    assert read_time(written) == MEANT


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nothing_is_no_time(nothing: Any) -> None:
    assert read_time(nothing) is None


@pytest.mark.parametrize(
    "written", ["soon", "12345678", "2025", True, [], 1e300, "31/02/2024", "40.13.2024", "1" * 30]
)
def test_what_is_no_time_is_told(written: Any) -> None:
    with pytest.raises(NoTimeError):
        read_time(written)


def test_what_comes_first_is_shown_by_a_date_of_the_file() -> None:
    days = Days()
    assert read_time("25/10/2024", days) == datetime(2024, 10, 25)
    assert read_time("3/4/2024", days) == datetime(2024, 4, 3)
    with pytest.raises(NoTimeError, match="day-first"):
        read_time("10/25/2024", days)
    assert read_time("5/5/2024 7:05 am", Days()) == datetime(2024, 5, 5, 7, 5)
    with pytest.raises(InvalidInputError, match="day or with its month"):
        read_time("3/4/2024", Days())


def rows(*times: Any, key: str = "date") -> io.BytesIO:
    lines = [
        json.dumps({"conversation_id": "c", "role": "user", "content": f"{n}", key: time})
        for n, time in enumerate(times)
    ]
    return io.BytesIO("\n".join(lines).encode())


def test_dates_that_may_be_two_refuse_a_file_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        list(read(rows("3/4/2024", "4/4/2024", "5/4/2024")))
    assert caught.value.field == "dates"
    assert "--dates" in caught.value.fix
    got = list(read(rows("3/4/2024"), dates="month-first"))
    assert isinstance(got[0], Turn)
    assert got[0].message.timestamp == datetime(2024, 3, 4)
    with pytest.raises(InvalidInputError, match="unknown"):
        read("-", dates="year-first")  # type: ignore[arg-type]


def test_each_file_shows_its_own_order(tmp_path: Any) -> None:
    for name, dates in (("a", ("25/10/2024", "3/4/2024")), ("b", ("10/25/2024", "3/4/2024"))):
        (tmp_path / f"{name}.jsonl").write_bytes(rows(*dates).getvalue())
    got = [item for item in read(tmp_path) if isinstance(item, Turn)]
    assert [turn.message.timestamp.month for turn in got] == [10, 4, 10, 3]


@pytest.mark.parametrize("key", ["date", "time", "ts", "created_at", "create_time", "createdAt"])
def test_a_time_under_any_name(key: str) -> None:
    (turn,) = read(rows("1759517400000", key=key))
    assert isinstance(turn, Turn)
    assert (turn.timed, turn.message.timestamp) == (True, MEANT)
    (turn,) = read(rows(None, key=key))
    assert isinstance(turn, Turn)
    assert not turn.timed


def test_a_message_without_a_time_follows_the_one_before_it() -> None:
    got = list(read(rows("2025-10-03T18:50:00Z", None, None)))
    assert [item.message.timestamp - MEANT for item in got if isinstance(item, Turn)] == [
        timedelta(microseconds=n) for n in range(3)
    ]
    (bad,) = read(rows("soon"))
    assert isinstance(bad, BadLine)
    assert bad.where == "timestamp"


@given(st.datetimes(min_value=datetime(1974, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_moment_is_the_same_in_every_unit(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    millis = round((moment - datetime(1970, 1, 1)).total_seconds() * 1000)
    for unit in (1, 1_000, 1_000_000):
        assert from_epoch(millis * unit) == moment
        # Of twelve digits, milliseconds before 2001, many are a day and a time without separators.
        if millis * unit >= 10**12:
            assert read_time(str(millis * unit)) == moment
    whole = moment.replace(microsecond=0)
    assert read_time(format_datetime(whole.replace(tzinfo=timezone.utc))) == whole


def test_twelve_digits_are_a_day_where_there_is_such_a_day() -> None:
    assert read_time("200707200000") == datetime(2007, 7, 20)
    assert read_time("197510400000") == datetime(1976, 4, 5)


@given(st.text(max_size=30) | st.from_regex(r"[0-9/.:,\- apmTZ]{0,25}", fullmatch=True))
def test_any_text_is_a_time_or_is_told(text: str) -> None:
    try:
        found = read_time(text)
    except (NoTimeError, InvalidInputError) as error:
        str(error).encode()
        return
    assert found is None or found.tzinfo is None


def test_the_names_that_editors_offer_are_those_that_there_are() -> None:
    assert list(get_args(Format)) == formats()[: len(get_args(Format))]
