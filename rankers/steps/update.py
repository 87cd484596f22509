"""An older row loses where a newer row has a similar vector and a similar score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import DAY, Pool
from .step import COMPARED, MAX_STRENGTH, Ask, Floats


@dataclass(frozen=True, slots=True)
class Update:
    """How much an older row loses to a newer one on the same subject.

    ``loss(i) = -strength * score(i) * max over newer j of likeness(i, j)``, where ``j`` was
    written at least a day later, scores nearly as well (``score(j) >= near * score(i)``), and
    ``likeness`` rises from 0 at ``similarity`` to 1 at a cosine of 1. A fact that changed is
    stated again in similar words; of two statements that answer about as well, the newer is more
    likely true. Where the older one answers much better, it loses nothing. A rule of our own.

    Attributes:
        strength: an older row loses at most this share of its score, 0..0.5.
        similarity: cosine from which two rows are on the same subject, -1..1.
        near: a newer row counts if its score is at least this share of the older one's, 0..1.
    """

    name: ClassVar[str] = "update"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    strength: float
    similarity: float
    near: float

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)
        number("similarity", self.similarity, -1, 1)
        number("near", self.near, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The loss, float64 (n,), 0 or negative; 0 where the pool has no vectors."""
        loss = np.zeros(len(pool), np.float64)
        if pool.vector is None or len(pool) == 0:
            return loss
        best = pool.best_first(score)[:COMPARED]
        vectors = pool.vector[best].astype(np.float64)
        span = max(1.0 - self.similarity, 1e-9)
        likeness = ((vectors @ vectors.T - self.similarity) / span).clip(0.0, 1.0)
        created = pool.created_at[best].astype(np.float64)  # int64 differences may overflow
        newer = created[None, :] - created[:, None] >= DAY
        near = score[best][None, :] >= self.near * score[best][:, None]
        likeness[~(newer & near)] = 0.0
        loss[best] = -self.strength * np.maximum(score[best], 0.0) * likeness.max(axis=1)
        return loss
