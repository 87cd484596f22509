"""The times that a question names, as periods: "in May", "last week", "on 3 July 2023"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import islice

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = timedelta(days=1)
# A question is one or two sentences; of a pasted page only the beginning is searched for dates.
_MAX_CHARS = 1_000
_MAX_PERIODS = 4
# At most so many expressions are parsed: each takes half a millisecond.
_MAX_PARSED = 6

_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?"
)
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_UNIT = r"(?:day|week|month|year)"
_NUMBER = r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_YEAR = r"(?:19|20)\d\d"

# What is passed to dateparser. It reads "we" as Wednesday and "the two" as a day, so it never gets
# a whole question. Most questions name no time, and then it is not called at all.
_PARSED = re.compile(
    rf"\b{_YEAR}-\d\d-\d\d\b"
    rf"|\b{_NTH} (?:of )?{_MONTH}(?:,? {_YEAR})?"
    rf"|\b{_MONTH} {_NTH}\b(?:,? {_YEAR})?"
    rf"|\b{_MONTH},? (?:of )?{_YEAR}\b"
    # "may" and "march" also have other meanings.
    rf"|(?<=\bin ){_MONTH}|(?<=\blast ){_MONTH}|(?<=\bduring ){_MONTH}"
    r"|\b(?:january|february|april|june|july|august|september|october|november|december)\b"
    rf"|\b(?:yesterday|today|(?:last|this) (?:week|month|year)|(?:last|on) {_WEEKDAY})\b"
    rf"|\b{_NUMBER} {_UNIT}s? ago\b"
    rf"|\b{_YEAR}\b"
)
_SEASON = re.compile(
    rf"\b(last |this |in |in the )?(spring|summer|autumn|fall|winter)\b(?: of)?(?: ({_YEAR}))?"
)
_WEEKEND = re.compile(r"\b(last|this|the) weekend\b|\b(last) night\b")
_LATEST = re.compile(
    rf"\b(?:last|past) (few|couple of|{_NUMBER}) ({_UNIT})s?\b|\b(recently|lately|these days)\b"
)
# "Before May" does not mean May.
_NOT_THEN = re.compile(
    r"\b(?:before|after|until|till|since|than|by|prior to)"
    r"(?:\s+(?:the|in|last|early|late|mid))*\s*$"
)
# The first month of each, in the northern hemisphere, where most people live.
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_WORDS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
} | {"a": 1, "an": 1, "few": 3, "couple of": 2}


@dataclass(frozen=True, slots=True)
class Period:
    """A period: from ``start`` up to, but not including, ``end``; microseconds since 1970, UTC."""

    start: int
    end: int


def find_periods(text: str, now: int, zone: tzinfo = timezone.utc) -> tuple[Period, ...]:
    """The periods that an English question names, in the order of their words.

    Dates, months, years, weekdays and "two weeks ago" are resolved by dateparser, always
    to a time in the past; seasons (of the northern hemisphere), weekends and "the last few
    days" are resolved here. Times after "before", "after", "since" or "until" are ignored.
    At most four are returned.

    Args:
        text: the question.
        now: the time that relative times refer to, microseconds since 1970, UTC.
        zone: where the person is who asks: their days, and so their weeks, months and years,
            begin at midnight there.
    """
    lower = text[:_MAX_CHARS].lower()
    try:
        here = (_EPOCH + timedelta(microseconds=now)).astimezone(zone).replace(tzinfo=None)
        periods = [
            Period(_micros(start, zone), _micros(end, zone))
            for at, start, end in sorted(_found(lower, here), key=lambda item: item[0])
            if not _NOT_THEN.search(lower, 0, at)
        ]
    except (OverflowError, ValueError):
        # `now` is so close to year 1 or 9999 that a period would lie outside the calendar.
        return ()
    return tuple(dict.fromkeys(periods))[:_MAX_PERIODS]


def _found(lower: str, base: datetime) -> Iterator[tuple[int, datetime, datetime]]:
    """The position of each expression in the text, and the start and end of its period.

    All of them are what the clock on the wall shows, ``base`` too: a day is one even where it has
    23 hours.
    """
    today = base.replace(hour=0, minute=0, second=0, microsecond=0)
    # "The winter of 2022" must not also count as the year 2022.
    seasons = [match.span() for match in _SEASON.finditer(lower) if match[3]]
    for match in islice(_PARSED.finditer(lower), _MAX_PARSED):
        if any(start < match.end() <= end for start, end in seasons):
            continue
        period = _resolve(match[0], today)
        if period is not None:
            if lower[: match.start()].endswith("last ") and period[1] > today:
                # In May, "last May" is that of the year before.
                period = (_year_before(period[0]), _year_before(period[1]))
            yield match.start(), *period
    for match in _SEASON.finditer(lower):
        # Only beside a preposition or a year is it a season, unlike in "we fall in love".
        if match[1] or match[3]:
            yield match.start(), *_season(match[2], match[1], match[3], today)
    for match in _WEEKEND.finditer(lower):
        if match[2]:
            yield match.start(), today - _DAY, today + _DAY / 2
        else:
            saturday = today - _DAY * ((today.weekday() - 5) % 7)
            if match[1] == "last" and today.weekday() >= 5:
                saturday -= 7 * _DAY
            yield match.start(), saturday, saturday + 2 * _DAY
    for match in _LATEST.finditer(lower):
        number = _WORDS.get(match[1] or "") or int(match[1] or 1)
        days = number * _DAYS[match[2] or "month"]
        yield match.start(), base - days * _DAY, base + _DAY


def _season(
    name: str, before: str | None, year: str | None, today: datetime
) -> tuple[datetime, datetime]:
    begin = today.replace(year=int(year) if year else today.year, month=_SEASONS[name], day=1)
    if year is None and begin > today:
        begin = _year_before(begin)
    if before == "last " and year is None and today < _season_end(begin):
        # In July, "last summer" is that of the year before.
        begin = _year_before(begin)
    return begin, _season_end(begin)


def _season_end(begin: datetime) -> datetime:
    return begin.replace(year=begin.year + (begin.month == 12), month=begin.month % 12 + 3)


def _year_before(moment: datetime) -> datetime:
    return moment.replace(year=moment.year - 1, day=min(moment.day, 28))


@lru_cache(maxsize=1024)
def _resolve(expression: str, today: datetime) -> tuple[datetime, datetime] | None:
    """The day, week, month or year that dateparser reads; None where it reads none."""
    from dateparser.date import DateDataParser  # 0.1 s, paid by the first question with a date

    parser = DateDataParser(
        languages=["en"], settings={"PREFER_DATES_FROM": "past", "RELATIVE_BASE": today}
    )
    data = parser.get_date_data(expression)
    if data.date_obj is None:
        return None
    day = data.date_obj.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    if data.period == "week":
        monday = day - _DAY * day.weekday()
        return monday, monday + 7 * _DAY
    if data.period == "month":
        first = day.replace(day=1)
        return first, (first + 31 * _DAY).replace(day=1)
    if data.period == "year":
        first = day.replace(month=1, day=1)
        return first, first.replace(year=first.year + 1)
    return day, day + _DAY


def _micros(wall: datetime, zone: tzinfo) -> int:
    """A time on the wall in a zone as microseconds since 1970, UTC.

    Of a time that is there twice it is the first; one that a changed clock has left out is the
    moment of that change.
    """
    at = wall.replace(tzinfo=zone, fold=0)
    return (at.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
