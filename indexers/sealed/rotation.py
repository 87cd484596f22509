"""Vectors under a secret rotation, as codes: what an engine may search without reading them.

The vectors are multiplied by a random orthogonal matrix, which keeps their products with each
other, and each value becomes one of 255 steps. So the engine proposes about the nearest rows; these
are opened, and compared by their own vectors.

Who has the codes has the distances between the texts, about. Who knows as many texts with their
codes as a vector has values has the rotation, too.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_STEPS = 127
# Bytes of each random number.
_NUMBER = 8


class Rotation:
    """The rotation of one store.

    Args:
        key: 32 secret bytes, from which it follows.
        dimension: of the vectors.
    """

    def __init__(self, key: bytes, dimension: int) -> None:
        self._key = key
        self.dimension = dimension

    def of(self, dimension: int) -> Rotation:
        """The store's rotation of vectors of another length."""
        return Rotation(self._key, dimension)

    @cached_property
    def _matrix(self) -> NDArray[np.float32]:
        """A random orthogonal matrix, each one as likely (Stewart 1980; Mezzadri 2007)."""
        matrix, upper = np.linalg.qr(_normal(self._key, self.dimension))
        return np.ascontiguousarray(matrix * np.sign(np.diagonal(upper)), np.float32)

    def rotated(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors (n, d) or one (d,), rotated."""
        return np.ascontiguousarray(vectors @ self._matrix, np.float32)

    def codes(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the engine has of vectors (n, d): each value one of 255 steps of its vector."""
        values = np.nan_to_num(self.rotated(vectors), copy=False)
        largest = np.abs(values).max(axis=1, initial=0.0)
        step = np.where(largest > 0, largest / _STEPS, 1.0)[:, None].astype(np.float32)
        found: NDArray[np.float32] = np.rint(values / step) * step
        return found

    def column(self, vectors: NDArray[np.float32]) -> pa.Array:
        """The codes of vectors as the engine's column."""
        flat = pa.array(self.codes(vectors).ravel(), pa.float32())
        return pa.FixedSizeListArray.from_arrays(flat, self.dimension)


def _normal(key: bytes, dimension: int) -> NDArray[np.float64]:
    """Normally distributed numbers, float64 (d, d), by SHAKE-256 and Box-Muller.

    No generator of NumPy's promises the same numbers in its next version.
    """
    count = dimension * dimension
    pairs = math.ceil(count / 2)
    data = hashlib.shake_256(key).digest(2 * pairs * _NUMBER)
    uniform = ((np.frombuffer(data, "<u8") >> np.uint64(11)) + 0.5) * 2.0**-53
    length, angle = np.sqrt(-2 * np.log(uniform[:pairs])), 2 * np.pi * uniform[pairs:]
    both = np.concatenate([length * np.cos(angle), length * np.sin(angle)])
    return both[:count].reshape(dimension, dimension)
