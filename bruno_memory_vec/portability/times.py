"""Times as exports write them, read as naive UTC.

Understood are ISO 8601, also without separators; year, month and day with slashes or dots
(``2023/05/20 (Sat) 02:21``); epoch seconds, milliseconds, microseconds and nanoseconds, as numbers
or as text; RFC 2822 (``Fri, 3 Oct 2025 18:50:00 +0000``); and days with slashes or dots
(``25/10/2024 18:50``), if what comes first is known. A time without an offset is taken as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from bruno_memory_vec.errors import InvalidInputError

#: What comes first in a date such as 3/4/2024.
DayOrder = Literal["day-first", "month-first"]
#: Names of a message's time; the first that holds something counts.
KEYS = (
    "timestamp",
    "created_at",
    "create_time",
    "createTime",
    "createdAt",
    "created",
    "created_date",
    "date",
    "datetime",
    "time",
    "ts",
    "sent_at",
)

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ]\s*(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s*(?:([Zz]|UTC|GMT)|([+-])(\d\d):?([0-5]\d)?)?",
    re.ASCII,
)
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[Tt]?(\d\d)(\d\d)(\d\d)?[Zz]?)?", re.ASCII)
_HALF = r"(?:\s*([AaPp])\.?\s?[Mm]\.?)?"
_YEAR_FIRST = re.compile(
    r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})(?:\s*\([A-Za-z]{3,9}\))?"
    rf"(?:,?\s+(\d{{1,2}})[:.](\d\d)(?:[:.](\d\d))?{_HALF})?",
    re.ASCII,
)
_SLASHED = re.compile(
    r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)"
    rf"(?:,?\s+(\d{{1,2}})[:.](\d\d)(?:[:.](\d\d))?{_HALF})?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d{9,19}(?:\.\d+)?", re.ASCII)
_MAIL = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?\d{1,2}\s+[A-Za-z]{3}\s+\d{4}\s+\d{1,2}:\d\d.*", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EXPECTED = "expected ISO 8601 (2025-10-03T18:50:00Z), RFC 2822 or epoch seconds"


class NoTimeError(ValueError):
    """It is no time; the message says what was expected."""


@dataclass(slots=True)
class Days:
    """How a file writes days such as 3/4/2024.

    Attributes:
        order: what comes first; None as long as nobody has said and no date has shown it.
        said: whether the caller said so, and not a date of the file.
    """

    order: DayOrder | None = None
    said: bool = False

    def month_and_day(self, first: int, second: int, shown: str) -> tuple[int, int]:
        """The month and the day of two numbers.

        Raises:
            NoTimeError: they are none, or against what the file's other dates show.
            InvalidInputError: either may come first, and nothing has shown which.
        """
        order: DayOrder | None = None
        if first > 12 or second > 12:
            order = "day-first" if first > 12 else "month-first"
            if self.order is None:
                self.order = order
            elif order != self.order:
                raise NoTimeError(f"{shown!r} is not {self.order}, as the dates before it are")
        elif first == second:
            return first, second
        elif self.order is None:
            raise ambiguous(shown)
        else:
            order = self.order
        return (second, first) if order == "day-first" else (first, second)


def ambiguous(shown: str) -> InvalidInputError:
    """The error for a date of which nothing says whether the day or the month comes first."""
    return InvalidInputError(
        "dates",
        f"the date {shown!r} may begin with its day or with its month",
        fix="Say dates='day-first' or dates='month-first' (--dates at the command line).",
    )


def read_time(value: Any, days: Days | None = None) -> datetime | None:
    """A time as naive UTC; None, an empty text and zero-like nothing give None.

    Raises:
        NoTimeError: it is no time, or outside the years 1 to 9999.
        InvalidInputError: as of :meth:`Days.month_and_day`.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return from_epoch(value)
    if not isinstance(value, str):
        raise NoTimeError(_EXPECTED)
    text = value.strip().replace("\u202f", " ").replace("\u00a0", " ")
    if not text:
        return None
    try:
        found = _read_text(text, days or Days())
    except (ValueError, OverflowError) as error:
        if isinstance(error, NoTimeError):
            raise
        raise NoTimeError(f"{_EXPECTED}, got {_short(value)} ({error})") from error
    if found is None:
        raise NoTimeError(f"{_EXPECTED}, got {_short(value)}")
    return found


