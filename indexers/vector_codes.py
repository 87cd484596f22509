"""Codes of one byte a value, beside the vectors of many rows: they tell which may be the nearest.

Comparing a hundred thousand vectors takes as long as reading them from memory. Their codes are a
quarter as large. Each comes with a bound of how far a product with it may be from the product with
the vector, so no row that is among the nearest is left out; those that are left over are compared
by their vectors. The answer is the same to the last bit.
"""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: So many rows are coded together, by one search: some milliseconds.
SLAB_ROWS = 8_192
#: Fewer rows than this are compared by their vectors, in two milliseconds.
CODED_ROWS = 4 * SLAB_ROWS

# Codes of so many rows become floats in the processor's cache, where they are multiplied.
_BLOCK_ROWS = 512
_LARGEST = 127
# If more than this share of the rows is asked for, or may be the nearest, comparing all is faster.
_FEW_OF_ALL = 1 / 16
# Half the distance from 1 to the next float32. A sum of d products of these is wrong by d times
# this at most, for each unit of the length of both vectors.
_UNIT = 2.0**-24
# Makes what was computed with rounding an upper bound.
_UP = 1 + 1e-6


class _Slab(NamedTuple):
    """The codes of :data:`SLAB_ROWS` rows.

    Attributes:
        codes: int8 (n, d).
        scale: float32 (n,); a row's vector is about its codes times its scale.
        slack: float32 (n,), how far the computed product of that with a vector of length 1 may be
            from the computed product of the row's vector with it.
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    slack: NDArray[np.float32]


class VectorCodes:
    """The codes of rows in memory. All snapshots of these rows share it; any thread may use it.

    Rows are only added behind the others, so the codes of more rows serve an older snapshot, too.
    They are made by the searches, each of which codes one slab.
    """

    def __init__(self) -> None:
        self._slabs: tuple[_Slab, ...] = ()
        self._coding = Lock()
        # Whether the next rows have values that are no numbers.
        self._ends = False

    def __len__(self) -> int:
        return SLAB_ROWS * len(self._slabs)

    def perhaps_nearest(
        self,
        vectors: NDArray[np.float32],
        vector: NDArray[np.float32],
        among: NDArray[np.int64] | None,
        limit: int,
    ) -> NDArray[np.int64] | None:
        """Rows that include the ``limit`` nearest ones, and all that are as near as the last of
        them, int64 ascending; None where all have to be compared.

        Args:
            vectors: float32 (n, d), of all rows.
            vector: float32 (d,), what they are compared with.
            among: int64 ascending, the rows to choose from; None for all.
            limit: how many.
        """
        count = len(vectors)
        most = int(_FEW_OF_ALL * count)
        if count < CODED_ROWS or not 0 < limit <= most:
            return None
        if among is not None and len(among) <= limit:
            return None
        self._code_more(vectors)
        slabs = self._slabs[: count // SLAB_ROWS]
        if not slabs:
            return None
        product, slack = _products(slabs, vectors, vector)
        if among is not None:
            product, slack = product[among], slack[among]
        # At least so many rows are as near as this, so the nearest are, too.
        at = len(product) - limit
        lower = product - slack
        lower.partition(at)
        product += slack
        near = np.flatnonzero(product >= lower[at])
        if not limit <= len(near) <= most:
            return None
        return near if among is None else among[near]

    def _code_more(self, vectors: NDArray[np.float32]) -> None:
        begin = len(self)
        if len(vectors) - begin < SLAB_ROWS or self._ends:
            return
        if not self._coding.acquire(blocking=False):
            return
        try:
            begin = len(self)
            if len(vectors) - begin >= SLAB_ROWS:
                slab = _coded(vectors[begin : begin + SLAB_ROWS])
                self._ends = slab is None
                self._slabs = self._slabs if slab is None else (*self._slabs, slab)
        finally:
            self._coding.release()


def code_bytes(rows: int, dimension: int) -> int:
    """How many bytes the codes of so many rows take."""
    return 0 if rows < CODED_ROWS else rows * (dimension + 2 * np.dtype(np.float32).itemsize)


def _products(
    slabs: tuple[_Slab, ...], vectors: NDArray[np.float32], vector: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The products with all rows, and how far each may be from that of its vector; float32 (n,)."""
    product = np.empty(len(vectors), np.float32)
    slack = np.zeros(len(vectors), np.float32)
    length = np.float32(np.linalg.norm(vector.astype(np.float64)) * _UP)
    floats = np.empty((_BLOCK_ROWS, len(vector)), np.float32)
    end = 0
    for slab in slabs:
        begin, end = end, end + SLAB_ROWS
        for at in range(0, SLAB_ROWS, _BLOCK_ROWS):
            np.copyto(floats, slab.codes[at : at + _BLOCK_ROWS])
            np.dot(floats, vector, out=product[begin + at : begin + at + _BLOCK_ROWS])
        product[begin:end] *= slab.scale
        np.multiply(slab.slack, length, out=slack[begin:end])
    # The same as a search without codes computes.
    np.einsum("ij,j->i", vectors[end:], vector, out=product[end:])
    return product, slack


def _coded(vectors: NDArray[np.float32]) -> _Slab | None:
    """The codes of some rows; None where a value is no finite number.

    The product of a vector q with v is off by |q| |v - scale codes| at most when it is computed
    with the codes (Cauchy-Schwarz). Rounding adds about d * _UNIT |q| |v| to either of the
    products. Twice the sum of these is allowed for, which also covers the few operations with the
    bound itself.
    """
    count, dimension = vectors.shape
    codes = np.empty((count, dimension), np.int8)
    scale = np.empty(count, np.float32)
    slack = np.empty(count, np.float64)
    floats = np.empty((_BLOCK_ROWS, dimension), np.float32)
    for at in range(0, count, _BLOCK_ROWS):
        part = slice(at, at + _BLOCK_ROWS)
        some = vectors[part]
        np.abs(some, out=floats)
        largest = floats.max(axis=1)
        if not np.isfinite(largest).all():
            return None
        scale[part] = largest / _LARGEST
        # A vector of nothing but zeros has such codes, whatever its scale.
        steps = np.where(largest > 0, scale[part], np.float32(1))[:, None]
        np.divide(some, steps, out=floats)
        np.rint(floats, out=floats)
        np.copyto(codes[part], floats, casting="unsafe")
        floats *= steps
        np.subtract(some, floats, out=floats)
        missed, length = _length(floats), _length(some)
        slack[part] = missed + 4 * dimension * _UNIT * (length + missed)
    return _Slab(codes, scale, (slack * _UP).astype(np.float32))


def _length(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Upper bounds of the lengths of some vectors, float64 (n,)."""
    squares = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
    lengths: NDArray[np.float64] = np.sqrt(squares) * (1 + 2 * vectors.shape[1] * _UNIT)
    return lengths
