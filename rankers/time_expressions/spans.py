"""Spans of the calendar: days, weeks, months, thirds of a month, seasons and years.

All times are what the clock on the wall shows, without a zone: a day is one even where it has 23
hours. Weeks begin on Monday.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

DAY = timedelta(days=1)
#: At most so many times are read from a text by one module.
MOST = 12
#: How many characters before a time are looked at, for what they make of it ("before", "late in").
BEFORE = 40

Unit = Literal["day", "week", "month", "year"]
Part = Literal["early", "mid", "late"]

_DAYS: dict[Unit, int] = {"day": 1, "week": 7, "month": 30, "year": 365}
# What people call early, mid and late in a month, as the Chinese and Japanese calendars divide it.
_THIRDS: dict[Part, tuple[int, int]] = {"early": (1, 11), "mid": (11, 21), "late": (21, 0)}
_THIRDS_OF_YEAR: dict[Part, tuple[int, int]] = {"early": (1, 3), "mid": (6, 8), "late": (11, 13)}


class Span(NamedTuple):
    """From ``start`` up to, but not including, ``end``, as the clock on the wall shows them."""

    start: datetime
    end: datetime


class Said(NamedTuple):
    """A time that a text names.

    Attributes:
        begin: where its words begin in the text.
        stop: where they end.
        span: which time it is; None where the words say that it is another one ("before 2019").
        vague: whether it names no date ("recently").
    """

    begin: int
    stop: int
    span: Span | None
    vague: bool = False


def year(number: int) -> Span:
    """A year."""
    first = _midnight(number, 1, 1)
    return Span(first, first.replace(year=number + 1))


def year_part(number: int, part: Part) -> Span:
    """The beginning of a year (two months), its middle or its end."""
    first, last = _THIRDS_OF_YEAR[part]
    return Span(month(number, first).start, month(number, last - 1).end)


def half_year(number: int, half: int) -> Span:
    """The first or the second half of a year."""
    return Span(month(number, 6 * half - 5).start, month(number, 6 * half).end)


def quarter(number: int, which: int) -> Span:
    """One of the four quarters of a year."""
    return Span(month(number, 3 * which - 2).start, month(number, 3 * which).end)


def month(number: int, which: int) -> Span:
    """A month of a year, 1..12."""
    first = _midnight(number, which, 1)
    return Span(first, (first + 31 * DAY).replace(day=1))


def last_month(which: int, today: datetime) -> Span:
    """The latest month of that number, 1..12, that has begun."""
    return month(today.year - (which > today.month), which)


def third(of: Span, part: Part) -> Span:
    """The days 1 to 10 of a month, 11 to 20, or those from 21 on."""
    first, last = _THIRDS[part]
    return Span(of.start.replace(day=first), of.start.replace(day=last) if last else of.end)


def day(number: int, which: int, of_month: int) -> Span | None:
    """A day of a year; None if there is none."""
    try:
        start = _midnight(number, which, of_month)
    except ValueError:
        return None
    return Span(start, start + DAY)


def last_day(which: int, of_month: int, today: datetime) -> Span | None:
    """The latest day of that month and number that has begun; None if there is none."""
    for number in range(today.year, max(today.year - 9, 0), -1):
        found = day(number, which, of_month)
        if found is not None and found.start <= today:
            return found
    return None


def ago(number: int, unit: Unit, today: datetime) -> Span:
    """The day, week, month or year that lies so many of them back; 0 is the present one."""
    if unit == "day":
        return Span(today - number * DAY, today - (number - 1) * DAY)
    if unit == "week":
        monday = today - (today.weekday() + 7 * number) * DAY
        return Span(monday, monday + 7 * DAY)
    if unit == "month":
        months = today.year * 12 + today.month - 1 - number
        return month(months // 12, months % 12 + 1)
    return year(today.year - number)


def latest(number: int, unit: Unit, now: datetime) -> Span:
    """The last so many days, weeks, months or years, up to now and the day after."""
    return Span(now - number * _DAYS[unit] * DAY, now + DAY)


def last_weekday(which: int, today: datetime) -> Span:
    """The latest day of the week before today; Monday is 0."""
    back = (today.weekday() - which - 1) % 7 + 1
    return ago(back, "day", today)


def weekday_of(week: Span, which: int) -> Span:
    """A day of a week; Monday is 0."""
    start = week.start + which * DAY
    return Span(start, start + DAY)


def last_night(today: datetime) -> Span:
    """Yesterday, and today until noon."""
    return Span(today - DAY, today + DAY / 2)


def season(number: int, first_month: int) -> Span:
    """Three months from the first day of one; a winter begins in December of its year."""
    begin = _midnight(number, first_month, 1)
    return Span(begin, season_end(begin))


def last_season(first_month: int, today: datetime, *, ended: bool = False) -> Span:
    """The latest season that has begun; with ``ended``, that has ended, too."""
    found = season(today.year - (first_month > today.month), first_month)
    if ended and today < found.end:
        found = season(found.start.year - 1, first_month)
    return found


def season_end(begin: datetime) -> datetime:
    """The end of a season that begins then."""
    return begin.replace(year=begin.year + (begin.month == 12), month=begin.month % 12 + 3)


def year_before(span: Span) -> Span:
    """The same days a year before."""
    return Span(
        *(
            one.replace(year=one.year - 1, day=min(one.day, 28 if one.month == 2 else one.day))
            for one in span
        )
    )


def _midnight(number: int, which: int, of_month: int) -> datetime:
    return datetime(number, which, of_month)  # noqa: DTZ001 - a time on the wall has no zone