def from_epoch(value: float) -> datetime:
    """Seconds since 1970; what is too large for that counts milli-, micro- or nanoseconds.

    Seconds up to the year 5138 are below 1e11, milliseconds since 1973 above.

    Raises:
        NoTimeError: a number out of range.
    """
    size = abs(value)
    unit = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
    try:
        # Not fromtimestamp, whose range is the platform's. Integers are divided exactly.
        if isinstance(value, int):
            micros = value * 1_000_000 // int(unit)
            return (_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None)
        return (_EPOCH + timedelta(seconds=value / unit)).replace(tzinfo=None)
    except (OverflowError, ValueError) as error:
        raise NoTimeError("expected epoch seconds, got a number out of range") from error


def first_of(message: Mapping[str, Any]) -> str | None:
    """The first of :data:`KEYS` that holds something; None where none does."""
    return next((key for key in KEYS if message.get(key) not in (None, "")), None)


def _read_text(text: str, days: Days) -> datetime | None:
    if match := _ISO.fullmatch(text):
        year, month, day, hour, minute, second, fraction, _, sign, off_h, off_m = match.groups("0")
        offset = timedelta(hours=int(off_h), minutes=int(off_m))
        time = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second),
            int(fraction.ljust(6, "0")[:6]),
            timezone(-offset if sign == "-" else offset),
        )  # fmt: skip
        return time.astimezone(timezone.utc).replace(tzinfo=None)
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, hour, minute, second, _ = match.groups("0")
        return _naive(
            int(year), int(month), int(day), _hours(hour, match[7]), int(minute), int(second)
        )
    match = _BASIC.fullmatch(text)
    if match and 1970 <= int(match[1]) <= 2100 and 1 <= int(match[2]) <= 12:
        with suppress(ValueError):  # no such day: milliseconds of the years before 2001
            return _naive(*(int(part) for part in match.groups("0")))
    if _NUMBER.fullmatch(text):
        return from_epoch(float(text) if "." in text else int(text))
    if match := _SLASHED.fullmatch(text):
        return slashed(match, days)
    if _MAIL.fullmatch(text):
        try:
            mail = parsedate_to_datetime(text)
        except (TypeError, IndexError):  # what it raises for text that it cannot cut up
            return None
        aware = mail if mail.tzinfo is not None else mail.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc).replace(tzinfo=None)
    return None


def slashed(match: re.Match[str], days: Days) -> datetime:
    """The time of a match with the groups of ``_SLASHED``."""
    first, separator, second, year, hour, minute, seconds, half = match.groups()
    if separator == "." and days.order is None:
        # With dots nobody writes the month first.
        month, day = int(second), int(first)
    else:
        shown = f"{first}{separator}{second}{separator}{year}"
        month, day = days.month_and_day(int(first), int(second), shown)
    hours = _hours(hour or "0", half)
    whole = int(year) + (2000 if len(year) == 2 else 0)
    return _naive(whole, month, day, hours, int(minute or 0), int(seconds or 0))


def _hours(hour: str, half: str | None) -> int:
    hours = int(hour)
    return hours % 12 + (12 if half in "Pp" else 0) if half else hours


def _naive(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime:
    time = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    return time.replace(tzinfo=None)


def _short(text: str) -> str:
    shown = ascii(text) if any(map(_is_odd, text)) else repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _is_odd(character: str) -> bool:
    return character == "\0" or "\ud800" <= character <= "\udfff"
