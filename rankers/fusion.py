"""Fusion: one score from the lexical and the semantic score.

Every function here takes float arrays (n,) with NaN where a side did not propose the row. It
returns float64 (n,): 0 for a row that was not proposed, 1 for the best row of a side (about 1
for "dbsf" and "zscore").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .checks import integer, number, shown

Floats = NDArray[np.float64]
FusionMethod = Literal["convex", "rrf", "dbsf", "zscore", "lexical", "semantic"]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the lexical and the semantic score become one.

    Attributes:
        method: "convex", "rrf", "dbsf" or "zscore" use both sides; "lexical" or "semantic" use
            one alone.
        semantic_weight: share of the vector side, 0..1; the lexical side has the rest.
            Not used by "lexical" and "semantic".
        rrf_k: the constant of reciprocal rank fusion; 60 is its authors' value.
        period_weight: what the best candidate of the time that the question names is worth, where
            that time has candidates of its own (:func:`period_gain`).
    """

    method: FusionMethod
    semantic_weight: float = 0.5
    rrf_k: int = 60
    period_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in get_args(FusionMethod):
            known = ", ".join(get_args(FusionMethod))
            raise ValueError(f"method must be one of {known}, not {shown(self.method)}")
        number("semantic_weight", self.semantic_weight, 0, 1)
        integer("rrf_k", self.rrf_k, 1)
        number("period_weight", self.period_weight, 0, 1)


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
    scale = {"convex": min_max, "dbsf": three_sigma, "zscore": z_score}[settings.method]
    return {"lexical": (1.0 - weight) * scale(lexical), "semantic": weight * scale(semantic)}


def period_gain(
    score: Floats,
    lexical: NDArray[np.floating],
    semantic: NDArray[np.floating],
    settings: Fusion,
) -> Floats:
    """``max(score, period_weight * s) - score``, where ``s`` is the fusion within the period.

    The candidates of the named time are scaled among themselves, so that the best of them counts
    whatever is found at other times.

    Args:
        score: float64 (n,), the fusion of all rows.
        lexical: BM25 of the candidates of the named time, NaN for other rows.
        semantic: their cosine, NaN for other rows.
        settings: the same as of ``score``.

    Returns:
        float64 (n,), 0 or more.
    """
    shares = fuse(lexical, semantic, settings)
    own = np.sum(list(shares.values()), axis=0)
    gain: Floats = np.maximum(settings.period_weight * own - score, 0.0)
    return gain


def rrf(
    lexical: NDArray[np.floating], semantic: NDArray[np.floating], semantic_weight: float, k: int
) -> dict[str, Floats]:
    """Lexical: ``(1 - w) * (k + 1) / (k + rank)``; semantic: the same with ``w`` for ``1 - w``.

    Reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009, with weights. The
    factor ``k + 1`` does not change the order; it scales the best possible score to 1, as
    the other methods do. Equal scores share the better rank.
    """
    return {
        "lexical": (1.0 - semantic_weight) * _reciprocal(lexical, k),
        "semantic": semantic_weight * _reciprocal(semantic, k),
    }


def min_max(score: NDArray[np.floating]) -> Floats:
    """``(s - min) / (max - min)`` over the proposed rows; 1 for all where all are equal.

    A shift or a positive scale of the scores does not change the result, so it works for any
    engine and embedder. The weighted sum of two sides scaled this way is convex combination
    (Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS
    2023). Unlike fusing ranks, it keeps how much better one row is than the next.
    """
    return _scaled(score, lambda s, low, high: (s - low) / (high - low))


def three_sigma(score: NDArray[np.floating]) -> Floats:
    """``(s - (mean - 3 std)) / (6 std)``, cut to 0..1; 1 for all where all are equal.

    Distribution-based score fusion (Mazzeschi, "Distribution-Based Score Fusion", 2023),
    as in Qdrant. Unlike in min-max, one outlier does not compress the range of all others.
    """
    return _scaled(
        score, lambda s, *_: ((s - s.mean() + 3 * s.std()) / (6 * s.std())).clip(0.0, 1.0)
    )


def z_score(score: NDArray[np.floating]) -> Floats:
    """``(s - min) / (3 std)``; 1 for all where all are equal.

    Standard scores (Montague and Aslam, "Relevance Score Normalization for Metasearch", CIKM
    2001), shifted so that the worst proposed row gets 0, like a row that was not proposed, and
    divided by 3 so that a good row gets about 1. Not bounded.
    """
    return _scaled(score, lambda s, low, _: (s - low) / (3 * s.std()))


def _scaled(score: NDArray[np.floating], scale: Callable[[Floats, float, float], Floats]) -> Floats:
    """``scale`` of the proposed rows' scores, their lowest and their highest; 0 for others."""
    scaled = np.zeros(len(score), np.float64)
    proposed = np.flatnonzero(np.isfinite(score))
    if len(proposed):
        values = score[proposed].astype(np.float64)
        low, high = float(values.min()), float(values.max())
        # Rounding can give equal scores a tiny spread, which must not be divided by.
        equal = high - low <= 1e-12 * max(1.0, abs(low), abs(high))
        scaled[proposed] = 1.0 if equal else scale(values, low, high)
    return scaled


def _reciprocal(score: NDArray[np.floating], k: int) -> Floats:
    shares = np.zeros(len(score), np.float64)
    proposed = np.isfinite(score)
    values = -score[proposed]
    better = np.searchsorted(np.sort(values), values, side="left")
    shares[proposed] = (k + 1) / (k + 1 + better)
    return shares
