"""The times that a text names in a language that writes with spaces, besides English.

One grammar for all: dates, months with or without a year or a part, "two weeks ago", days of the
week, seasons. The words are in :mod:`.tables`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice

from . import spans
from .spans import BEFORE, DAY, MOST, Part, Said, Span, Unit
from .tables import TABLES, TimeWords

_UNITS: tuple[Unit, ...] = ("day", "week", "month", "year")
_PARTS: tuple[Part, ...] = ("early", "mid", "late")
_FIRST_MONTHS = (3, 6, 9, 12)
_YEAR = r"(?:19|20)\d\d"
_SCRIPTS = (
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("russian", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("tamil", re.compile("[\u0b80-\u0bff]")),
)
_WORD = re.compile("[a-z]+")
# Words in the patterns of a table.
_TELLING = re.compile(r"(?<![\\\w\])])[a-z]{3,}(?![\w\\\[(?])")
# What tells English, whose times are read elsewhere.
_ENGLISH = (
    "what when where who how which did do does is was are were have has had the my i we you a an "
    "of in on at to with and for me it that this"
)


def plain(text: str) -> str:
    """A text in lower case as the tables have it: without the accents of Latin and Greek letters.

    Arabic letters are written in one way, and digits are those of ASCII.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text).translate(_folding())


