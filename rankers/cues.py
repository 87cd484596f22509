"""Cues of a text: who speaks, how much of it is questions, whether it names a time.

They are read once, when a row is stored, so that a recall can rank by them without the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

#: Of longer texts only the beginning and the end are read: the speaker's name stands at the
#: beginning, and a closing question at the end.
MAX_CHARS = 4_000

# "Ana: I moved to Porto": one to three capitalised words before a colon, ...
_SPEAKER = re.compile(r"\s*([^\W\d_a-z][\w.'-]{0,29}(?: [^\W\d_a-z][\w.'-]{0,29}){0,2}):\s")
# ... that are not a heading.
_HEADINGS = frozenset(
    "note notes todo url ps p.s re fwd subject question answer warning error tip tips step example "
    "update edit summary else try default result input output".split()
)
# A sentence ends at a mark followed by white space (so not inside "3.5" or "a.b"), or at a line's
# end.
_SENTENCE = re.compile(r"[.!?…]{1,8}[\"'”’)»\]*_~`]{0,8}(?=\s)|[\n。！？؟]+")
_ASKS = ("?", "？", "؟")
_ENDS = frozenset((*_ASKS, "]"))
_LONGEST_CAPTION = 400

_MONTHS = (
    "january february march april june july august september october november december "
    "jan feb mar apr jun jul aug sept sep oct nov dec"
)
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_TIMES = (
    "yesterday today tonight tomorrow last next ago week weeks weekend month months year years "
    "recently since summer winter spring fall autumn morning afternoon evening"
)
_TIME_WORDS = frozenset(f"{_MONTHS} {_DAYS} {_TIMES}".split())
# A run of letters. In bytes of ASCII, blanks for all else and a split find the same runs in a third
# of the time.
_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = bytes(code if bytes([code]).isalpha() else 32 for code in range(256))
# A year, a time of day, a day in May. All begin with the first digit of a number, so the search
# skips to digits.
_NUMBERED_DATE = re.compile(
    r"\d(?<=\b\d)(?:(?:(?<=1)9|(?<=2)0)\d\d"
    r"|\d?(?:[:h]\d\d| ?[ap]\.?m|(?:st|nd|rd|th)?(?: of)? may))\b"
)
# "may" is a month only beside a preposition or a number ("this may be wrong").
_IN_MAY = re.compile(
    r"\b(?:(?:in|of|by|since|until|during|before|after|early|late|last|next|mid) may"
    r"|may \d{1,4}(?:st|nd|rd|th)?)\b"
)
# Words that say that something begins, ends or replaces something else.
_CHANGE_WORDS = frozenset(
    """
    now nowadays anymore instead since starting started starts began begun stopped quit gave
    switch switched switching change changed changes changing moved moving replaced replacing
    swapped updated actually cancelled canceled postponed rescheduled raised took taken left
    leaving finally final sold promoted decided settled finished
    """.split()
)
_CHANGE = re.compile(
    r"\b(?:new (?!york|zealand|delhi|orleans|jersey|mexico|hampshire|england|guinea|castle|year)"
    r"|(?:no longer|any more|used to|these days|from (?:now|here) on|as of|end(?:s|ed)? up"
    r"|turn(?:s|ed) out|after all|went up|up to|down to|back to|at last|done with|over to"
    r"|(?:went|going) with|(?:last|this) (?:week|month)|today|yesterday)\b)"
)
# The beginnings of these phrases, by their first word: hardly any text has one, and looking for
# them first takes a tenth of the time.
_CHANGE_BEGINS = {
    "new": ("new ",),
    "no": ("no longer",),
    "any": ("any more",),
    "used": ("used to",),
    "these": ("these days",),
    "from": ("from now on", "from here on"),
    "as": ("as of",),
    **{word: (f"{word} up",) for word in ("end", "ends", "ended")},
    **{word: (f"{word} out",) for word in ("turns", "turned")},
    "after": ("after all",),
    "went": ("went up", "went with"),
    **{word: (f"{word} to",) for word in ("up", "down", "back", "over")},
    "at": ("at last",),
    "done": ("done with",),
    "going": ("going with",),
    "last": ("last week", "last month"),
    "this": ("this week", "this month"),
    "today": ("today",),
    "yesterday": ("yesterday",),
}
# All words that one of the cues below asks for.
_NOTABLE = _TIME_WORDS | _CHANGE_WORDS | _CHANGE_BEGINS.keys() | {"may"}
_NOTABLE_BYTES = frozenset(word.encode() for word in _NOTABLE)


class Cues(NamedTuple):
    """Cues of a text.

    Attributes:
        speaker: the name that the text begins with ("Ana: ..."), None where there is none.
        question_share: the share of its words that stand in questions, 0..1.
        ends_with_question: whether its last sentence asks.
        names_time: whether it names a time: a date, a weekday, "last week".
        tells_change: whether it says that something has changed: "moved", "no longer".
    """

    speaker: str | None
    question_share: float
    ends_with_question: bool
    names_time: bool
    tells_change: bool


def read_cues(text: str) -> Cues:
    """Read a text's cues. English words for times and changes; question marks of any script.

    Takes a few microseconds for a chat turn. Of a text longer than
    :data:`MAX_CHARS` characters only the beginning and the end are read.
    """
    if len(text) > MAX_CHARS:
        text = text[: MAX_CHARS // 2] + "\n" + text[-MAX_CHARS // 2 :]
    found = _SPEAKER.match(text) if ":" in text else None
    if found and found[1].lower().rstrip(".") in _HEADINGS:
        found = None
    said = text[found.end() :] if found else text
    ends = False
    share = 0.0
    if "?" in said or "？" in said or "؟" in said:
        body = _to_last_word(said)
        ends = body.endswith(_ASKS)
        share = _question_share(body)
    lower = said.lower()
    notable = _notable(lower)
    return Cues(
        found[1] if found else None,
        share,
        ends,
        _names_time(lower, notable),
        bool(notable) and _tells_change(lower, notable),
    )


def _notable(lower: str) -> Collection[str]:
    """The words of a text in lower case that a cue asks for."""
    if not lower.isascii():
        return _NOTABLE.intersection(_WORD.findall(lower))
    found = _NOTABLE_BYTES.intersection(lower.encode().translate(_LETTERS).split())
    return [word.decode() for word in found]


def _names_time(lower: str, notable: Collection[str]) -> bool:
    if notable:
        if not _TIME_WORDS.isdisjoint(notable):
            return True
        if "may" in notable and _IN_MAY.search(lower):
            return True
    return _NUMBERED_DATE.search(lower) is not None


def _tells_change(lower: str, notable: Collection[str]) -> bool:
    if not _CHANGE_WORDS.isdisjoint(notable):
        return True
    for word in notable:
        for beginning in _CHANGE_BEGINS.get(word, ()):
            if beginning in lower:
                return _CHANGE.search(lower) is not None
    return False


def _to_last_word(text: str) -> str:
    """The text up to its last word or question mark, without a trailing emoji or image note."""
    while text:
        end = len(text)
        while end and not (text[end - 1].isalnum() or text[end - 1] in _ENDS):
            end -= 1
        text = text[:end]
        start = text.rfind("[", -_LONGEST_CAPTION) if text.endswith("]") else -1
        if start < 0:
            return text
        text = text[:start]
    return text


def _question_share(text: str) -> float:
    asked = words = start = 0
    for mark in _SENTENCE.finditer(text):
        length = len(text[start : mark.end()].split())
        words += length
        if mark[0].endswith(_ASKS) or any(sign in mark[0] for sign in _ASKS):
            asked += length
        start = mark.end()
    rest = text[start:]
    length = len(rest.split())
    if rest.endswith(_ASKS):
        asked += length
    words += length
    return asked / words if words else 0.0
