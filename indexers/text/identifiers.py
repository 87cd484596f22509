"""Words within words: what identifiers, keys and abbreviations are made of.

People write one thing in several ways: ``getUserById``, ``get_user_by_id`` and "get user by id";
``PROJ1234`` and ``PROJ-1234``; ``U.S.A.`` and ``USA``. What is joined by marks comes apart as any
text does. The others do here: the parts of a word are written behind it, and the dots of an
abbreviation are left out. Rows and questions are treated alike, so what is written in one way
matches all of itself, and of another way the parts.

A word has parts where a capital follows a small letter (``getUser``), where a capital begins a word
after others (``HTTPServer``), and where it is letters and then a number (``PROJ1234``). Letters of
ASCII only: identifiers are written in these.

Parts of letters with one digit, and "e.g." as one word, were tried and found less in talks:
docs/benchmarks.md, "Identifiers".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A longer word, or one of more parts, is a key or a hash: its parts say nothing.
_LONGEST = 64
_MOST_PARTS = 8
# A capital or a digit behind a letter: few words of most texts. Searching for these alone takes a
# tenth of the time of looking at each word.
_INSIDE = re.compile("[A-Z0-9](?<=[A-Za-z].)")
_WORD = re.compile("[A-Za-z0-9]+")
# Of one letter or one digit ("Q3", "V2", "mp3") the parts are noise.
_LETTERS_THEN_NUMBER = re.compile("([A-Za-z]{2,})([0-9]{2,})")
# "URLs" is one word: a capital begins another one where two small letters follow.
_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
# Letters with a dot behind each: two capitals, or three letters. "e.g." and "p.m." stay apart.
_DOTTED = re.compile(
    r"(?<![\w.])(?:[A-Z]\.[A-Z]\.(?![\w.])|[A-Za-z](?:\.[A-Za-z]){2,}(?:\.(?!\w)|(?![\w.])))"
)
# One letter between a dot and its end: few texts have it, and it is found in a tenth of the time.
_DOT_IN_IT = re.compile(r"\.[A-Za-z](?!\w)")


def with_parts(text: str) -> str:
    """The text with the parts of its words behind these; it takes linear time."""
    if _DOT_IN_IT.search(text) is not None:
        text = _DOTTED.sub(_without_dots, text)
    if _INSIDE.search(text) is None:
        return text
    return "".join(_pieces(text))


def _without_dots(match: re.Match[str]) -> str:
    return match.group().replace(".", "")


def _pieces(text: str) -> Iterator[str]:
    done = 0
    for inside in _INSIDE.finditer(text):
        if inside.start() < done:
            continue
        start = _word_start(text, inside.start(), done)
        word = _WORD.match(text, start)
        assert word is not None
        yield text[done : word.end()]
        done = word.end()
        parts = _parts(word.group())
        if parts:
            yield f" {' '.join(parts)}"
    yield text[done:]


def _word_start(text: str, at: int, least: int) -> int:
    """Where the word begins that a character is in."""
    while at > least and text[at - 1].isascii() and text[at - 1].isalnum():
        at -= 1
    return at


def _parts(word: str) -> list[str]:
    """The parts of a word; none where it has no others than itself."""
    if len(word) > _LONGEST:
        return []
    numbered = _LETTERS_THEN_NUMBER.fullmatch(word)
    parts = list(numbered.groups()) if numbered else _CAPITAL.sub(" ", word).split(" ")
    return parts if 1 < len(parts) <= _MOST_PARTS else []
