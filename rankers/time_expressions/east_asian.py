"""The times that a Chinese, Japanese or Korean text names: "2025年3月", "上周三", "昨日", "지난주".

The three write years, months and days alike, so one grammar reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from . import spans
from .spans import BEFORE, MOST, Part, Said, Span, Unit

_HAN_DIGITS = {digit: number for number, digit in enumerate("〇一二三四五六七八九")} | {
    "零": 0,
    "两": 2,
    "兩": 2,
}
_KOREAN = {"한": 1, "두": 2, "세": 3, "네": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8}
_KOREAN_DAYS = {"하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "열흘": 10}
# Japanese keyboards type wide digits.
_WIDE_DIGITS = {0xFF10 + digit: 0x30 + digit for digit in range(10)}

_HAN = "一二三四五六七八九十"
_ONE_OR_TWO = rf"(?:\d{{1,2}}|[{_HAN}]{{1,3}})"
_COUNT = rf"(?:\d{{1,3}}|[{_HAN}两兩]{{1,3}}|{'|'.join(_KOREAN)})"
_WEEKDAYS = {name: number for number, name in enumerate("一二三四五六日")} | {
    **{name: number for number, name in enumerate("月火水木金土日")},
    **{name: number for number, name in enumerate("월화수목금토일")},
    "天": 6,
    "七": 6,
}

# Nothing else in a text says that it names a time of these languages.
_ANY = re.compile("[年月日周週星礼禮天昨今去先最近春夏秋冬년월일주달해제늘젯최봄여가겨전前]")
_YEAR = re.compile(
    r"(?:(?P<number>(?:19|20)\d\d|[一二][〇零一二三四五六七八九]{3}) ?[年년](?![前间間代])度?"
    r"|(?P<said>今年|本年|去年|昨年|一昨年|前年|올해|금년|작년|지난 ?해|재작년))"
    r"(?:[ 的の]?(?:(?P<half>[上下]半年|[상하]반기)"
    r"|第?(?P<quarter>[1-4一二三四]) ?(?:季度|四半期|분기)"
    r"|(?P<season>[春夏秋冬](?!节)|봄|여름|가을|겨울)[天季]?"
    r"|(?P<part>年?初|年?[底末]|年中| ?(?:초|중반|말))(?![上下めに]))?)?"
)
_SAID_YEARS = {
    "今年": 0, "本年": 0, "올해": 0, "금년": 0, "去年": 1, "昨年": 1, "작년": 1, "지난해": 1,
    "지난 해": 1, "前年": 2, "一昨年": 2, "재작년": 2,
}  # fmt: skip
_MONTH = re.compile(
    rf"(?<![\d{_HAN}第])(?P<month>{_ONE_OR_TWO}) ?[月월](?![曜亮饼光初底末]*[曜亮饼])份?"
    rf"(?:[ 的の]?(?:(?P<part>[上中下]旬|月?[初底末頭]|半ば|[상중하]순|초(?!등)|말|중반)"
    rf"|第(?P<week>[1-5一二三四五])(?:个|個)?(?:周|週|星期|礼拜)"
    rf"|(?P<day>{_ONE_OR_TWO}) ?[日号號일](?!前|间|間)"
    rf"(?: ?(?:[至到~～—–-]|から|부터) ?(?P<to>{_ONE_OR_TWO}) ?[日号號일](?!前|间|間))?))?"
)
_PARTS: dict[str, Part] = {
    "上": "early", "初": "early", "頭": "early", "상": "early", "초": "early",
    "中": "mid", "半": "mid", "중": "mid",
    "下": "late", "底": "late", "末": "late", "하": "late", "말": "late",
}  # fmt: skip
_THE_YEAR_BEFORE = re.compile(rf"(?:{_YEAR.pattern})[ 的の]?$")
_AND = re.compile(r"\s*(?:[、,，和与與及跟と과와]|以及|또는|및)\s*")
_TO = re.compile(r"\s*(?:[至到~～—–-]|から|부터)\s*")
_THIS = "[这這本][个個]?"
_WEEKS = "(?:周|週|星期|礼拜|禮拜)"
_RELATIVE = re.compile(
    r"(?P<day>大?前天|昨[天日晚夜]|今[天日早晚]|一昨日|おととい|きのう|엊?그제|그저께|어젯밤|어제|오늘)"
    rf"|(?P<week>上上个?{_WEEKS}|上[个個]?{_WEEKS}|{_THIS}{_WEEKS}|先々週|先週|今週"
    r"|지지난 ?주|지난 ?주|저번 ?주|이번 ?주)(?![末年])"
    r"(?:[の ]?(?P<weekday>[一二三四五六日天七月火水木金土월화수목금토일])(?:曜日?|요일)?"
    r"(?![个個年月本]))?"
    rf"|(?P<month>上上个?月|上[个個]?月|{_THIS}月|先々月|先月|今月"
    r"|지지난 ?달|지난 ?달|저번 ?달|이번 ?달)(?P<part>[上中下]旬|[初底末]| ?[초말])?"
    rf"|(?P<weekend>上[个個]?[周週]末|{_THIS}[周週]末|先週末|今週末|지난 ?주말|이번 ?주말)"
    r"|(?P<last_weekday>지난) ?(?P<its_day>[월화수목금토일])요일"
    rf"|(?P<ago>{_COUNT}) ?(?:(?P<ago_day>[天日일])|(?P<ago_week>[个個]?(?:{_WEEKS}間?|주일?))"
    r"|(?P<ago_month>[个個]月|[かカヶケ箇]月|개월|달)|(?P<ago_year>[年년해])) ?(?:以?前|전)"
    rf"|(?P<korean_days>{'|'.join(_KOREAN_DAYS)}) ?전"
    rf"|(?:最近|[过過]去|近|この|ここ|지난|최근) ?(?P<latest>{_COUNT}) ?"
    rf"(?:(?P<latest_day>[天日일])|(?P<latest_week>[个個]?(?:{_WEEKS}|주일?))"
    r"|(?P<latest_month>[个個]月|[かカヶケ箇]月|개월|달)|(?P<latest_year>[年년]))[间間간]?"
    r"|(?P<recently>最近|近期|近来|近來|최근|요즘)"
    r"|(?P<season>(?:[这這]个?|この|이번 )?"
    r"(?:[春夏秋冬](?:[天季]|(?=[にのは]))|(?:봄|여름|가을|겨울)(?=에|철)))"
)
_SEASONS = {"春": 3, "夏": 6, "秋": 9, "冬": 12, "봄": 3, "여": 6, "가": 9, "겨": 12}
_DAYS_AGO = {
    "大前天": 3, "前天": 2, "一昨日": 2, "おととい": 2, "그저께": 2, "그제": 2, "엊그제": 2,
    "昨天": 1, "昨日": 1, "きのう": 1, "어제": 1,
}  # fmt: skip
# "2019年以前" does not mean 2019.
_NOT_THEN = re.compile(
    r" ?(?:[之以]?前|[之以][后後]|以[来來]|後に|より|まで|이전|이후|전에|전까지|후에|까지|부터)"
)
_UNITS: tuple[Unit, ...] = ("day", "week", "month", "year")


def read(text: str, now: datetime) -> Iterator[Said]:
    """The times that a Chinese, Japanese or Korean text names, always in the past.

    Args:
        text: the text.
        now: the time on the wall that relative times refer to.
    """
    if not _ANY.search(text):
        return
    text = text.translate(_WIDE_DIGITS)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for said in (*_months(text, today), *_years(text, today), *_relative(text, now, today)):
        yield said._replace(span=None) if _NOT_THEN.match(text, said.stop) else said


def _years(text: str, today: datetime) -> Iterator[Said]:
    for match in islice(_YEAR.finditer(text), MOST):
        number = _year_of(match, today)
        if match["half"]:
            span = spans.half_year(number, 1 if match["half"][0] in "上상" else 2)
        elif match["quarter"]:
            span = spans.quarter(number, _number(match["quarter"]))
        elif match["season"]:
            span = spans.season(number, _SEASONS[match["season"][0]])
        elif match["part"]:
            part = match["part"].strip().removeprefix("年")
            span = spans.year_part(number, _PARTS[part[0]])
        else:
            span = spans.year(number)
        yield Said(*match.span(), span)


def _months(text: str, today: datetime) -> Iterator[Said]:
    before: Said | None = None
    year: int | None = None
    for match in islice(_MONTH.finditer(text), MOST):
        month = _number(match["month"])
        if not 1 <= month <= 12:
            continue
        begin = match.start()
        named = _THE_YEAR_BEFORE.search(text, max(begin - BEFORE, 0), begin)
        joined = before is not None and _AND.fullmatch(text, before.stop, begin)
        ranged = before is not None and _TO.fullmatch(text, before.stop, begin)
        if named:
            begin, year = named.start(), _year_of(named, today)
        elif not joined and not ranged:
            year = None
        span = _in_month(match, month, year, today)
        if span is None:
            continue
        if ranged and before is not None and before.span and before.span.start < span.end:
            # "3月至5月" is one time; the first part is inside it.
            begin, span = before.begin, Span(before.span.start, span.end)
        before = Said(begin, match.end(), span)
        yield before


def _in_month(match: re.Match[str], month: int, year: int | None, today: datetime) -> Span | None:
    """A month, or the part, week, day or days of it that the match names."""
    if match["day"]:
        day = _number(match["day"])
        found = spans.last_day(month, day, today) if year is None else spans.day(year, month, day)
        if found and match["to"]:
            last = spans.day(found.start.year, month, _number(match["to"]))
            if last and last.start > found.start:
                return Span(found.start, last.end)
        return found
    whole = spans.last_month(month, today) if year is None else spans.month(year, month)
    if match["week"]:
        start = whole.start + 7 * (_number(match["week"]) - 1) * spans.DAY
        return Span(start, min(start + 7 * spans.DAY, whole.end))
    if match["part"]:
        return spans.third(whole, _PARTS[match["part"].removeprefix("月")[0]])
    return whole


def _relative(text: str, now: datetime, today: datetime) -> Iterator[Said]:
    for match in islice(_RELATIVE.finditer(text), MOST):
        yield Said(*match.span(), _relative_span(match, now, today), vague=bool(match["recently"]))


def _relative_span(match: re.Match[str], now: datetime, today: datetime) -> Span:
    if word := match["day"]:
        if word in ("昨晚", "昨夜", "어젯밤"):
            return spans.last_night(today)
        return spans.ago(_DAYS_AGO.get(word, 0), "day", today)
    if word := match["week"]:
        week = spans.ago(_back(word), "week", today)
        named = match["weekday"]
        return spans.weekday_of(week, _WEEKDAYS[named]) if named else week
    if word := match["month"]:
        month = spans.ago(_back(word), "month", today)
        return spans.third(month, _PARTS[match["part"].strip()[0]]) if match["part"] else month
    if word := match["weekend"]:
        week = spans.ago(_back(word), "week", today)
        return Span(week.start + 5 * spans.DAY, week.end)
    if match["last_weekday"]:
        return spans.last_weekday(_WEEKDAYS[match["its_day"]], today)
    if match["korean_days"]:
        return spans.ago(_KOREAN_DAYS[match["korean_days"]], "day", today)
    if match["recently"]:
        return spans.latest(1, "month", now)
    if word := match["season"]:
        name = next(character for character in word if character in _SEASONS)
        return spans.last_season(_SEASONS[name], today)
    for kind in ("ago", "latest"):
        if count := match[kind]:
            unit = next(unit for unit in _UNITS if match[f"{kind}_{unit}"])
            number = _number(count)
            return (
                spans.ago(number, unit, today) if kind == "ago" else spans.latest(number, unit, now)
            )
    raise AssertionError(match)


def _back(word: str) -> int:
    """How many weeks or months back a word says: "上上周", "先週", "이번 달"."""
    if word.startswith(("上上", "先々", "지지난")):
        return 2
    return 1 if word.startswith(("上", "先", "지난", "저번")) else 0


def _year_of(match: re.Match[str], today: datetime) -> int:
    if word := match["said"]:
        return today.year - _SAID_YEARS[word]
    number = match["number"]
    if number.isdigit() and number.isascii():
        return int(number)
    return int("".join(str(_HAN_DIGITS[digit]) for digit in number))


def _number(text: str) -> int:
    """A number in digits, in Chinese ("十一", "二十", "两") or in Korean."""
    if text.isdigit() and text.isascii():
        return int(text)
    if text in _KOREAN:
        return _KOREAN[text]
    tens, ten, ones = text.rpartition("十")
    if not ten:
        return int("".join(str(_HAN_DIGITS[digit]) for digit in text))
    return 10 * (_HAN_DIGITS[tens[-1]] if tens else 1) + (_HAN_DIGITS[ones[-1]] if ones else 0)
