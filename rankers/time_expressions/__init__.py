"""The times that a question names, as periods: "in May", "last week", "2025年3月".

Rankings read the times that are past (:func:`find_periods`).

Each language's words are read by a module of its own, and what they mean in the calendar is in
:mod:`.spans`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from . import coming, east_asian, english, other_languages
from .spans import Said, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# A question is one or two sentences; of a pasted page only the beginning is searched for dates.
_MAX_CHARS = 1_000
_MAX_PERIODS = 4


@dataclass(frozen=True, slots=True)
class Period:
    """A period: from ``start`` up to, but not including, ``end``; microseconds since 1970, UTC."""

    start: int
    end: int


def find_periods(text: str, now: int, zone: tzinfo = timezone.utc) -> tuple[Period, ...]:
    """The periods that a question names, in the order of their words.

    Read are English, Chinese, Japanese, Korean, and the languages of :mod:`.tables`. Dates, months,
    years, weekdays and "two weeks ago" are always in the past; seasons are those of the northern
    hemisphere. Times after "before", "after", "since" or "until" are ignored; "recently" counts
    only where no date is named. At most four are returned.

    Args:
        text: the question.
        now: the time that relative times refer to, microseconds since 1970, UTC.
        zone: where the person is who asks: their days, and so their weeks, months and years,
            begin at midnight there.
    """
    lower = other_languages.plain(text[:_MAX_CHARS].lower())
    words = other_languages.words_of(lower)
    # Nearly every question names none, and is known by its words.
    if not english.may_name_time(lower, words) and not _may_be_foreign(lower, words):
        return ()
    return _read(lower, now, zone, _past)


def find_all_periods(text: str, now: int, zone: tzinfo = timezone.utc) -> tuple[Period, ...]:
    """As :func:`find_periods`, and times to come such as "tomorrow" and "next year". English.

    What is meant by a date, as "May 2027", may be to come in both.
    """
    return _read(other_languages.plain(text[:_MAX_CHARS].lower()), now, zone, _any)


def period_named(text: str, here: datetime) -> Span | None:
    """The period that a text is the name of, as "last week"; None where it is not, or says more.

    Args:
        text: such as somebody gives as a bound, and no question.
        here: the time on the wall of whoever gives it, without a zone. So is the result.
    """
    lower = other_languages.plain(text.strip().lower())
    try:
        found = _apart(_any(lower, here))
    except (OverflowError, ValueError):
        return None
    # A preposition may lead it.
    whole = len(found) == 1 and found[0].stop == len(lower) and not found[0].vague
    if not whole or lower[: found[0].begin].strip() not in ("", "in", "on", "the", "since", "from"):
        return None
    return found[0].span


def _any(lower: str, here: datetime) -> Iterator[Said]:
    yield from coming.read(lower, here)
    yield from _past(lower, here)


def _past(lower: str, here: datetime) -> Iterator[Said]:
    yield from english.read(lower, here)
    yield from other_languages.read(lower, here)
    if not lower.isascii():
        yield from east_asian.read(lower, here)


def _may_be_foreign(lower: str, words: frozenset[str]) -> bool:
    return not lower.isascii() or bool(other_languages.languages_of(lower, words))


def _read(
    lower: str, now: int, zone: tzinfo, read: Callable[[str, datetime], Iterable[Said]]
) -> tuple[Period, ...]:
    try:
        here = (_EPOCH + timedelta(microseconds=now)).astimezone(zone).replace(tzinfo=None)
        periods = [
            Period(_micros(said.span.start, zone), _micros(said.span.end, zone))
            for said in _apart(read(lower, here))
            if said.span is not None
        ]
    except (OverflowError, ValueError):
        # `now` is so close to year 1 or 9999 that a period would lie outside the calendar.
        return ()
    return tuple(dict.fromkeys(periods))[:_MAX_PERIODS]


def _apart(found: Iterable[Said]) -> list[Said]:
    """Those that are not part of a longer one, in the order of the text.

    Vague ones are left out where another is not.
    """
    kept: list[Said] = []
    # Of two readings of the same words, the one that they mean another time.
    for said in sorted(found, key=lambda one: (one.begin, -one.stop, one.span is not None)):
        if kept and said.begin < kept[-1].stop:
            continue
        kept.append(said)
    if any(said.span is not None and not said.vague for said in kept):
        return [said for said in kept if not said.vague]
    return kept


def _micros(wall: datetime, zone: tzinfo) -> int:
    """A time on the wall in a zone as microseconds since 1970, UTC.

    Of a time that is there twice it is the first; one that a changed clock has left out is the
    moment of that change.
    """
    at = wall.replace(tzinfo=zone, fold=0)
    return (at.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
