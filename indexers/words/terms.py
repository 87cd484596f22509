"""The terms of texts as numbers, the same in every process, so that they can be kept in a file."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ..aio import yielding_gil
from ..text.analysis import Analyser

#: A column of rows with their terms, as numbers; only of an index that keeps them.
TERMS = "terms"
# Of how many terms the numbers are kept: about 10 MB.
_KNOWN = 2**16


class _Numbers(dict[str, int]):
    """The numbers of the terms that were last asked for."""

    def __missing__(self, term: str) -> int:
        if len(self) >= _KNOWN:
            self.clear()
        made = blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = self[term] = int.from_bytes(made, "little", signed=True)
        return number


_numbers = _Numbers()


def term_numbers(terms: Iterable[str]) -> NDArray[np.int64]:
    """A stable 64-bit hash of each term, int64 (n,)."""
    return np.array([*map(_numbers.__getitem__, terms)], np.int64)


def terms_of(
    texts: Iterable[str], analyser: Analyser
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The terms of rows' texts, in order: :func:`term_numbers`, int64 (t,), and how many each text
    has, int32 (n,). A text takes some 20 microseconds; any thread may do it."""
    numbers: list[int] = []
    lengths: list[int] = []
    for text in yielding_gil(texts, 16):
        terms = analyser.terms(text)
        numbers.extend(map(_numbers.__getitem__, terms))
        lengths.append(len(terms))
    return np.array(numbers, np.int64), np.array(lengths, np.int32)
