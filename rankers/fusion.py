"""One score from the lexical and the semantic one.

Every function takes float arrays (n,) with NaN where a side did not propose the
row, and gives float64 (n,) from 0 to 1: 0 for a row that was not proposed, 1 for
the best of a side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .settings import Fusion

Floats = NDArray[np.float64]


def fuse(
    lexical: NDArray[np.floating], semantic: NDArray[np.floating], settings: Fusion
) -> dict[str, Floats]:
    """Each side's share of the fused score, by the settings' method.

    Returns:
        "lexical" and "semantic", or the one that the method names; they sum to the score.
    """
    weight = settings.semantic_weight
    if settings.method == "lexical":
        return {"lexical": min_max(lexical)}
    if settings.method == "semantic":
        return {"semantic": min_max(semantic)}
    if settings.method == "rrf":
        return rrf(lexical, semantic, weight, settings.rrf_k)
    return convex(lexical, semantic, weight)


def convex(
    lexical: NDArray[np.floating], semantic: NDArray[np.floating], semantic_weight: float
) -> dict[str, Floats]:
    """``(1 - w) * minmax(lexical) + w * minmax(semantic)``, as its two terms.

    Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM
    TOIS 2023: fusing scores keeps how much better one row is than the next, which
    fusing ranks throws away.
    """
    return {
        "lexical": (1.0 - semantic_weight) * min_max(lexical),
        "semantic": semantic_weight * min_max(semantic),
    }


def rrf(
    lexical: NDArray[np.floating], semantic: NDArray[np.floating], semantic_weight: float, k: int
) -> dict[str, Floats]:
    """``(1 - w) * (k + 1) / (k + rank)`` by words, the same with ``w`` by meaning.

    Reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009, with weights. The
    factor ``k + 1`` does not change the order; it puts the best possible score at 1,
    where the other methods have it. Equal scores share the better rank.
    """
    return {
        "lexical": (1.0 - semantic_weight) * _reciprocal(lexical, k),
        "semantic": semantic_weight * _reciprocal(semantic, k),
    }


def min_max(score: NDArray[np.floating]) -> Floats:
    """``(s - min) / (max - min)`` over the proposed rows; 1 for all where all are equal.

    Unchanged by any shift or positive scale of the scores, so it needs to know
    nothing of the engine or the embedder that made them.
    """
    scaled = np.zeros(len(score), np.float64)
    proposed = np.isfinite(score)
    if not proposed.any():
        return scaled
    values = score[proposed].astype(np.float64)
    low, high = values.min(), values.max()
    scaled[proposed] = (values - low) / (high - low) if high > low else 1.0
    return scaled


def _reciprocal(score: NDArray[np.floating], k: int) -> Floats:
    shares = np.zeros(len(score), np.float64)
    proposed = np.isfinite(score)
    values = -score[proposed]
    better = np.searchsorted(np.sort(values), values, side="left")
    shares[proposed] = (k + 1) / (k + 1 + better)
    return shares
