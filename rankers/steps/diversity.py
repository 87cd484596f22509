"""A row loses for being like the rows ranked above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import Ask, Floats


@dataclass(frozen=True, slots=True)
class Diversity:
    """Maximal marginal relevance: a row loses for being like the rows ranked above it.

    Rows are chosen one by one (Carbonell and Goldstein, SIGIR 1998), each the best by
    ``score - weight * best score * max(0, largest cosine to those chosen)``. As many are chosen as
    are shown. The other rows lose what they would lose if they were chosen next.

    Attributes:
        weight: loss of a row that is identical to one above it, as a share of the best score.
    """

    name: ClassVar[str] = "diversity"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The loss, float64 (n,), 0 or negative; 0 where the pool has no vectors."""
        loss = np.zeros(len(pool), np.float64)
        if pool.vector is None or len(pool) == 0:
            return loss
        vectors = pool.vector.astype(np.float64)
        unit = self.weight * max(float(score.max()), 0.0)
        nearest = np.zeros(len(pool), np.float64)
        open_ = np.ones(len(pool), bool)
        for _ in range(min(ask.k, len(pool))):
            worth = np.where(open_, score - unit * nearest, -np.inf)
            chosen = int(pool.best_first(worth)[0])
            open_[chosen] = False
            loss[chosen] = -unit * nearest[chosen]
            nearest = np.maximum(nearest, vectors @ vectors[chosen])
        loss[open_] = -unit * nearest[open_]
        return loss
