"""What of a text can be checked: its names, its numbers and its dates.

Found by their form, without a model: so some are missed, and some capitalised words are no names.
That is enough to tell how much of them a summary has kept, and whether it names what its source
does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from bruno_memory_vec.prompts.token_bound import is_listed_word

_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_SHORT = "jan feb mar apr jun jul aug sep sept oct nov dec".split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTH = "|".join([*_MONTHS, *(f"{short}\\.?" for short in _SHORT)])
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = re.compile(
    rf"\b(?:(?P<y1>\d{{4}})[-/.](?P<m1>\d{{1,2}})[-/.](?P<d1>\d{{1,2}})"
    rf"|(?P<d2>{_DAY})(?: of)? (?P<m2>{_MONTH})\b(?:,? (?P<y2>\d{{4}}))?"
    rf"|(?P<m3>{_MONTH}) (?P<d3>{_DAY})\b(?:,? (?P<y3>\d{{4}}))?)",
    re.IGNORECASE,
)
_NAMED_TIME = re.compile(
    rf"\b(?:{'|'.join([*(m for m in _MONTHS if m != 'may'), *_DAYS])})\b", re.IGNORECASE
)
_HAN_DATE = re.compile(r"(?:\d{2,4}年)?\d{1,2}月(?:\d{1,2}[日号號])?")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
# Identifiers such as PROJ-1234 or iPhone12 are one name.
_WORD = re.compile(r"[^\W_]+(?:[’'.&-][^\W_]+)*")
# Behind these a capital letter says nothing.
_BEGINS = re.compile(r"(?:^|[.!?…:;\n\"“”‘(\[{*•>]|[-–—])\s*$")
_NO_NAMES = frozenset(
    "i i'm i'll i'd i've ok okay oh wow hey hi hello yes no thanks lol ai".split()
)
_ORDINAL = re.compile(r"\D+$")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Names (lower case), numbers (as digits) and dates of a text.

    A date is ``YYYY-MM-DD``, ``MM-DD`` where no year is named, or the name of a month or weekday.
    """

    names: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()

    def joined(self, other: Evidence) -> Evidence:
        """That of both."""
        return Evidence(
            self.names | other.names, self.numbers | other.numbers, self.dates | other.dates
        )

    def within(self, other: Evidence) -> Evidence:
        """What both have."""
        return Evidence(
            self.names & other.names, self.numbers & other.numbers, self.dates & other.dates
        )


def evidence_of(text: str) -> Evidence:
    """The evidence of a text."""
    return Evidence(names_in(text), numbers_in(text), dates_in(text))


def names_in(text: str) -> frozenset[str]:
    """The names in a text, in lower case: capitalised words, and words of letters and digits.

    At the beginning of a sentence only what is no listed English word in small letters.
    """
    found = set()
    for word in _WORD.finditer(text):
        whole = _without_genitive(word[0])
        if len(whole) < 2 or not whole[0].isalpha() or whole.lower() in _NO_NAMES:
            continue
        mixed = any(map(str.isdigit, whole)) or whole[1:] != whole[1:].lower()
        if not mixed and not whole[0].isupper():
            continue
        lower = whole.lower()
        if lower in _MONTHS or lower in _DAYS:
            continue
        begins = _BEGINS.search(text, max(0, word.start() - 8), word.start()) is not None
        if mixed or not begins or not is_listed_word(lower):
            found.add(lower)
    return frozenset(found)


def _without_genitive(word: str) -> str:
    for ending in ("'s", "’s"):
        word = word.removesuffix(ending)
    return word


def numbers_in(text: str) -> frozenset[str]:
    """The numbers in a text that are written in digits: "1,000" as "1000"."""
    return frozenset(map(_plain, _NUMBER.findall(text)))


def _plain(number: str) -> str:
    groups = number.split(",")
    if len(groups) > 1 and all(len(group.partition(".")[0]) == 3 for group in groups[1:]):
        return "".join(groups)
    return number.replace(",", ".")


@dataclass(frozen=True, slots=True)
class Dated:
    """A date in a text, and where it stands."""

    text: str
    begin: int
    end: int
    month: int
    day: int
    year: int | None = field(default=None)

    @property
    def name(self) -> str:
        """``YYYY-MM-DD``, or ``MM-DD``."""
        plain = f"{self.month:02}-{self.day:02}"
        return plain if self.year is None else f"{self.year:04}-{plain}"

    def near(self, days: list[date], most: int) -> bool:
        """Whether it is at most so many days from one of these."""
        for day in days:
            years = (
                (self.year,) if self.year is not None else (day.year - 1, day.year, day.year + 1)
            )
            for year in years:
                try:
                    here = date(year, self.month, self.day)
                except ValueError:
                    continue
                if abs((here - day).days) <= most:
                    return True
        return False


def whole_dates(text: str) -> list[Dated]:
    """The dates in a text that name a month and a day, in order."""
    found = []
    for mark in _DATE.finditer(text):
        month = mark["m1"] or mark["m2"] or mark["m3"]
        day = int(_ORDINAL.sub("", mark["d1"] or mark["d2"] or mark["d3"]))
        year = mark["y1"] or mark["y2"] or mark["y3"]
        number = int(month) if month.isdigit() else _month(month)
        if 1 <= number <= 12 and 1 <= day <= 31:
            year_number = None if year is None else int(year)
            found.append(Dated(mark[0], mark.start(), mark.end(), number, day, year_number))
    return found


def _month(name: str) -> int:
    three = name[:3].lower()
    return next(place for place, month in enumerate(_MONTHS, 1) if month.startswith(three))


def dates_in(text: str) -> frozenset[str]:
    """The dates in a text, as :class:`Evidence` has them."""
    named = {found.lower() for found in _NAMED_TIME.findall(text)}
    whole = {found.name for found in whole_dates(text)}
    return frozenset(named | whole | set(_HAN_DATE.findall(text)))
