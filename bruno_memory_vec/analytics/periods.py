"""Days, weeks, months and years in a time zone, of many times at once."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import checks

Ints = NDArray[np.int64]
#: How long a period is.
Period = Literal["day", "week", "month", "year"]
PERIODS: Final[tuple[str, ...]] = get_args(Period)
_SHORTEST_FIRST: Final[tuple[Period, ...]] = ("day", "week", "month")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
# Between two of these, no zone of the world changes its offset.
_SLOT: Final = 900 * _SECOND
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_DAY: Final = date(1, 1, 1).toordinal() - date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date(9999, 12, 31).toordinal() - date(1970, 1, 1).toordinal()
# Where nobody says how long periods are, there are so many at most.
_MOST_POINTS: Final = 60
#: Over so many periods, those without a row are left out.
MOST_WITH_GAPS: Final = 2_000


def zone_of(given: Any) -> tzinfo:
    """A time zone, by its name ("Europe/Berlin") or as a ``tzinfo``.

    Raises:
        InvalidInputError: it is none, or this machine does not know it.
    """
    fix = 'Give a name such as "Europe/Berlin", or a tzinfo.'
    if isinstance(given, tzinfo):
        try:
            _EPOCH.astimezone(given)
            return given
        except Exception as error:  # whatever a foreign zone raises
            raise InvalidInputError(
                "zone", f"{checks.shown(given)} cannot be reckoned with", fix=fix, cause=error
            ) from error
    if not isinstance(given, str):
        raise InvalidInputError("zone", f"{checks.shown(given)} is no time zone", fix=fix)
    if given == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(given)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInputError(
            "zone", f"{checks.shown(given)} is no time zone that is known here", fix=fix
        ) from error


def zone_name(zone: tzinfo) -> str:
    """The name of a zone."""
    return "UTC" if zone is timezone.utc else str(zone)


def local(moments: Ints, zone: tzinfo) -> Ints:
    """Times in UTC as times of a zone, both in microseconds since 1970, int64 (n,)."""
    if zone is timezone.utc or not len(moments):
        return moments
    slots, places = np.unique(moments // _SLOT, return_inverse=True)
    offsets = np.array([_offset(int(slot) * _SLOT, zone) for slot in slots], np.int64)
    found: Ints = moments + offsets[places]
    return found


def _offset(moment: int, zone: tzinfo) -> int:
    try:
        offset = (_EPOCH + timedelta(microseconds=moment)).astimezone(zone).utcoffset()
    except OverflowError:  # the first or the last day that there is
        return 0
    return 0 if offset is None else offset // timedelta(microseconds=1)


def hours(moments: Ints) -> Ints:
    """The hour of the day of local times, 0..23."""
    found: Ints = moments % _DAY // (3_600 * _SECOND)
    return found


def weekdays(moments: Ints) -> Ints:
    """The day of the week of local times, 0 for Monday."""
    found: Ints = (moments // _DAY + 3) % 7
    return found


def numbered(moments: Ints, by: Period) -> Ints:
    """The number of the period of each local time; periods that follow each other have numbers
    that do."""
    days: Ints = moments // _DAY
    return of_days(days, by)


def of_days(days: Ints, by: Period) -> Ints:
    """The number of the period of each day (days since 1970)."""
    if by == "day":
        return days
    if by == "week":
        found: Ints = (days + 3) // 7
        return found
    unit = "M" if by == "month" else "Y"
    named: Ints = days.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype(np.int64)
    return named


def days_of(moments: Ints) -> Ints:
    """The day of local times, as days since 1970."""
    found: Ints = moments // _DAY
    return found


def begins(number: int, by: Period) -> date:
    """The first day of a period."""
    if by == "day":
        day = number
    elif by == "week":
        day = number * 7 - 3
    else:
        unit = "M" if by == "month" else "Y"
        first = np.array([number], np.int64).astype(f"datetime64[{unit}]")
        day = int(first.astype("datetime64[D]").astype(np.int64)[0])
    # A week may begin before the first day that Python knows.
    return date(1970, 1, 1) + timedelta(days=min(max(day, _FIRST_DAY), _LAST_DAY))


def chosen(by: Any, days: Ints) -> Period:
    """The period that is asked for; where none is, the shortest of which there are few enough.

    Args:
        by: a name, or None.
        days: the days (since 1970) on which there is something.

    Raises:
        InvalidInputError: there is no such period.
    """
    if by is not None:
        named: Period = checks.name("by", by, PERIODS)  # type: ignore[assignment]
        return named
    for period in _SHORTEST_FIRST:
        span = of_days(days, period)
        if not len(span) or span.max() - span.min() < _MOST_POINTS:
            return period
    return "year"


def all_between(numbers: Ints) -> list[int]:
    """The numbers of periods from the first to the last, ascending.

    Periods without a row are among them, unless there would be more than
    :data:`MOST_WITH_GAPS` in all.
    """
    if not len(numbers):
        return []
    first, last = int(numbers.min()), int(numbers.max())
    if last - first < MOST_WITH_GAPS:
        return list(range(first, last + 1))
    return [int(one) for one in np.unique(numbers)]


def label(start: date, by: Period) -> str:
    """A period's name: "2026-03-01", "2026-W09", "2026-03", "2026"."""
    if by == "day":
        return start.isoformat()
    if by == "week":
        year, week, _ = start.isocalendar()
        return f"{year}-W{week:02}"
    return f"{start.year:04}-{start.month:02}" if by == "month" else f"{start.year:04}"
