"""Cues of a text: who speaks, how much of it is questions, whether it names a time.

They are read once, when a row is stored, so that a recall can rank by them without the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
_ASKS = "?？؟"
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
_WORD = re.compile(r"[^\W\d_]+")
_DIGIT = re.compile(r"\d")
# "may" is a month only beside a preposition or a number ("this may be wrong").
_DATE = re.compile(
    r"\b(?:(?:19|20)\d\d|\d{1,2}[:h]\d\d|\d{1,2} ?[ap]\.?m"
    r"|\d{1,2}(?:st|nd|rd|th)?(?: of)? may|may \d{1,4}(?:st|nd|rd|th)?)\b"
)
_IN_MAY = re.compile(
    r"\b(?:in|of|by|since|until|during|before|after|early|late|last|next|mid) may\b"
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
# First words of these phrases. Looking for one of them first takes a tenth of the time.
_CHANGE_BEGINS = frozenset(
    """
    new no any used these from as end ends ended turn turns turned after went up down back at done
    over going last this today yesterday
    """.split()
)


@dataclass(frozen=True, slots=True)
class Cues:
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
    found = _SPEAKER.match(text)
    if found and found[1].lower().rstrip(".") in _HEADINGS:
        found = None
    said = text[found.end() :] if found else text
    ends = False
    share = 0.0
    if "?" in said or "？" in said or "؟" in said:
        body = _to_last_word(said)
        ends = body.endswith(tuple(_ASKS))
        share = _question_share(body)
    lower = said.lower()
    words = _WORD.findall(lower)
    return Cues(
        speaker=found[1] if found else None,
        question_share=share,
        ends_with_question=ends,
        names_time=_names_time(lower, words),
        tells_change=not _CHANGE_WORDS.isdisjoint(words)
        or (not _CHANGE_BEGINS.isdisjoint(words) and _CHANGE.search(lower) is not None),
    )


def _names_time(lower: str, words: list[str]) -> bool:
    if not _TIME_WORDS.isdisjoint(words):
        return True
    if "may" in words and _IN_MAY.search(lower):
        return True
    return _DIGIT.search(lower) is not None and _DATE.search(lower) is not None


def _to_last_word(text: str) -> str:
    """The text up to its last word or question mark, without a trailing emoji or image note."""
    while text:
        end = len(text)
        while end and not (text[end - 1].isalnum() or text[end - 1] in _ASKS + "]"):
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
        if any(sign in mark[0] for sign in _ASKS):
            asked += length
        start = mark.end()
    rest = text[start:]
    length = len(rest.split())
    if rest.endswith(tuple(_ASKS)):
        asked += length
    words += length
    return asked / words if words else 0.0
