"""How much of a text a vocabulary of word pieces knows, by its letters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

# A script is known where so many pieces have two letters of it or more, or so many have any: a
# model of English has single letters of many scripts, which it was never taught the meaning of.
_LONGER_PIECES = 100
_PIECES = 2_000
# What tokenizers put before a piece: of WordPiece, of Unigram, of byte-level BPE.
_MARKS = "#\u2581\u0120"
# Of a longer text only the beginning is read.
_MAX_CHARS = 2_000


class KnownLetters:
    """The letters of the scripts that a vocabulary knows.

    Args:
        pieces: the vocabulary, with any marks of its tokenizer, such as ``##``.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        words = [word for piece in pieces if (word := _plain(piece.lstrip(_MARKS))).isalpha()]
        some, longer = Counter[str](), Counter[str]()
        for letter, number in Counter(word[0] for word in words).items():
            some[_script(letter)] += number
        for letter, number in Counter(word[0] for word in words if len(word) > 1).items():
            longer[_script(letter)] += number
        known = {
            script
            for script, number in some.items()
            if number >= _PIECES or longer[script] >= _LONGER_PIECES
        }
        self._letters = frozenset(
            letter for letter in set("".join(words)) if _script(letter) in known
        )

    def share(self, text: str) -> float:
        """The share of a text's letters that are known, 0..1; 1 for a text without a letter.

        Case and accents do not count.
        """
        letters = [character for character in _plain(text[:_MAX_CHARS]) if character.isalpha()]
        if not letters:
            return 1.0
        return sum(letter in self._letters for letter in letters) / len(letters)


def _plain(text: str) -> str:
    """In lower case, without accents and other marks, wide and narrow letters as usual ones."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.lower())
    # Put together again, as the syllables of Hangul are taken apart, too.
    return unicodedata.normalize("NFC", "".join(filter(_is_no_mark, apart)))


def _is_no_mark(character: str) -> bool:
    return not unicodedata.combining(character)


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str:
    """The first word of its name in Unicode: "LATIN", "CYRILLIC", "CJK"."""
    return re.split("[ -]", unicodedata.name(letter, "?"), maxsplit=1)[0]
