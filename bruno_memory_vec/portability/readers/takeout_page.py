"""Google Takeout's activities as a page (``MyActivity.html``), which is what Takeout writes where
nobody has chosen JSON.

Each activity is a card: a header with the product, a cell with what was done, when, and what came
of it, and below that a link to its conversation. The cards are given as the entries that
``MyActivity.json`` has, so that both become the same messages.

Takeout writes times in the language of the account and in the time zone of the export, with an
abbreviation behind them. A zone that nobody knows is taken as UTC, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import times
from bruno_memory_vec.portability.detect import MAX_LINE_BYTES, Head, Lines
from bruno_memory_vec.portability.readers.markup import plain
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults

NO_ZONE = "time zones that nobody knows, taken as UTC"

_CARD = '<div class="outer-cell'
_TITLE = re.compile(r'class="mdl-typography--title"[^>]{0,200}>(.{0,300}?)</p>', re.DOTALL)
_CELL = re.compile(r'<div\s+class="content-cell[^"]{0,200}"[^>]{0,200}>')
_BREAK = re.compile(r"<br\s{0,3}/?>", re.IGNORECASE)
_CHAT = re.compile(r"https://gemini\.google\.com/(?:u/\d+/)?app/(?:c/)?([0-9A-Za-z_-]{4,80})")
#: What was typed is a link to its conversation in some exports: Prompted <a href="...">text</a>.
_LINKED = re.compile(r"[^<]{0,60}<a\s[^>]{0,100}?href=\"([^\"]{1,300})\"")
_ENDS = ("</html>", "</body>", "</div>")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})[:.](\d\d)(?:[:.](\d\d))?(?!\d)")
_YEAR = re.compile(r"\d{4}")
_CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
_ZONE = re.compile(r"\s([A-Z]{2,5})$")
_LONGEST_TIME = 80
#: Where one abbreviation names several zones: the one that is written so in its own country.
_ZONES = {"IST": timedelta(hours=5, minutes=30)}
_CHINA = timedelta(hours=8)


def is_page(head: Head) -> bool:
    """Whether it is a page of activities, of whatever product."""
    begin = head.text.lstrip()[:200].lower()
    return begin.startswith(("<!doctype", "<html", "<div")) and _CARD in head.text


def products(head: Head) -> str:
    """The products of the activities that are seen, in lower case."""
    return " ".join(dict.fromkeys(plain(match[1]) for match in _TITLE.finditer(head.text))).lower()


def entries(
    lines: Lines, defaults: Defaults
) -> Iterator[tuple[dict[str, Any], datetime] | BadLine]:
    """Yield each card as an entry of ``MyActivity.json``, with its time. One is in memory at a
    time."""
    card = ""
    for number, card in enumerate(_cards(lines), start=1):
        try:
            yield _entry(card, defaults)
        except BadFieldError as error:
            yield error.at(None, f"activity {number}, ")
    if card and not card.rstrip().endswith(_ENDS):
        yield BadLine(None, "page", "ends in its midst: the activities behind are missing")


def _cards(lines: Lines) -> Iterator[str]:
    held = ""
    begun = False
    for piece in lines.pieces():
        held += piece
        parts = held.split(_CARD)
        held = parts.pop()
        for part in parts:
            if begun:
                yield part
            begun = True
        if not begun:
            held = held[-len(_CARD) :]  # what opens a card may be cut in two
        elif len(held) > MAX_LINE_BYTES:
            raise InvalidInputError(
                "source",
                f"an activity of the page is longer than {MAX_LINE_BYTES // 1024**2} MiB",
                fix="Have Takeout write it as JSON.",
            )
    if begun and held:
        yield held


def _entry(card: str, defaults: Defaults) -> tuple[dict[str, Any], datetime]:
    title = _TITLE.search(card)
    begin = _CELL.search(card)
    if begin is None:
        raise BadFieldError("content-cell", "is missing: the page is not as Takeout writes it")
    end = _CELL.search(card, begin.end())
    body = card[begin.end() : len(card) if end is None else end.start()]
    caption = "" if end is None else card[end.start() :]
    done, *rest = _BREAK.split(body)
    notes: list[str] = []
    moment: datetime | None = None
    answer = ""
    for at, part in enumerate(rest):
        words, tag, behind = part.partition("<")
        moment = _moment(plain(words), defaults)
        if moment is not None:
            answer = "<br>".join([tag + behind, *rest[at + 1 :]])
            break
        if note := plain(part):
            notes.append(note)
    if moment is None:
        shown = ", ".join(notes)[:60]
        raise BadFieldError("time", f"is none that is understood ({shown!r}); export it as JSON")
    entry: dict[str, Any] = {
        "header": "" if title is None else plain(title[1]),
        "title": plain(done),
        "subtitles": [{"name": note} for note in notes],
        "safeHtmlItem": [{"html": answer.rstrip().removesuffix("</div>")}],
    }
    linked = _LINKED.match(done)
    chat = _CHAT.search(caption) or (None if linked is None else _CHAT.match(linked[1]))
    if chat is not None:
        entry["titleUrl"] = chat[0]
    return entry, moment


def _moment(text: str, defaults: Defaults) -> datetime | None:
    """The time that a line says, as naive UTC; None where it is another line."""
    text = re.sub("[\u200e\u200f\u202f\u2009]", " ", text).strip()
    if len(text) > _LONGEST_TIME or _CLOCK.search(text) is None:
        return None
    words, offset, named = _zone(text)
    found = _read(words, defaults)
    if found is None:
        return None
    if not named:
        defaults.left_out[NO_ZONE] += 1
    return found - offset


def _zone(text: str) -> tuple[str, timedelta, bool]:
    """A time without its zone, the zone's distance from UTC, and whether the zone is known."""
    from dateparser.timezone_parser import pop_tz_offset_from_string

    match = _ZONE.search(text)
    name = "" if match is None else match[1]
    if name == "CST" and _CJK.search(text):
        return text[: -len(name)].strip(), _CHINA, True
    if name in _ZONES:
        return text[: -len(name)].strip(), _ZONES[name], True
    words, zone = pop_tz_offset_from_string(text)
    if zone is not None:
        return words.strip(), zone.utcoffset(None) or timedelta(0), True
    if name and name not in ("AM", "PM"):
        return text[: -len(name)].strip(), timedelta(0), False
    return text, timedelta(0), False


