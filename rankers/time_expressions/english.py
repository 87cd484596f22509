"""The times that an English text names: "in May", "last week", "late in March"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from datetime import datetime
from functools import lru_cache
from itertools import islice

from . import spans
from .spans import DAY, Part, Said, Span, Unit

# At most so many expressions are parsed: each takes half a millisecond.
_MAX_PARSED = 6

#: Patterns of words, in lower case.
MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?"
)
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
UNIT = r"(?:day|week|month|year)"
NUMBER = r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_YEAR = r"(?:19|20)\d\d"

# What is passed to dateparser. It reads "we" as Wednesday and "the two" as a day, so it never gets
# a whole question. Most questions name no time, and then it is not called at all.
_PARSED = re.compile(
    rf"\b{_YEAR}-\d\d-\d\d\b"
    rf"|\b{_NTH} (?:of )?{MONTH}(?:,? {_YEAR})?"
    rf"|\b{MONTH} {_NTH}\b(?:,? {_YEAR})?"
    rf"|\b{MONTH},? (?:of )?{_YEAR}\b"
    rf"|\b(?P<bare>{MONTH})"
    rf"|\b(?:yesterday|today|(?:last|this) (?:week|month|year)|(?:last|on) {WEEKDAY})\b"
    rf"|\b{NUMBER} {UNIT}s? ago\b"
    rf"|\b{_YEAR}\b"
)
# Months whose names mean nothing else, unlike "may", "march" and the short forms.
_PLAIN_MONTHS = frozenset(
    "january february april june july august september october november december".split()
)
_IN = re.compile(r"\b(?:in|last|during|early|mid|late|(?:beginning|start|middle|end|week) of)[ -]$")
_SEASON = re.compile(
    rf"\b(last |this |in |in the )?(spring|summer|autumn|fall|winter)\b(?: of)?(?: ({_YEAR}))?"
)
_WEEKEND = re.compile(r"\b(last|this|the) weekend\b|\b(last) night\b")
_LATEST = re.compile(
    rf"\b(?:last|past) (few|couple of|{NUMBER}) ({UNIT})s?\b|\b(recently|lately|these days)\b"
)
#: "Before May" does not mean May.
NOT_THEN = re.compile(
    r"\b(?:before|after|until|till|since|than|by|prior to)"
    r"(?:\s+(?:the|in|last|early|late|mid))*\s*$"
)
# What stands before a month or a year that is meant in part.
_PART = re.compile(
    r"\b(?:(?P<early>early|beginning of|start of)|(?P<mid>mid|middle of)|(?P<late>late|end of)"
    r"|(?P<week>first|second|third|fourth|last) week of)(?: in)?[ -](?:the )?$"
)
# The end of a range of days: "from January 9 to 11", "March 3rd and 4th".
_TO = re.compile(
    r",? ?(?:(?:to|through|-|\u2013) ?(?:the )?(\d{1,2})(?:st|nd|rd|th)?"
    r"|and (?:the )?(\d{1,2})(?:st|nd|rd|th))\b"
)
_WEEKS = ("first", "second", "third", "fourth", "last")
# The first month of each, in the northern hemisphere, where most people live.
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_UNITS: dict[str, Unit] = {"day": "day", "week": "week", "month": "month", "year": "year"}
_WORDS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
} | {"a": 1, "an": 1, "few": 3, "couple of": 2}


# Of each pattern above a word that it cannot do without; where none stands in a text, and no digit,
# no pattern is tried.
_TELLING = frozenset(
    """
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
    monday tuesday wednesday thursday friday saturday sunday
    yesterday today last this ago spring summer autumn fall winter weekend past
    recently lately these
    """.split()
)
_DIGIT = re.compile(r"\d")


def may_name_time(lower: str, words: Set[str]) -> bool:
    """Whether a text may name a time that :func:`read` finds. What says no is right.

    Args:
        lower: the text, in lower case.
        words: its words: every run of the letters a to z.
    """
    return not _TELLING.isdisjoint(words) or _DIGIT.search(lower) is not None


def read(lower: str, now: datetime) -> list[Said]:
    """The times that an English text names, always in the past.

    Dates, months, years, weekdays and "two weeks ago" are resolved by dateparser; parts of a
    month, seasons, weekends and "the last few days" here.

    Args:
        lower: the text, in lower case.
        now: the time on the wall that relative times refer to.
    """
    return [
        said._replace(span=None) if NOT_THEN.search(lower, 0, said.begin) else said
        for said in _found(lower, now)
    ]


def _found(lower: str, now: datetime) -> Iterator[Said]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    # "The winter of 2022" must not also count as the year 2022.
    seasons = [match.span() for match in _SEASON.finditer(lower) if match[3]]
    for match in islice(filter(_is_time, _PARSED.finditer(lower)), _MAX_PARSED):
        if any(start < match.end() <= end for start, end in seasons):
            continue
        span = _resolve(match[0], today)
        if span is None:
            continue
        before, stop = lower[: match.start()], match.end()
        if before.endswith("last ") and span.end > today:
            # In May, "last May" is that of the year before.
            span = spans.year_before(span)
        days = (span.end - span.start).days
        if days == 1 and (to := _TO.match(lower, stop)):
            last = spans.day(span.start.year, span.start.month, int(to[1] or to[2]))
            if last is not None and last.start > span.start:
                span, stop = Span(span.start, last.end), to.end()
        elif days > 27 and (part := _PART.search(before)):
            span = _part(span, part)
        yield Said(match.start(), stop, span)
    for match in _SEASON.finditer(lower):
        # Only beside a preposition or a year is it a season, unlike in "we fall in love".
        if match[1] or match[3]:
            yield Said(*match.span(), _season(match[2], match[1], match[3], today))
    for match in _WEEKEND.finditer(lower):
        if match[2]:
            yield Said(*match.span(), spans.last_night(today))
        else:
            saturday = today - DAY * ((today.weekday() - 5) % 7)
            if match[1] == "last" and today.weekday() >= 5:
                saturday -= 7 * DAY
            yield Said(*match.span(), Span(saturday, saturday + 2 * DAY))
    for match in _LATEST.finditer(lower):
        number, unit = number_of(match[1] or "1"), unit_of(match[2] or "month")
        yield Said(*match.span(), spans.latest(number, unit, now), vague=match[3] is not None)


def number_of(word: str) -> int:
    """The number of a word that :data:`NUMBER` matches."""
    return _WORDS.get(word) or int(word)


def unit_of(word: str) -> Unit:
    """The unit of a word that :data:`UNIT` matches."""
    return _UNITS[word]


def _is_time(match: re.Match[str]) -> bool:
    bare = match["bare"]
    return bare is None or bare in _PLAIN_MONTHS or bool(_IN.search(match.string, 0, match.start()))


def _part(span: Span, match: re.Match[str]) -> Span:
    """A part of a month or of a year."""
    if match["week"]:
        number = _WEEKS.index(match["week"])
        start = span.end - 7 * DAY if number == 4 else span.start + 7 * number * DAY
        return Span(start, start + 7 * DAY)
    part: Part = "early" if match["early"] else "mid" if match["mid"] else "late"
    if (span.end - span.start).days > 31:
        return spans.year_part(span.start.year, part)
    return spans.third(span, part)


def _season(name: str, before: str | None, year: str | None, today: datetime) -> Span:
    if year:
        return spans.season(int(year), _SEASONS[name])
    # In July, "last summer" is that of the year before.
    return spans.last_season(_SEASONS[name], today, ended=before == "last ")


@lru_cache(maxsize=1024)
def _resolve(expression: str, today: datetime) -> Span | None:
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
        return spans.ago(0, "week", day)
    if data.period == "month":
        return spans.month(day.year, day.month)
    if data.period == "year":
        return spans.year(day.year)
    return Span(day, day + DAY)
