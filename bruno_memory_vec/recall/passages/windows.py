"""Cuts a long text into passages: windows of whole sentences that overlap."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from bruno_memory_vec.indexers.text.analysis import UNSPACED

#: A text of more words than this has passages. In a script without spaces a character counts as
#: :data:`A_CHARACTER` words, so that a passage says about as much in every script.
LONG = 80
#: About how many words a passage has, and how many words later the next one begins.
WORDS, STEP = 60, 40
#: Words a character of a script without spaces counts as: a word of two is the commonest one.
A_CHARACTER = 0.6
#: A text of fewer bytes in UTF-8 has no passages, whatever its script: 133 characters of three
#: bytes, or 80 words of three letters, a space and some marks.
LEAST_BYTES = 330

# A longer sentence is cut behind so many words, as a list without marks or a log would be one.
_LONGEST_SENTENCE = 20
# In characters: a sentence of more is read in pieces, as it may be one word of thousands.
_LONGEST = 300
# A mark that is followed by white space (so not that of "3.5"), a line's end, or a full stop of a
# script without spaces.
_ENDS = re.compile(r"[.!?…]+[\"'”’)»\]*_`]*(?=\s)|\n|[。！？；]+")
# What has no space in it is read in pieces of so many characters.
_PIECE = re.compile(r"\S{1,20}")


class Passage(NamedTuple):
    """A part of a text.

    Attributes:
        start: where it begins, in characters from the text's beginning.
        end: where it ends: behind its last character.
    """

    start: int
    end: int

    def of(self, text: str) -> str:
        """The passage itself, from the whole text."""
        return text[self.start : self.end]


class _Part(NamedTuple):
    """A sentence, or a piece of a long one: where it stands, and how many words it has."""

    start: int
    end: int
    words: float


def windows(text: str) -> list[Passage]:
    """The passages of a text, in order; none where it is not long.

    Each has about :data:`WORDS` words and begins about :data:`STEP` words behind the one before,
    at the beginning of a sentence where sentences are not longer than that. Together they cover
    the whole text but white space.
    """
    parts = _parts(text)
    ends = list(accumulate((part.words for part in parts), initial=0.0))
    if ends[-1] <= LONG:
        return []
    found: list[Passage] = []
    first = last = 0
    while last < len(parts):
        last = max(bisect_right(ends, ends[first] + WORDS) - 1, first + 1)
        found.append(Passage(parts[first].start, parts[last - 1].end))
        first = max(bisect_right(ends, ends[first] + STEP) - 1, first + 1)
    return found


def _parts(text: str) -> list[_Part]:
    """The sentences, without white space around them; long ones in pieces."""
    parts: list[_Part] = []
    place = 0
    for end in (*(mark.end() for mark in _ENDS.finditer(text)), len(text)):
        sentence = text[place:end]
        words = len(sentence.split())
        if words > _LONGEST_SENTENCE or not sentence.isascii() or len(sentence) > _LONGEST:
            parts.extend(_pieces(text, place, end))
        elif words:
            start = place + len(sentence) - len(sentence.lstrip())
            parts.append(_Part(start, place + len(sentence.rstrip()), words))
        place = end
    return parts


def _pieces(text: str, place: int, end: int) -> Iterator[_Part]:
    start, last, words = -1, place, 0.0
    for piece in _PIECE.finditer(text, place, end):
        if words >= _LONGEST_SENTENCE:
            yield _Part(start, last, words)
            start, words = -1, 0.0
        start = piece.start() if start < 0 else start
        last = piece.end()
        words += _words(piece[0])
    if start >= 0:
        yield _Part(start, last, words)


def _words(piece: str) -> float:
    if not piece.isascii() and UNSPACED.search(piece):
        return A_CHARACTER * len(piece)
    return 1.0
