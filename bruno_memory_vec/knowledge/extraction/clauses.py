"""A turn's own statements: its sentences, without what is quoted, asked, or only supposed.

Nothing is changed but hidden: a character that says nothing of its author becomes a filler, so that
places in the text stay what they are and a value can be read from the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: In place of each hidden character. It is no letter, so no pattern begins in what is hidden.
FILLER: Final = "\u00a4"

_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
# Somebody else's words: quoted lines of a mail or a forum, and of a talk that was pasted.
_QUOTED_LINE = re.compile(
    r"^[ \t]*(?:>|\||(?:assistant|system|ai|bot|tool|function|chatgpt|claude)[ \t]*:).*$",
    re.MULTILINE | re.IGNORECASE,
)
# The opening mark of a pair of ' stands behind a space, the closing one before none of the letters:
# an apostrophe does neither.
_QUOTED = re.compile(
    r"\"[^\"\n]{1,600}\"|\u201c[^\u201d\n]{1,600}\u201d|\u00ab[^\u00bb\n]{1,600}\u00bb"
    r"|(?<![\w'\u2019])'[^'\n]{1,200}'(?!\w)|\u2018[^\u2019\n]*? [^\n]{0,600}?\u2019(?!\w)"
)
# What follows is a text to work on, or a part to play, and says nothing of its author.
_MATERIAL = re.compile(
    r"(?:\A|[.!?\n]\s*|\b(?:please|can you|could you|would you|will you|help me|let's)\s+)"
    r"(?:translate|proofread|rewrite|rephrase|paraphrase|correct|edit|improve|shorten|summari[sz]e"
    r"|classify|role-?play|pretend|act as|play the (?:part|role)|in the voice of|imagine"
    r"|write (?:me )?(?:an?|the|this|my|some|two|three|\d)\b[^.!?\n]{0,60}"
    r"(?:story|poem|song|letter|mail|email|e-mail|bio|monologue|dialogue|script|line|lines|speech"
    r"|message|text|scene|diary|essay|sentence|sentences|limerick|review))\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?m)^(?:dear|to whom it may concern|subject:|from:)\b", re.IGNORECASE)
_ABBREVIATION = r"(?<!\b[DM]r)(?<!\bMrs)(?<!\bMs)(?<!\bSt)(?<!\bProf)(?<!\b[ei]\.[ge])"
_ENDS = re.compile(rf"{_ABBREVIATION}[.!?\u2026]+(?=[\s\"')\u201d\u2019{FILLER}]|\Z)|[\n;]+")
_ASKS = re.compile(
    r"[,\u2013\u2014:-]\s*(?:and |so |but |then )?(?:what|where|which|who|whose|when|why|how"
    r"|can|could"
    r"|would|will|should|do|does|did|is|are|am|may|any|shall|have|has)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement of a turn.

    Attributes:
        start: where it begins in the text.
        text: its words, hidden ones as fillers; without what it asks.
    """

    start: int
    text: str


def statements(text: str) -> Iterator[Sentence]:
    """The sentences of a text that state something, in order."""
    hidden = _hidden(text)
    place = 0
    for end in (*_ENDS.finditer(hidden), None):
        stop = len(hidden) if end is None else end.start()
        sentence = hidden[place:stop]
        if end is not None and "?" in end[0]:
            # Of "I live in Porto, what is on tonight?" the first part is a statement.
            asks = _ASKS.search(sentence)
            sentence = "" if asks is None else sentence[: asks.start()]
        if sentence.strip():
            yield Sentence(place, sentence)
        if end is not None:
            place = end.end()


def _hidden(text: str) -> str:
    for pattern in (_FENCED, _QUOTED_LINE, _QUOTED):
        text = pattern.sub(lambda found: FILLER * len(found[0]), text)
    text = text.replace("\u2019", "'")
    for pattern in (_MATERIAL, _LETTER):
        found = pattern.search(text)
        if found is not None:
            text = text[: found.start()] + FILLER * (len(text) - found.start())
    return text
