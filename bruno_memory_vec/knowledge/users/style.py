"""How a user writes: simple statistics of the user's own messages, each counted from rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone, tzinfo
from statistics import median
from typing import Any, NamedTuple

from bruno_memory_vec.knowledge.users.language_names import NAMES
from bruno_memory_vec.knowledge.users.languages import Detector

# Words by which a message is polite, in the languages that most people write.
_POLITE_WORDS = (
    # English
    r"please|pls|thanks|thank you|thx|sorry|excuse me|appreciate|could you|would you|may i|"
    r"if you don't mind|"
    # German, Dutch, Swedish, Danish
    r"bitte|danke|dankeschön|vielen dank|entschuldigung|könntest du|könnten sie|würdest du|"
    r"würden sie|alsjeblieft|alstublieft|bedankt|dank je|dank u|tack|snälla|ursäkta|venligst|tak|"
    # French, Spanish, Portuguese, Italian
    r"s'il te plaît|s'il vous plaît|s'il te plait|s'il vous plait|svp|stp|merci|pardon|excusez|"
    r"pourrais-tu|pourriez-vous|por favor|gracias|perdón|disculpa|disculpe|podrías|podría usted|"
    r"obrigado|obrigada|desculpe|desculpa|você poderia|per favore|grazie|prego|scusa|scusi|"
    r"potresti|potrebbe|"
    # Polish, Czech, Turkish, Russian, Ukrainian
    r"proszę|dziękuję|przepraszam|prosím|děkuji|promiňte|lütfen|teşekkürler|teşekkür ederim|"
    r"пожалуйста|спасибо|извините|будь ласка|дякую|вибачте"
)
# Without words that end at spaces.
_POLITE_PARTS = (
    "ください|下さい|お願い|ありがとう|すみません|ごめんなさい|请|請|谢谢|謝謝|麻烦|对不起|"
    "주세요|부탁|감사|고마워|고맙|죄송|미안|من فضلك|شكرا|لو سمحت|कृपया|धन्यवाद"
)
_POLITE = re.compile(rf"(?<!\w)(?:{_POLITE_WORDS})(?!\w)|{_POLITE_PARTS}", re.IGNORECASE)
_EMOJI = re.compile(
    "[\U0001f300-\U0001faff\U0001f1e6-\U0001f1ff\u2600-\u26ff\u2705\u270a-\u270d\u2728\u274c"
    "\u274e\u2753-\u2757\u2763\u2764\u2b50\u2b55\u203c\u2049]"
)
_CURLY = str.maketrans({"’": "'", "ʼ": "'"})
# From this share on it is the user's habit.
_MOSTLY, _OFTEN = 0.6, 0.3
_SHORT, _LONG = 12, 60
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Said(NamedTuple):
    """What the statistics read of one message of the user's.

    Attributes:
        content: its text.
        words: its length in words, as the row counts them.
        created_at: microseconds since 1970, UTC.
        offset: that of its timestamp, in microseconds; None where it was naive.
        asks: whether it ends with a question.
    """

    content: str
    words: int
    created_at: int
    offset: int | None = None
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """How a user writes. Shares are 0..1, of :attr:`messages`.

    Attributes:
        messages: how many messages of the user's were counted.
        words: the median length of a message, in words.
        longest: the length of the longest one, in words.
        hours: 24 numbers: how many messages were written in each hour of the day.
        weekdays: 7 numbers, from Monday.
        local: of the messages, how many told their time zone or were put into the user's
            (``profile["timezone"]``); the hours and weekdays of the others are UTC's.
        languages: by ISO 639 code, how many messages are in that language.
        detector: what told the languages: "py3langid", or "script" without that package.
        polite: the share with a word such as "please" or "thanks".
        questions: the share that ends with a question.
        emoji: the share with an emoji.
    """

    messages: int
    words: float
    longest: int
    hours: tuple[int, ...]
    weekdays: tuple[int, ...]
    local: int
    languages: Mapping[str, int] = field(default_factory=dict)
    detector: str = "script"
    polite: float = 0.0
    questions: float = 0.0
    emoji: float = 0.0

    @property
    def language(self) -> str | None:
        """The language of most messages whose language is known; None where of none it is."""
        return max(self.languages, key=self.languages.__getitem__) if self.languages else None

    def __str__(self) -> str:
        return f"writes {_habits(self)}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["hours"], plain["weekdays"] = list(self.hours), list(self.weekdays)
        plain["languages"] = dict(self.languages)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Style:
        """What :meth:`to_dict` was called of."""
        values = dict(plain)
        values["hours"], values["weekdays"] = tuple(plain["hours"]), tuple(plain["weekdays"])
        return cls(**values)


def style_of(
    messages: Iterable[Said], detect: Detector, detector: str, zone: tzinfo | None = None
) -> Style | None:
    """The statistics of a user's messages; None without one.

    Args:
        messages: the user's own.
        detect: tells a text's language.
        detector: its name.
        zone: the user's time zone, for messages whose timestamps have none.
    """
    lengths: list[int] = []
    hours, weekdays, local = [0] * 24, [0] * 7, 0
    languages: Counter[str] = Counter()
    polite = questions = emoji = 0
    for said in messages:
        lengths.append(said.words)
        at, known = _local(said, zone)
        hours[at.hour] += 1
        weekdays[at.weekday()] += 1
        local += known
        language = detect(said.content)
        if language is not None:
            languages[language] += 1
        polite += is_polite(said.content)
        questions += said.asks
        emoji += _EMOJI.search(said.content) is not None
    count = len(lengths)
    if not count:
        return None
    return Style(
        messages=count,
        words=float(median(lengths)),
        longest=max(lengths),
        hours=tuple(hours),
        weekdays=tuple(weekdays),
        local=local,
        languages=dict(languages.most_common()),
        detector=detector,
        polite=round(polite / count, 4),
        questions=round(questions / count, 4),
        emoji=round(emoji / count, 4),
    )


def is_polite(text: str) -> bool:
    """Whether a text has a word such as "please" or "thanks"."""
    return _POLITE.search(text.translate(_CURLY)) is not None


def _local(said: Said, zone: tzinfo | None) -> tuple[datetime, bool]:
    """When a message was written, and whether that is the user's own time of day."""
    at = _EPOCH + timedelta(microseconds=said.created_at)
    if said.offset is not None:
        return at + timedelta(microseconds=said.offset), True
    if zone is not None:
        return at.astimezone(zone), True
    return at, False


