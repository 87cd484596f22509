"""Times as people type them: 2026-03-01, yesterday, "last monday", "2 weeks ago".

What is written as a date is UTC, as every time that is shown; words are of this machine's
time zone, and the day, week, month or year that they name counts from its beginning.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta, timezone
from typing import Final

from bruno_memory_vec.rankers.time_expressions import period_named

_HOW: Final = (
    'write 2026-03-01, 2026-03-01T18:30:00Z, yesterday, "last monday", "2 weeks ago" or "may 2026"'
)
_LONGEST: Final = 60
# 3/4/2026 is in March or in April, as one is used to it.
_TWO_WAYS: Final = re.compile(r"\b(\d{1,2})[./-](\d{1,2})[./-]\d{2,4}\b")
_AGO: Final = re.compile(
    r"(?<![\w:.-])(?P<n>\d{1,4}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\s*"
    r"(?P<unit>minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|[hdwy])(?:\s+ago)?(?!\w)"
)
_NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(), 1
    )
} | {"a": 1, "an": 1}
# dateparser takes "we" for Wednesday and "ana" for a day in another language, so it gets nothing
# but these words.
_MONTHS: Final = frozenset(
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_DAYS: Final = _MONTHS | frozenset(
    "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun "
    "today yesterday tomorrow now noon midnight morning afternoon evening night".split()
)
_BETWEEN: Final = frozenset(
    "the day before last this next at on in of am pm st nd rd th utc".split()
)
_DIGITS: Final = re.compile(r"\d{1,2}:\d\d(?::\d\d)?|(?:19|20|21)\d\d(?:-\d{1,2}-\d{1,2})?")


def read_time(text: str, now: datetime | None = None) -> tuple[datetime, bool]:
    """The time that a text says, with its zone, and whether it says it in words.

    Args:
        text: what was typed.
        now: what words refer to: the time on the wall, without a zone. Default: this machine's.

    Raises:
        ValueError: it says none, or may say two. The message tells how to write it.
    """
    said = " ".join(text.split())
    try:
        # Python 3.10 does not know the Z.
        at = datetime.fromisoformat(re.sub(r"(?i)\s?(?:z|utc)$", "+00:00", said))
    except ValueError:
        pass
    else:
        return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)), False
    shown = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
    both = _TWO_WAYS.search(said)
    if both is not None and int(both[1]) <= 12 and int(both[2]) <= 12:
        raise ValueError(f"{shown!r} may be two days: write 2026-03-01, the year first")
    wall = (
        _read(said, datetime.now() if now is None else now)  # noqa: DTZ005 - the wall's
        if len(said) <= _LONGEST
        else None
    )
    if wall is None:
        raise ValueError(f"{shown!r} is no time that is read here: {_HOW}")
    try:
        return (wall.astimezone() if wall.tzinfo is None else wall), True
    except (OverflowError, ValueError, OSError):
        raise ValueError(f"{shown!r} lies outside the calendar: {_HOW}") from None


def _read(said: str, now: datetime) -> datetime | None:
    """The time on the wall; None where nothing is read."""
    lower = said.lower()
    try:
        if not _numbers_fit(lower):
            return None
        return _ago(lower, now) or _named(said, now) or _with_a_clock(lower, now)
    except (OverflowError, ValueError):
        return None  # outside the calendar


def _numbers_fit(lower: str) -> bool:
    """Whether each number is a year, a clock's, a count, or a day beside its month."""
    rest = _DIGITS.sub(" ", _AGO.sub(" ", lower))
    words = set(re.findall(r"[^\W\d_]+", rest))
    if not words <= _DAYS | _BETWEEN:
        return True  # another language's, which _named reads whole or not at all
    alone = re.findall(r"(\d+)\s*(am|pm)?", rest)
    return all(half or (words & _MONTHS and 1 <= int(day) <= 31) for day, half in alone)


def _ago(lower: str, now: datetime) -> datetime | None:
    # The very moment for hours, the beginning of the day for what is longer.
    found = _AGO.fullmatch(lower)
    if found is None:
        return None
    number = _NUMBERS.get(found["n"]) or int(found["n"])
    unit = found["unit"]
    if unit.startswith(("min", "h")):
        return now - (timedelta(hours=number) if unit[0] == "h" else timedelta(minutes=number))
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit[0] in "dw":
        return today - timedelta(days=number * (7 if unit[0] == "w" else 1))
    back = 12 * now.year + now.month - 1 - number * (1 if unit[0] == "m" else 12)
    year, month = back // 12, back % 12 + 1
    return today.replace(year=year, month=month, day=min(now.day, monthrange(year, month)[1]))


def _named(said: str, now: datetime) -> datetime | None:
    if said.lower() == "now":
        return now
    span = period_named(said, now)
    return None if span is None else span.start


def _with_a_clock(lower: str, now: datetime) -> datetime | None:
    words = set(re.findall(r"[^\W\d_]+", lower))
    if not words <= _DAYS | _BETWEEN or not (words & _DAYS or _DIGITS.search(lower)):
        return None
    from dateparser.date import DateDataParser

    settings = {"RELATIVE_BASE": now, "PREFER_DATES_FROM": "past", "RETURN_TIME_AS_PERIOD": True}
    read = DateDataParser(languages=["en"], settings=settings).get_date_data(lower)
    at: datetime | None = read.date_obj
    if at is None:
        return None
    if read.period == "month":
        at = at.replace(day=1)
    if read.period == "year":
        at = at.replace(month=1, day=1)
    midnight = read.period not in ("time", "part_of_day")
    return at.replace(hour=0, minute=0, second=0, microsecond=0) if midnight else at