def read(text: str, now: datetime) -> Iterator[Said]:
    """The times that a text names, always in the past.

    Args:
        text: the text, as of :func:`plain`.
        now: the time on the wall that relative times refer to.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for name in languages_of(text):
        language = _language(name)
        for match in islice(language.pattern.finditer(text), MOST):
            span = language.span(match, now, today)
            if span is None:
                continue
            part, begin, stop = language.part_of(match)
            if part is not None and (span.end - span.start).days > 27:
                span = _part(span, part)
            meant = not language.not_then.search(text, max(begin - BEFORE, 0), begin)
            if language.not_then_after is not None:
                meant = meant and not language.not_then_after.match(text, stop)
            yield Said(begin, stop, span if meant else None, vague=bool(match["recently"]))


def words_of(text: str) -> frozenset[str]:
    """The words of a text in lower case: every run of the letters a to z."""
    return frozenset(_WORD.findall(text))


def languages_of(text: str, words: frozenset[str] | None = None) -> list[str]:
    """The languages of a text, by its script or by its frequent words; English is not among them.

    Those that as many words tell are all given.

    Args:
        text: the text, as of :func:`plain`.
        words: its :func:`words_of`, where they are known.
    """
    if not text.isascii():
        for name, script in _SCRIPTS:
            if script.search(text):
                return [name]
    telling = _telling()
    found: dict[str, int] = {}
    for word in words_of(text) if words is None else words:
        for name in telling.get(word, ()):
            found[name] = found.get(name, 0) + 1
    if not found:
        return []
    most = max(found.values())
    return [name for name, number in found.items() if number == most and name != "english"]


@lru_cache(maxsize=1)
def _telling() -> dict[str, tuple[str, ...]]:
    """Which languages each frequent word and each word for a time tells."""
    words: dict[str, list[str]] = {}
    for name, table in TABLES.items():
        own = table.known_by.split()
        if own:
            times = (*table.months, *table.said, *table.numbers, *table.units, table.ago)
            own += _TELLING.findall(" ".join(times))
        for word in dict.fromkeys(own):
            words.setdefault(word, []).append(name)
    for word in _ENGLISH.split():
        words.setdefault(word, []).append("english")
    return {word: tuple(names) for word, names in words.items()}


class _Language:
    """A table as one pattern.

    Args:
        words: the table.
    """

    def __init__(self, words: TimeWords) -> None:
        self._words = words
        self._numbers = _exactly(*words.numbers)
        self._units = _exactly(*words.units)
        self._weekdays = _exactly(*words.weekdays)
        self._said = [(re.compile(one), back) for one, back in words.said.items()]
        self._plain_months = [
            re.compile(month) if number not in words.careful else None
            for number, month in enumerate(words.months, 1)
        ]
        self._month_in = _before(words.month_in)
        self._seasons = _exactly(*words.seasons)
        self._season_last = re.compile(words.season_last) if words.season_last else None
        self._parts = [
            (part, _before(getattr(words, part), "[ -]"), _after(getattr(words, f"{part}_after")))
            for part in _PARTS
        ]
        self.not_then = _before(words.not_then)
        self.not_then_after = _after(words.not_then_after) if words.not_then_after else None
        self.pattern = re.compile(rf"(?<!\w)(?:{'|'.join(self._alternatives())})(?!\w)")

    def _alternatives(self) -> Iterator[str]:
        words = self._words
        parts = {
            "n": rf"(?:\d{{1,3}}|{'|'.join(words.numbers)})",
            "unit": f"(?:{'|'.join(words.units)})",
            "weekday": f"(?:{'|'.join(words.weekdays)})",
        }
        for name in ("last_night", "last_weekend"):
            if wanted := getattr(words, name):
                yield f"(?P<{name}>{wanted})"
        for name in ("ago", "latest"):
            if wanted := getattr(words, name):
                for part, pattern in parts.items():
                    wanted = wanted.replace(f"{{{part}}}", pattern)
                yield f"(?P<{name}>{wanted})"
        yield f"(?P<said>{'|'.join(words.said)})"
        yield self._date()
        if words.seasons:
            yield (
                rf"(?:(?P<season_in>{words.season_in})[ '\u2019])?"
                rf"(?P<season>{'|'.join(words.seasons)})"
                rf"(?: (?P<season_last>{words.season_last}))?"
                rf"(?: (?:(?:{words.joint}) )?(?P<season_year>{_YEAR}))?"
            )
        if words.weekday:
            yield f"(?P<weekday>{words.weekday.replace('{weekday}', parts['weekday'])})"
        yield f"(?P<recently>{words.recently})" if words.recently else "(?P<recently>(?!))"
        yield rf"(?P<d>\d{{1,2}})\.(?P<m>\d{{1,2}})\.(?P<y>{_YEAR})"
        yield rf"(?P<year>{_YEAR})"

    def _date(self) -> str:
        """A month with what belongs to it: "3. marz 2024", "3-5 de marzo de 2024"."""
        words = self._words
        short = words.short or ("(?!)",) * 12
        months = "|".join(
            rf"(?P<m{number}>{one}|(?:{other})\b\.?)"
            for number, (one, other) in enumerate(zip(words.months, short, strict=True), 1)
        )
        joint = rf"(?:(?:{words.joint}) )?" if words.joint else ""
        after = r"(?: (?P<day_after>\d{1,2})(?!\d)\.?)?" if words.day_after else ""
        return (
            rf"(?:(?P<year_before>{_YEAR})\.? )?"
            r"(?:(?:(?P<from>\d{1,2})\.? ?(?:[-\u2013]|bis|al|au|tot|till|til|ate|до|по) ?)?"
            rf"(?P<day>\d{{1,2}})(?:\.|er|e|[\u00ba\u00b0\u00aa]|-?(?:го|ος|an))? {joint})?"
            rf"(?:{months}){after}(?:,? {joint}(?P<year_after>{_YEAR}))?"
        )

    def span(self, match: re.Match[str], now: datetime, today: datetime) -> Span | None:
        """What a match of the pattern means; None for a word that is no time here."""
        groups = match.groupdict()
        text = match[0]
        if groups.get("last_night"):
            return spans.last_night(today)
        if groups.get("last_weekend"):
            monday = spans.ago(1, "week", today).start
            return Span(monday + 5 * DAY, monday + 7 * DAY)
        if groups.get("ago"):
            return spans.ago(self._number(text), self._unit(text), today)
        if groups.get("latest"):
            return spans.latest(self._number(text), self._unit(text), now)
        if groups["said"]:
            number, unit = next(back for one, back in self._said if one.fullmatch(text))
            return spans.ago(number, unit, today)
        if groups.get("season"):
            return self._season(match, today)
        if groups.get("weekday"):
            which = next(i for i, one in enumerate(self._weekdays) if one.search(text))
            return spans.last_weekday(which, today)
        if groups["recently"]:
            return spans.latest(1, "month", now)
        if groups["d"]:
            month = int(groups["m"])
            return spans.day(int(groups["y"]), month, int(groups["d"]))
        if groups["year"]:
            return spans.year(int(groups["year"]))
        return self._month(match, today)

    def part_of(self, match: re.Match[str]) -> tuple[Part | None, int, int]:
        """The part that the words around a month or year name, and where it all stands."""
        begin, stop = match.span()
        if match["year"] or self._is_month(match):
            for part, before, after in self._parts:
                if found := before.search(match.string, max(begin - BEFORE, 0), begin):
                    return part, found.start(), stop
                if found := after.match(match.string, stop):
                    return part, begin, found.end()
        return None, begin, stop

    def _is_month(self, match: re.Match[str]) -> bool:
        return any(match[f"m{number}"] for number in range(1, 13))

    def _month(self, match: re.Match[str], today: datetime) -> Span | None:
        number = next(number for number in range(1, 13) if match[f"m{number}"])
        year = match["year_before"] or match["year_after"]
        day = match["day"] or (match["day_after"] if self._words.day_after else None)
        if day:
            if year:
                found = spans.day(int(year), number, int(day))
            else:
                found = spans.last_day(number, int(day), today)
            if found and match["from"]:
                first = spans.day(found.start.year, number, int(match["from"]))
                if first and first.start < found.start:
                    return Span(first.start, found.end)
            return found
        if year:
            return spans.month(int(year), number)
        begin = match.start()
        certain = self._plain_months[number - 1]
        if (
            (certain and certain.fullmatch(match[f"m{number}"]))
            or self._month_in.search(match.string, max(begin - BEFORE, 0), begin)
            or self.part_of(match)[0]
        ):
            return spans.last_month(number, today)
        return None

    def _season(self, match: re.Match[str], today: datetime) -> Span | None:
        which = next(i for i, one in enumerate(self._seasons) if one.search(match["season"]))
        if match["season_year"]:
            return spans.season(int(match["season_year"]), _FIRST_MONTHS[which])
        if not (match["season_in"] or match["season_last"]):
            return None
        last = self._season_last
        ended = bool(match["season_last"] or (last and last.match(match["season_in"] or "")))
        return spans.last_season(_FIRST_MONTHS[which], today, ended=ended)

    def _number(self, text: str) -> int:
        if digits := re.search(r"\d+", text):
            return int(digits[0])
        found = (number for number, one in enumerate(self._numbers, 1) if one.search(text))
        return next(found, 1)

    def _unit(self, text: str) -> Unit:
        found = zip(_UNITS, self._units, strict=True)
        return next(unit for unit, one in found if one.search(text))


def _part(span: Span, part: Part) -> Span:
    if (span.end - span.start).days > 31:
        return spans.year_part(span.start.year, part)
    return spans.third(span, part)


@cache
def _language(name: str) -> _Language:
    return _Language(TABLES[name])


def _exactly(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(rf"(?<!\w)(?:{one})(?!\w)") for one in patterns]


def _before(words: str, gap: str = " ") -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{words}){gap}$" if words else "(?!)")


def _after(words: str) -> re.Pattern[str]:
    return re.compile(rf" (?:{words})(?!\w)" if words else "(?!)")


@lru_cache(maxsize=1)
def _folding() -> dict[int, str | None]:
    """Letters as the tables have them, each of one character."""
    table: dict[int, str | None] = {}
    for first, end in ((0xC0, 0x250), (0x370, 0x400), (0x1E00, 0x2000)):
        for code in range(first, end):
            base = unicodedata.normalize("NFD", chr(code))[0]
            if base != chr(code):
                table[code] = base
    for digits in (0x660, 0x6F0):
        table.update({digits + digit: str(digit) for digit in range(10)})
    others = {
        "\u00f8": "o",
        "\u0131": "i",
        "ё": "е",
        "أ": "ا",
        "إ": "ا",
        "آ": "ا",
        "ى": "ي",
        "ة": "ه",
    }
    table.update({ord(one): other for one, other in others.items()})
    # The dot that lower() leaves of a Turkish I.
    table[0x307] = None
    return table
