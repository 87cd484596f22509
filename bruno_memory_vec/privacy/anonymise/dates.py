"""Dates in texts, moved by whole weeks and written as they were.

A date without a year is that of the year in which it is nearest to when the text was written, and
stays without one. Of ``5/3/2024`` the language of the other dates cannot be known: more than 12 in
one place decides, else ``day_first``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

_MONTH_NAMES: Final = (
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "januari februari mars april maj juni juli augusti september oktober november december",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
)
_LANGUAGES: Final = tuple(tuple(names.split()) for names in _MONTH_NAMES)
#: By a month's name in lower case, its number, and which languages call it so.
_MONTHS: Final[dict[str, int]] = {}
for _in_language in _LANGUAGES:
    for _number, _name in enumerate(_in_language, 1):
        _MONTHS.setdefault(_name, _number)
_MONTHS.update({"sept": 9, "jän": 1, "jänner": 1})
_ANY_MONTH: Final = (
    "(?:" + "|".join(sorted(map(re.escape, _MONTHS), key=len, reverse=True)) + r")\b"
)
_YEAR: Final = r"(?P<y>(?:19|20)\d\d)"

_CENTURY: Final = re.compile(r"(?:19|20)\d\d")
_TOKENS: Final = re.compile(r"[^\W\d_]+")

# Of a year of two digits: from this one on it is of the last century.
_SINCE: Final = 40
_NUMERIC: Final = (
    re.compile(
        r"(?<![\d./-])(?P<y>(?:19|20)\d\d)(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})(?!\d|[./-]\d)"
    ),
    re.compile(
        r"(?<![\d./-])(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>(?:19|20)\d\d)(?!\d|[./-]\d)"
    ),
    # A year of two digits: 3/4/24, 12.05.84. With dots 3.10.12 is a version more often than a date.
    re.compile(r"(?<![\w./-])(?P<a>\d{1,2})(?P<s>/)(?P<b>\d{1,2})/(?P<y>\d\d)(?!\w|[./-]\d)"),
    re.compile(
        r"(?<![\w./-])(?P<a>\d{1,2})(?P<s>\.)(?P<b>\d{1,2})\.(?P<y>3[2-9]|[4-9]\d)(?!\w|[./-]\d)"
    ),
    re.compile(r"(?<![\w./-])(?P<a>\d\d)(?P<s>\.)(?P<b>\d\d)\.(?P<y>[0-2]\d|3[01])(?!\w|[./-]\d)"),
    re.compile(
        r"(?P<y>(?:19|20)\d\d)\s?(?P<s>年|년)\s?(?P<m>\d{1,2})\s?[月월]\s?(?P<d>\d{1,2})\s?[日号일]"
    ),
    re.compile(
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])(?=T\d{4}|(?!\w))"
    ),
)
# 3 May 2024, 3rd of May, 3. Mai 2024, 3 de mayo de 2024; May 3rd, 2024
_DAY_MONTH: Final = re.compile(
    rf"(?<![\w.:])(?P<d>\d{{1,2}})(?P<o>\.|st|nd|rd|th|er|º|ª)?\s(?:of\s|de\s)?(?P<m>{_ANY_MONTH})\.?"
    rf"(?:,?\s(?:de\s|del\s)?{_YEAR}\b)?(?!\w)",
    re.I,
)
_MONTH_DAY: Final = re.compile(
    rf"\b(?P<m>{_ANY_MONTH})\.?\s(?:the\s)?(?P<d>\d{{1,2}})(?P<o>st|nd|rd|th)?(?:,?\s{_YEAR}\b)?(?![\w:]|[.,]\d)",
    re.I,
)
_MONTH_YEAR: Final = re.compile(rf"\b(?P<m>{_ANY_MONTH})\.?,?\s(?:of\s|de\s|del\s)?{_YEAR}\b", re.I)
_IN_YEAR: Final = re.compile(
    r"\b(?:in|since|until|from|by|born|of|around|before|after|im Jahr|seit|bis|geboren|en|desde|hasta|año|depuis|"
    rf"nel|dal|em|sinds|od|roku|rok|summer|winter|spring|autumn|fall|year|год[ау]?|с|в)\s{_YEAR}\b(?![-./]?\d|\s?[%€$])",
    re.I,
)


class Dated(NamedTuple):
    """A date in a text, and how it reads when it is moved.

    Attributes:
        start: of its first character.
        end: behind its last one.
        day: the date; of a month its middle, of a year the first of July.
        write: the text of another date in the same form.
    """

    start: int
    end: int
    day: date
    write: Callable[[date], str]


def dates(text: str, written: datetime | None, *, day_first: bool) -> Iterator[Dated]:
    """The dates of a text.

    Args:
        text: where to look.
        written: when it was, for dates without a year; without it they are left out.
        day_first: whether ``5/3/2024`` is the fifth of March; with dots it always is.
    """
    if not any(map(str.isdigit, text)):
        return
    for pattern in _NUMERIC:
        for match in pattern.finditer(text):
            found = _numeric(match, day_first)
            if found is not None:
                yield found
    if not _MONTHS.keys().isdisjoint(_TOKENS.findall(text.lower())):
        yield from _with_months(text, written)
    for match in _IN_YEAR.finditer(text) if _CENTURY.search(text) else ():
        yield Dated(*match.span("y"), date(int(match.group("y")), 7, 1), lambda day: str(day.year))


def _with_months(text: str, written: datetime | None) -> Iterator[Dated]:
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(text):
            found = _named(match, written)
            if found is not None:
                yield found
    for match in _MONTH_YEAR.finditer(text) if _CENTURY.search(text) else ():
        word = match.group("m")
        if word[0].isupper() or word not in {"may", "mar", "mars"}:
            yield _month(match)


def _numeric(match: re.Match[str], day_first: bool) -> Dated | None:
    parts = match.groupdict()
    if "a" in parts:
        first, second = int(parts["a"]), int(parts["b"])
        european = parts["s"] == "." or first > 12 or (day_first and second <= 12)
        day, month = (first, second) if european else (second, first)
        widths = (len(parts["a"]), len(parts["b"]))
    else:
        european, (month, day) = False, (int(parts["m"]), int(parts["d"]))
        widths = (len(parts["m"]), len(parts["d"]))
    year = int(parts["y"])
    short = len(parts["y"]) == 2
    at = _date(year + (0 if not short else 2000 if year < _SINCE else 1900), month, day)
    if at is None:
        return None

    def write(to: date) -> str:
        pad = (
            2
            if max(widths) == 2
            and "0" in (match.group()[0], *re.findall(r"\D(0)\d", match.group()))
            else 1
        )
        pad = 2 if widths == (2, 2) else pad
        month_text, day_text = str(to.month).zfill(pad), str(to.day).zfill(pad)
        said, start = match.group(), match.start()
        named = str(to.year)[-2:] if short else str(to.year)
        values = {"y": named, "m": month_text, "d": day_text}
        if "a" in parts:
            values |= {
                "a": day_text if european else month_text,
                "b": month_text if european else day_text,
            }
        for name in sorted(
            (name for name in values if name in parts), key=match.start, reverse=True
        ):
            begin, end = (at - start for at in match.span(name))
            said = said[:begin] + values[name] + said[end:]
        return said

    return Dated(*match.span(), at, write)


def _named(match: re.Match[str], written: datetime | None) -> Dated | None:
    word = match.group("m")
    # "may 3" and "mar 5" in lower case are words more often than dates.
    if word.islower() and word in {"may", "mar", "mars", "mart"} and not match.group("y"):
        return None
    month, day = _MONTHS[word.lower()], int(match.group("d"))
    if match.group("y"):
        at = _date(int(match.group("y")), month, day)
    else:
        at = _nearest(month, day, written)
    if at is None:
        return None

    def write(to: date) -> str:
        said, start = match.group(), match.start()
        values = {"m": month_like(word, to.month), "d": str(to.day)}
        if match.group("y"):
            values["y"] = str(to.year)
        if match.groupdict().get("o") in ("st", "nd", "rd", "th"):
            values["o"] = _ordinal(to.day)
        for name in sorted(values, key=match.start, reverse=True):
            begin, end = (at - start for at in match.span(name))
            said = said[:begin] + values[name] + said[end:]
        return said

    return Dated(*match.span(), at, write)


def _month(match: re.Match[str]) -> Dated:
    word = match.group("m")

    def write(to: date) -> str:
        said, start = match.group(), match.start()
        for name, value in (("y", str(to.year)), ("m", month_like(word, to.month))):
            begin, end = (at - start for at in match.span(name))
            said = said[:begin] + value + said[end:]
        return said

    return Dated(*match.span(), date(int(match.group("y")), _MONTHS[word.lower()], 15), write)


def month_like(word: str, month: int) -> str:
    """The name of a month in the language and the letters of another month's."""
    low = word.lower()
    names = next((names for names in _LANGUAGES if low in names), _LANGUAGES[1])
    said = names[month - 1]
    if word.isupper():
        return said.upper()
    return said.capitalize() if word[0].isupper() else said


def moved(day: date, days: int) -> date:
    """A date so many days earlier; the first one that there is, where that would be before it."""
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return date.min


def _nearest(month: int, day: int, written: datetime | None) -> date | None:
    if written is None:
        return None
    around = (_date(written.year + shift, month, day) for shift in (-1, 0, 1))
    found = [one for one in around if one is not None]
    return min(found, key=lambda one: abs(one - written.date()), default=None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
