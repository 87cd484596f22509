"""Of rows with nearly the same vector, one keeps its rank and the others go to the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import COMPARED, Ask, Floats

# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Of rows with nearly the same vector, one keeps its rank and the others go to the end.

    Rows are taken best first. A row is a duplicate if its cosine to a row kept before it is at
    least ``similarity``. The score of a duplicate becomes the lowest of all minus 1, so it is
    shown only where there is nothing else. A rule of our own.

    Attributes:
        similarity: cosine from which two rows are duplicates, 0..1.
    """

    name: ClassVar[str] = "duplicates"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    similarity: float

    def __post_init__(self) -> None:
        number("similarity", self.similarity, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The loss, float64 (n,), 0 or negative; 0 where the pool has no vectors."""
        loss = np.zeros(len(pool), np.float64)
        if pool.vector is None or len(pool) == 0:
            return loss
        end = score.min() - 1.0
        best = pool.best_first(score)[:COMPARED]
        same = (pool.vector[best] @ pool.vector[best].T) >= self.similarity - _ROUNDING
        kept: list[int] = []
        for place in range(len(best)):
            if same[place, kept].any():
                loss[best[place]] = end - score[best[place]]
            else:
                kept.append(place)
        return loss
