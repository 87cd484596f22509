"""A row's length as Tantivy keeps it: in one byte, exact up to 40 terms and rounded down beyond."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Lucene's SmallFloat: the first lengths as they are, then three bits behind the highest one.
_EXACT = 24
_BITS = 3


def _lengths() -> NDArray[np.float32]:
    values = []
    for byte in range(256):
        rest = byte - _EXACT
        if rest < 1 << _BITS:
            values.append(byte)
        else:
            shift = (rest >> _BITS) - 1
            values.append(_EXACT + ((rest & 7 | 8) << shift))
    return np.array(values, np.float64)


_LENGTHS = _lengths()


def kept_lengths(lengths: NDArray[np.int32]) -> NDArray[np.float32]:
    """The lengths that BM25 counts with, float32 (n,).

    Args:
        lengths: int32 (n,), how many terms each row has.
    """
    kept = _LENGTHS[np.searchsorted(_LENGTHS, lengths, side="right") - 1]
    return kept.astype(np.float32)