def _habits(style: Style) -> str:
    """How somebody writes, in our own words."""
    length = "short" if style.words <= _SHORT else "long" if style.words >= _LONG else "medium"
    told = [f"{length} messages (half of {style.messages} have at most {style.words:g} words)"]
    language, known = style.language, sum(style.languages.values())
    if language is not None and language in NAMES and style.languages[language] >= _MOSTLY * known:
        told.append(f"mostly in {NAMES[language]}")
    if style.polite >= _OFTEN:
        told.append("politely")
    if style.emoji >= _OFTEN:
        told.append("with emoji")
    if style.questions >= _MOSTLY:
        told.append("mostly to ask")
    if style.local == style.messages and (hours := busiest(style.hours)) is not None:
        begin, end = map(_clock, hours)
        around = (hours[1] - hours[0]) % 24 == 1
        told.append(f"mostly around {begin}" if around else f"mostly between {begin} and {end}")
    return ", ".join(told)


def _clock(hour: int) -> str:
    """An hour of the day, 0..24 or more: "1 am", "noon"."""
    named = {0: "midnight", 12: "noon"}.get(hour % 24)
    return named or f"{hour % 12} {'am' if hour % 24 < 12 else 'pm'}"


def busiest(hours: Sequence[int]) -> tuple[int, int] | None:
    """The shortest span of hours with most of the messages, at most eight; None without one.

    Args:
        hours: 24 numbers of messages.

    Returns:
        The hour at which it begins, 0..23, and the one at which it ends, 1..24 or of the next day.
    """
    total = sum(hours)
    for length in range(1, 9):
        counts = [
            (sum(hours[(start + step) % 24] for step in range(length)), -start)
            for start in range(24)
        ]
        most, first = max(counts)
        if total and most >= _MOSTLY * total:
            end = (-first + length) % 24
            return -first, end or 24
    return None
