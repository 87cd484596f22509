"""The times to come that an English text names: "tomorrow", "next week", "in three months".

Rankings do not read them: what was said of a time to come was said before it. A search that leaves
out rows of other times does (events may be stored with a time to come).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from . import spans
from .english import MONTH, NOT_THEN, NUMBER, UNIT, WEEKDAY, number_of, unit_of
from .spans import DAY, Said, Span

_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_COMING = re.compile(
    r"\b(?:(?P<after>the day after tomorrow)|(?P<tomorrow>tomorrow)"
    r"|(?:(?<!the )next|coming) (?:(?P<unit>week(?:end)?|month|year)"
    rf"|(?P<weekday>{WEEKDAY})|(?P<month>{MONTH}))"
    rf"|in (?P<number>{NUMBER}) (?P<units>{UNIT})s?(?P<time>'s? time)?)(?!\w)"
)
# "What did I read in three weeks?" asks how much.
_PAST = re.compile(r"\b(?:did|was|were|had|have|has)\b")


def read(lower: str, now: datetime) -> Iterator[Said]:
    """The times to come that a text names.

    Args:
        lower: the text, in lower case.
        now: the time on the wall that relative times refer to.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    past = _PAST.search(lower) is not None
    for match in _COMING.finditer(lower.replace("’", "'")):
        if match["units"] and past and not match["time"]:
            continue
        # "Until tomorrow" is another time.
        then = NOT_THEN.search(lower, 0, match.start()) is None
        yield Said(*match.span(), _span(match, today) if then else None)


def _span(match: re.Match[str], today: datetime) -> Span:
    if match["after"]:
        return spans.ago(-2, "day", today)
    if match["tomorrow"]:
        return spans.ago(-1, "day", today)
    if match["unit"] == "weekend":
        week = spans.ago(-1, "week", today)
        return Span(week.end - 2 * DAY, week.end)
    if match["unit"]:
        return spans.ago(-1, unit_of(match["unit"]), today)
    if match["weekday"]:
        ahead = (_WEEKDAYS.index(match["weekday"]) - today.weekday() - 1) % 7 + 1
        return spans.ago(-ahead, "day", today)
    if match["month"]:
        which = _MONTHS.index(match["month"][:3]) + 1
        return spans.month(today.year + (which <= today.month), which)
    return spans.ago(-number_of(match["number"]), unit_of(match["units"]), today)
