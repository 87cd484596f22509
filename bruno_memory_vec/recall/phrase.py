"""A phrase that a row's text has to hold, as it stands: words, parts of words, marks, anything.

Engines do not decide it. They fold letters differently or not at all, and each has its own rules
for marks in a pattern. So it is one function over the rows' texts, the same for every engine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.indexers.text.analysis import clean, plain

#: The longest phrase, in characters.
MOST_CHARACTERS = 20_000

# Python folds a text of 250 characters that are not all ASCII in some 25 microseconds, so it keeps
# what it has folded, up to so many bytes.
_KEPT_BYTES = 48 * 2**20
# A text of more characters is not kept.
_LONGEST_KEPT = 20_000
# Of so many characters of the phrase it is looked first whether a text may hold them at all.
_LOOKED_AT = 3


class Phrase:
    """A phrase, and which texts hold it.

    Args:
        text: what has to stand there; any characters, none of which has another meaning.
        match_case: compare letter for letter. By default case, accents and width do not count,
            nor what nobody sees; of a phrase of such characters alone they do.
    """

    __slots__ = ("_rare", "match_case", "text", "wanted")

    def __init__(self, text: str, *, match_case: bool = False) -> None:
        self.text = text
        folded = "" if match_case else plain(text)
        self.match_case = match_case or not folded
        #: What is looked for, in texts that were folded alike.
        self.wanted = clean(text) if self.match_case else folded
        self._rare = [] if self.match_case else _caseless(folded)

    def among(self, contents: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
        """Which of n texts hold the phrase, bool (n,). Any thread may call it."""
        if self.match_case:
            return _flags(pc.match_substring(contents, self.wanted))
        ascii_only = _flags(pc.string_is_ascii(contents))
        having = np.zeros(len(contents), np.bool_)
        if self.wanted.isascii() and ascii_only.any():
            of = contents if ascii_only.all() else contents.filter(pa.array(ascii_only))
            having[ascii_only] = _flags(pc.match_substring(of, self.wanted, ignore_case=True))
        others = np.flatnonzero(~ascii_only)
        if len(others):
            texts = contents.take(pa.array(others))
            if self._rare:
                # Arrow decomposes all texts in the time that Python needs for a few.
                apart = pc.utf8_normalize(texts, "NFKD")
                for character in self._rare:
                    left = _flags(pc.match_substring(apart, character))
                    others, apart = others[left], apart.filter(pa.array(left))
                texts = contents.take(pa.array(others))
            held = (self.wanted in _FOLDED.of(text) for text in texts.to_pylist())
            having[others] = np.fromiter(held, np.bool_, len(others))
        return having


class _FoldedTexts:
    """The plain forms of the texts that were folded last, a bounded amount."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def of(self, text: str) -> str:
        """The plain form of a text."""
        held = self._texts.get(text)
        if held is not None:
            return held
        found = plain(text)
        if len(text) <= _LONGEST_KEPT:
            with self._changing:
                if text not in self._texts:
                    self._texts[text] = found
                    self._bytes += _size(text, found)
                while self._bytes > self._most:
                    self._bytes -= _size(*self._texts.popitem(last=False))
        return found


def _size(text: str, found: str) -> int:
    """About how many bytes both take, with their place."""
    return 4 * len(text) + 2 * len(found) + 200


_FOLDED = _FoldedTexts(_KEPT_BYTES)


def _caseless(wanted: str) -> list[str]:
    """Characters of a plain text that stand, decomposed, in every text that holds it.

    Letters without case that are not ASCII: no folding but Unicode's NFKD makes one of another.
    """
    found = {c: None for c in wanted if not c.isascii() and c.lower() == c.upper() == c}
    decomposed = [str(pc.utf8_normalize(c, "NFKD"))[0] for c in found]
    return list(dict.fromkeys(decomposed))[:_LOOKED_AT]


def _flags(found: Any) -> NDArray[np.bool_]:
    return np.asarray(found, np.bool_)
