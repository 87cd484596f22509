from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers.time_expressions import Period, find_periods

EPOCH = datetime(1970, 1, 1)
DAY = timedelta(days=1)
WEDNESDAY = "2024-05-15T13:30"
HUNDRED_YEARS = 3_155_760_000_000_000


def micros(moment: str | datetime) -> int:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (at - EPOCH) // timedelta(microseconds=1)


def found(text: str, now: str) -> list[tuple[str, str]]:
    """The periods as dates, with the time of day where it is not midnight."""

    def date(at: int) -> str:
        return (EPOCH + timedelta(microseconds=at)).isoformat().removesuffix("T00:00:00")

    return [(date(period.start), date(period.end)) for period in find_periods(text, micros(now))]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("yesterday", "2024-05-14", "2024-05-15"),
        ("today", "2024-05-15", "2024-05-16"),
        ("last night", "2024-05-14", "2024-05-15T12:00:00"),
        ("last week", "2024-05-06", "2024-05-13"),
        ("this week", "2024-05-13", "2024-05-20"),
        ("last month", "2024-04-01", "2024-05-01"),
        ("this month", "2024-05-01", "2024-06-01"),
        ("last year", "2023-01-01", "2024-01-01"),
        ("this year", "2024-01-01", "2025-01-01"),
        ("3 days ago", "2024-05-12", "2024-05-13"),
        ("two weeks ago", "2024-04-29", "2024-05-06"),
        ("a week ago", "2024-05-06", "2024-05-13"),
        ("a month ago", "2024-04-01", "2024-05-01"),
        ("ten years ago", "2014-01-01", "2015-01-01"),
        ("on Monday", "2024-05-13", "2024-05-14"),
        ("on Sunday", "2024-05-12", "2024-05-13"),
        ("last weekend", "2024-05-11", "2024-05-13"),
        ("at the weekend", "2024-05-11", "2024-05-13"),
        ("in June", "2023-06-01", "2023-07-01"),
        ("in May", "2024-05-01", "2024-06-01"),
        ("in december", "2023-12-01", "2024-01-01"),
        ("during March", "2024-03-01", "2024-04-01"),
        ("last july", "2023-07-01", "2023-08-01"),
        ("July 2022", "2022-07-01", "2022-08-01"),
        ("in may 2023", "2023-05-01", "2023-06-01"),
        ("in Sept. 2022", "2022-09-01", "2022-10-01"),
        ("on 3 July", "2023-07-03", "2023-07-04"),
        ("on July 3rd", "2023-07-03", "2023-07-04"),
        ("the 3rd of July, 2022", "2022-07-03", "2022-07-04"),
        ("July 3, 2022", "2022-07-03", "2022-07-04"),
        ("on 3 may", "2024-05-03", "2024-05-04"),
        ("may 20th", "2023-05-20", "2023-05-21"),
        ("the 29th of february", "2024-02-29", "2024-03-01"),
        ("on 2023-03-07", "2023-03-07", "2023-03-08"),
        ("in 2019", "2019-01-01", "2020-01-01"),
        ("1930", "1930-01-01", "1931-01-01"),
        ("last summer", "2023-06-01", "2023-09-01"),
        ("in the summer of 2022", "2022-06-01", "2022-09-01"),
        ("spring 2024", "2024-03-01", "2024-06-01"),
        ("last fall", "2023-09-01", "2023-12-01"),
        ("in the autumn", "2023-09-01", "2023-12-01"),
        ("last winter", "2023-12-01", "2024-03-01"),
        ("this spring", "2024-03-01", "2024-06-01"),
        ("the last few days", "2024-05-12T13:30:00", "2024-05-16T13:30:00"),
        ("the past two weeks", "2024-05-01T13:30:00", "2024-05-16T13:30:00"),
        ("the last couple of months", "2024-03-16T13:30:00", "2024-05-16T13:30:00"),
        ("the last 10 days", "2024-05-05T13:30:00", "2024-05-16T13:30:00"),
        ("recently", "2024-04-15T13:30:00", "2024-05-16T13:30:00"),
    ],
)
def test_on_a_wednesday(text: str, start: str, end: str) -> None:
    for frame in ("{}", "What did Ana do {}?", "Where were we {}, and why?"):
        assert found(frame.format(text), WEDNESDAY) == [(start, end)], frame
        assert found(frame.format(text).upper(), WEDNESDAY) == [(start, end)], frame