def _read(text: str, defaults: Defaults) -> datetime | None:
    try:
        return times.read_time(text, defaults.days)
    except times.NoTimeError:
        pass  # no form that has only numbers; else its month is a word
    clock = _CLOCK.search(text)
    if clock is None or _YEAR.search(text) is None:
        return None
    hour, minute, second = clock.groups()
    # By the hour, as reading a date in any language takes milliseconds.
    begin = _in_words(f"{text[: clock.start()]}{hour}:00:00{text[clock.end() :]}")
    if begin is None or int(minute) > 59 or int(second or 0) > 59:
        return None
    return begin + timedelta(minutes=int(minute), seconds=int(second or 0))


@lru_cache(maxsize=4096)
def _in_words(text: str) -> datetime | None:
    """A date of which the month may be a word of any language; None where it is none."""
    found = _parser().get_date_data(text).date_obj
    if found is None or found.tzinfo is not None:
        return None if found is None else found.astimezone(timezone.utc).replace(tzinfo=None)
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _parser() -> Any:
    from dateparser.date import DateDataParser

    # In Takeout's forms with words the day stands before the year; numbers alone are read above.
    settings = {"DATE_ORDER": "DMY", "PARSERS": ["absolute-time"], "REQUIRE_PARTS": ["day", "year"]}
    return DateDataParser(settings=settings, try_previous_locales=True)
