"""Steps that compare the rows of a pool with each other, by their vectors.

Each works on the best rows only: what stands below them is not shown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fusion import min_max
from .pool import Pool
from .step_settings import Diversity, Duplicates, Feedback, Update

Floats = NDArray[np.float64]
_DAY = 86_400_000_000

# Comparing is quadratic; what is shown is far less.
COMPARED = 100
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6


def feedback_gain(pool: Pool, score: Floats, settings: Feedback) -> Floats:
    """``weight * minmax(cosine(row, centroid of the best rows))``.

    Pseudo-relevance feedback by vectors (Rocchio, 1971): the best rows are taken for
    relevant, weighed by their scores, and what is like them gains.

    Returns:
        float64 (n,), 0..weight; 0 where the pool has no vectors.
    """
    if pool.vector is None or len(pool) == 0:
        return np.zeros(len(pool), np.float64)
    best = np.lexsort((-pool.seq, -score))[: settings.best]
    centroid = np.maximum(score[best], 0.0) @ pool.vector[best].astype(np.float64)
    return settings.weight * min_max(pool.vector.astype(np.float64) @ centroid)


def update_loss(pool: Pool, score: Floats, settings: Update) -> Floats:
    """What an older row loses to a newer one that speaks of the same: 0 or negative.

    ``loss(i) = -strength * score(i) * max over newer j of likeness(i, j)``, where ``j`` was
    written at least a day later, comes near to ``i`` (``score(j) >= near * score(i)``), and
    ``likeness`` rises from 0 at ``similarity`` to 1 at a cosine of 1. A fact that changed is
    told again in like words; of two tellings that answer about as well, the newer is true.
    Where the older answers much better, nothing is lost.

    Returns:
        float64 (n,); 0 where the pool has no vectors.
    """
    loss = np.zeros(len(pool), np.float64)
    if pool.vector is None or len(pool) == 0:
        return loss
    best = np.lexsort((-pool.seq, -score))[:COMPARED]
    vectors = pool.vector[best].astype(np.float64)
    span = max(1.0 - settings.similarity, 1e-9)
    likeness = ((vectors @ vectors.T - settings.similarity) / span).clip(0.0, 1.0)
    created = pool.created_at[best].astype(np.float64)  # int64 differences may overflow
    newer = created[None, :] - created[:, None] >= _DAY
    near = score[best][None, :] >= settings.near * score[best][:, None]
    likeness[~(newer & near)] = 0.0
    loss[best] = -settings.strength * np.maximum(score[best], 0.0) * likeness.max(axis=1)
    return loss


def duplicate_loss(pool: Pool, score: Floats, settings: Duplicates) -> Floats:
    """What sends a row that says the same as a better one to the end; 0 for all others.

    Rows are taken best first; one is folded into a row that was kept before it if their
    cosine is at least ``similarity``. A folded row's score becomes the lowest of all less 1,
    so it is shown only where there is nothing else.

    Returns:
        float64 (n,); 0 where the pool has no vectors.
    """
    loss = np.zeros(len(pool), np.float64)
    if pool.vector is None or len(pool) == 0:
        return loss
    end = score.min() - 1.0
    best = np.lexsort((-pool.seq, -score))[:COMPARED]
    same = (pool.vector[best] @ pool.vector[best].T) >= settings.similarity - _ROUNDING
    kept: list[int] = []
    for place in range(len(best)):
        if same[place, kept].any():
            loss[best[place]] = end - score[best[place]]
        else:
            kept.append(place)
    return loss


def diversity_loss(pool: Pool, score: Floats, k: int, settings: Diversity) -> Floats:
    """What each row loses for being like those above it: 0 or negative.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): rows are chosen one by
    one, each the best by ``score - weight * best score * max(0, largest cosine to those
    chosen)``.

    Args:
        pool: n rows with vectors.
        score: float64 (n,).
        k: how many are chosen; what is not chosen loses as the next one would.
        settings: weight.

    Returns:
        float64 (n,); 0 where the pool has no vectors.
    """
    loss = np.zeros(len(pool), np.float64)
    if pool.vector is None or len(pool) == 0:
        return loss
    vectors = pool.vector.astype(np.float64)
    unit = settings.weight * max(float(score.max()), 0.0)
    nearest = np.zeros(len(pool), np.float64)
    open_ = np.ones(len(pool), bool)
    for _ in range(min(k, len(pool))):
        worth = np.where(open_, score - unit * nearest, -np.inf)
        chosen = int(np.lexsort((-pool.seq, -worth))[0])
        open_[chosen] = False
        loss[chosen] = -unit * nearest[chosen]
        nearest = np.maximum(nearest, vectors @ vectors[chosen])
    loss[open_] = -unit * nearest[open_]
    return loss