@pytest.mark.parametrize(
    ("now", "text", "start", "end"),
    [
        # Monday and Sunday.
        ("2024-05-13", "last week", "2024-05-06", "2024-05-13"),
        ("2024-05-19T23:59:59", "last week", "2024-05-06", "2024-05-13"),
        ("2024-05-19T23:59:59", "this week", "2024-05-13", "2024-05-20"),
        ("2024-05-13", "last weekend", "2024-05-11", "2024-05-13"),
        ("2024-05-18", "last weekend", "2024-05-11", "2024-05-13"),
        ("2024-05-18", "this weekend", "2024-05-18", "2024-05-20"),
        ("2024-05-19", "the weekend", "2024-05-18", "2024-05-20"),
        ("2024-05-19", "last weekend", "2024-05-11", "2024-05-13"),
        ("2024-05-13", "yesterday", "2024-05-12", "2024-05-13"),
        # The 29th of February.
        ("2024-02-29T12:00", "a year ago", "2023-01-01", "2024-01-01"),
        ("2024-02-29T12:00", "last month", "2024-01-01", "2024-02-01"),
        ("2024-02-29T12:00", "2023", "2023-01-01", "2024-01-01"),
        ("2024-02-29T12:00", "last winter", "2022-12-01", "2023-03-01"),
        ("2024-02-29T12:00", "29 february", "2024-02-29", "2024-03-01"),
        ("2023-06-01", "29 february", "2020-02-29", "2020-03-01"),
        # A month's end.
        ("2024-03-31T23:59:59", "last month", "2024-02-01", "2024-03-01"),
        ("2024-03-31T23:59:59", "in february", "2024-02-01", "2024-03-01"),
        ("2023-03-31", "a month ago", "2023-02-01", "2023-03-01"),
        ("2024-05-31", "in june", "2023-06-01", "2023-07-01"),
        ("2024-05-31", "in april", "2024-04-01", "2024-05-01"),
        # A year's end.
        ("2024-01-01", "yesterday", "2023-12-31", "2024-01-01"),
        ("2024-01-01", "last week", "2023-12-25", "2024-01-01"),
        ("2024-01-01", "last month", "2023-12-01", "2024-01-01"),
        ("2024-01-01", "last year", "2023-01-01", "2024-01-01"),
        ("2024-01-01", "in december", "2023-12-01", "2024-01-01"),
        ("2024-01-01", "in the winter", "2023-12-01", "2024-03-01"),
        ("2024-01-01", "last winter", "2022-12-01", "2023-03-01"),
        ("2024-12-31T23:59", "today", "2024-12-31", "2025-01-01"),
        ("2024-12-31T23:59", "last year", "2023-01-01", "2024-01-01"),
        ("2024-12-31T23:59", "in january", "2024-01-01", "2024-02-01"),
        # Summer, in it and after it.
        ("2024-07-15", "last summer", "2023-06-01", "2023-09-01"),
        ("2024-07-15", "this summer", "2024-06-01", "2024-09-01"),
        ("2024-09-15", "last summer", "2024-06-01", "2024-09-01"),
        # Before the epoch, and near both ends of the calendar.
        ("1900-01-01", "yesterday", "1899-12-31", "1900-01-01"),
        ("0002-01-01", "last year", "0001-01-01", "0002-01-01"),
        ("0001-01-09", "yesterday", "0001-01-08", "0001-01-09"),
        ("0001-01-01", "in 2019", "2019-01-01", "2020-01-01"),
        ("9999-12-31T23:59", "yesterday", "9999-12-30", "9999-12-31"),
        ("9999-12-31T23:59", "last month", "9999-11-01", "9999-12-01"),
    ],
)
def test_at_an_edge_of_the_calendar(now: str, text: str, start: str, end: str) -> None:
    assert found(text, now) == [(start, end)]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ("0001-01-01", "yesterday"),
        ("0001-01-01", "last year"),
        ("0001-01-01", "in the winter"),
        ("0001-01-01", "recently"),
        ("9999-12-31T23:59", "today"),
        ("9999-12-31T23:59", "this year"),
        ("9999-12-31T23:59", "in the winter"),
    ],
)
def test_where_the_calendar_ends_nothing_is_found(now: str, text: str) -> None:
    assert found(text, now) == []


@pytest.mark.parametrize("now", [-(2**63), 2**63 - 1, -(10**30), 10**30])
def test_a_now_outside_the_calendar(now: int) -> None:
    assert find_periods("what did we do last week, in May and in 2019?", now) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What did we order?",
        "We fall in love over spring water",
        "May I come?",
        "the march of time",
        "Who is Mary?",
        "the two of us",
        "we sat in the sun",
        "31 april",
        "29 february 2023",
        "2023-13-45",
        "2023-02-30",
        "room 12019",
        "0 2 5",
    ],
)
def test_no_time_is_named(text: str) -> None:
    assert found(text, WEDNESDAY) == []


@pytest.mark.parametrize(
    "text",
    [
        "before 2019",
        "after 2019",
        "until May 2023",
        "till last week",
        "since 3 July 2022",
        "since the summer of 2022",
        "by June",
        "prior to 2019",
        "earlier than 2019",
        "before last summer",
        "since the last few days",
        "the day before yesterday",
        "before in May",
    ],
)
def test_what_is_before_or_after_a_time_is_not_then(text: str) -> None:
    assert found(f"What did we do {text}?", WEDNESDAY) == []


