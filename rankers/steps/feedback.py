"""A row gains for being like the best rows so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import integer, number
from ..fusion import min_max
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Feedback:
    """How much a row gains for being like the best rows so far (pseudo-relevance feedback).

    ``gain = weight * minmax(cosine(row, centroid of the best rows))``

    Pseudo-relevance feedback by vectors (Rocchio, 1971): the best rows are assumed to be relevant,
    weighed by their scores, and rows like them gain.

    Attributes:
        weight: gain of the row that is most like them.
        best: how many of the best rows are assumed to be relevant.
    """

    name: ClassVar[str] = "feedback"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    weight: float
    best: int = 5

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        integer("best", self.best, 1, 100)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight; 0 where the pool has no vectors."""
        if pool.vector is None or len(pool) == 0:
            return np.zeros(len(pool), np.float64)
        best = pool.best_first(score)[: self.best]
        centroid = np.maximum(score[best], 0.0) @ pool.vector[best].astype(np.float64)
        return self.weight * min_max(pool.vector.astype(np.float64) @ centroid)
