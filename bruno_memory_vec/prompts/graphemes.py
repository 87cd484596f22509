"""Where a text may be cut without cutting a character as a reader sees it.

A short form of Unicode's rules (UAX 29): no cut before a mark, a joiner, a selector or a skin tone,
none behind a joiner or a virama, none within a Korean syllable, none within a flag.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINERS = "\u200c\u200d"
_TONES = "🏻🏼🏽🏾🏿"
_VIRAMA = 9  # its canonical combining class


def boundaries(text: str, first: int, last: int) -> Iterator[int]:
    """The places from ``first`` to ``last`` (1 or more) at which the text may be cut, ascending."""
    for place in range(first, last + 1):
        if place >= len(text) or _may_cut(text, place):
            yield place


def _may_cut(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return True
    if unicodedata.category(after)[0] == "M" or after in _JOINERS or after in _TONES:
        return False
    if before == "\u200d" or unicodedata.combining(before) == _VIRAMA:
        return False
    if "\u1160" <= after <= "\u11ff":  # vowels and finals of Korean syllables in parts
        return False
    return not (_flag(after) and _flags_before(text, place) % 2)


def _flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, place: int) -> int:
    begin = place
    while begin and _flag(text[begin - 1]):
        begin -= 1
    return place - begin