def test_the_rest_of_the_question_still_counts() -> None:
    got = found("What did we do in 2019, before 2021 and in July 2022?", WEDNESDAY)
    assert got == [("2019-01-01", "2020-01-01"), ("2022-07-01", "2022-08-01")]


@pytest.mark.parametrize("text", ["before last May", "since last June", "before  2019"])
def test_before_the_last_month_is_not_then(text: str) -> None:
    assert found(text, WEDNESDAY) == []


def test_may_is_a_verb_too() -> None:
    assert found("Do you think this may be wrong?", WEDNESDAY) == []


@pytest.mark.parametrize(
    ("now", "text", "start"),
    [(WEDNESDAY, "last May", "2023-05-01"), ("2024-12-31", "last december", "2023-12-01")],
)
def test_last_in_the_month_itself_is_a_year_ago(now: str, text: str, start: str) -> None:
    assert [period[0] for period in found(text, now)] == [start]


@pytest.mark.parametrize("text", ["this monday", "this sunday", "last day", "this day"])
def test_what_may_lie_ahead_is_not_guessed(text: str) -> None:
    assert found(text, WEDNESDAY) == []


def test_on_the_last_day_of_summer_last_summer_is_a_year_ago() -> None:
    assert found("last summer", "2024-08-31") == [("2023-06-01", "2023-09-01")]


@pytest.mark.parametrize("name", "monday tuesday wednesday thursday friday saturday sunday".split())
def test_a_weekday_is_the_one_of_the_past_week(name: str) -> None:
    for day in range(1, 15):
        now = datetime(2024, 2, 22) + day * DAY
        for before in ("on", "last"):
            got = found(f"{before} {name}", now.isoformat())
            assert len(got) == 1, (before, now)
            start = datetime.fromisoformat(got[0][0])
            assert start.strftime("%A").lower() == name, (before, now)
            assert DAY <= now - start <= 7 * DAY, (before, now)


def test_seasons_leave_no_gap_and_do_not_overlap() -> None:
    names = ["spring", "summer", "autumn", "winter"]
    ((_, end),) = found("in the winter of 2021", WEDNESDAY)
    for name in names:
        ((start, next_end),) = found(f"in the {name} of 2022", WEDNESDAY)
        assert start == end
        end = next_end


def test_a_list_of_dates_is_not_read_to_its_end() -> None:
    text = " ".join(f"on {day} march 2019," for day in range(1, 29))
    assert len(found(text, WEDNESDAY)) == 4


def test_in_the_order_of_the_words_each_once_and_at_most_four() -> None:
    text = "in 2019, last summer, in 2018, in 2019, yesterday and in 2017"
    assert [start for start, _ in found(text, WEDNESDAY)] == [
        "2019-01-01",
        "2023-06-01",
        "2018-01-01",
        "2024-05-14",
    ]


def test_a_page_is_not_read_to_its_end() -> None:
    assert found("x " * 600 + "in 2019", WEDNESDAY) == []


def test_in_many_threads_at_once() -> None:
    # dateparser keeps what it has read of a language and of settings in the process.
    texts = [f"{n} {unit}s ago" for n in range(1, 40) for unit in ("day", "week", "month", "year")]
    now = micros("2031-07-09")
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: find_periods(text, now), texts * 2))
    alone = [find_periods(text, now + 1) for text in texts]
    assert together == alone * 2


WORDS = (
    "in on last this during may march june january feb sept. spring fall winter summer of the a an "
    "one two twelve 1 2 3rd 29 31 30th 99 0 00 day days week weeks month year years ago 2023 2024 "
    "1900 2099 2023-07-03 2023-99-99 yesterday today weekend night recently few past couple monday "
    "sunday , . - before after since"
).split()
nows = st.integers(micros(datetime.min), micros(datetime.max)) | st.integers(
    -HUNDRED_YEARS, HUNDRED_YEARS
)


@given(st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join), nows)
def test_any_words_give_periods(text: str, now: int) -> None:
    got = find_periods(text, now)
    assert len(got) <= 4
    assert len(set(got)) == len(got)
    for period in got:
        assert isinstance(period, Period)
        assert period.start < period.end


@given(st.text(), st.integers())
def test_any_text_and_any_now(text: str, now: int) -> None:
    find_periods(text, now)


@given(st.sampled_from(["yesterday", "last week", "last month", "last year", "3 years ago"]), nows)
def test_the_past_is_before_now(text: str, now: int) -> None:
    for period in find_periods(text, now):
        assert period.end <= now


@given(st.sampled_from(["today", "this week", "this month", "this year", "recently"]), nows)
def test_the_present_holds_now(text: str, now: int) -> None:
    for period in find_periods(text, now):
        assert period.start <= now < period.end
