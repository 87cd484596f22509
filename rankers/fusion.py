"""One score from the lexical and the semantic one.

Every function here takes float arrays (n,) with NaN where a side did not propose the
row, and gives float64 (n,): 0 for a row that was not proposed, and for the best of a
side 1 (about 1 by "dbsf" and "zscore").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .checks import integer, number

Floats = NDArray[np.float64]
FusionMethod = Literal["convex", "rrf", "dbsf", "zscore", "lexical", "semantic"]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two sides' scores become one.

    Attributes:
        method: "convex", "rrf", "dbsf" or "zscore" for both sides; "lexical" or "semantic" for
            one alone.
        semantic_weight: share of the vector side, 0..1; the lexical side has the rest.
            Not used by "lexical" and "semantic".
        rrf_k: the constant of reciprocal rank fusion; 60 is its authors' value.
    """

    method: FusionMethod
    semantic_weight: float = 0.5
    rrf_k: int = 60

    def __post_init__(self) -> None:
        if self.method not in get_args(FusionMethod):
            known = ", ".join(get_args(FusionMethod))
            raise ValueError(f"method must be one of {known}, not {self.method!r}")
        number("semantic_weight", self.semantic_weight, 0, 1)
        integer("rrf_k", self.rrf_k, 1)


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
    nothing of the engine or the embedder that made them. The weighted sum of two sides
    scaled so is convex combination: Bruch, Gai, Ingber, "An Analysis of Fusion Functions
    for Hybrid Retrieval", ACM TOIS 2023: fusing scores keeps how much better one row is
    than the next, which fusing ranks throws away.
    """
    return _scaled(score, lambda s: (s - s.min()) / (s.max() - s.min()))


def three_sigma(score: NDArray[np.floating]) -> Floats:
    """``(s - (mean - 3 std)) / (6 std)``, cut to 0..1; 1 for all where all are equal.

    Distribution-based score fusion (Mazzeschi, "Distribution-Based Score Fusion", 2023),
    as Qdrant has it: one outlier does not press all others together, as it does in min-max.
    """
    return _scaled(score, lambda s: ((s - s.mean() + 3 * s.std()) / (6 * s.std())).clip(0.0, 1.0))


def z_score(score: NDArray[np.floating]) -> Floats:
    """``(s - min) / (3 std)``; 1 for all where all are equal.

    Standard scores (Montague and Aslam, "Relevance Score Normalization for Metasearch", CIKM
    2001), shifted so that a row that was not proposed counts as the worst that was; not
    bounded, a third of a standard score so that a good row comes to about 1.
    """
    return _scaled(score, lambda s: (s - s.min()) / (3 * s.std()))


def _scaled(score: NDArray[np.floating], scale: Callable[[Floats], Floats]) -> Floats:
    scaled = np.zeros(len(score), np.float64)
    proposed = np.isfinite(score)
    if proposed.any():
        values = score[proposed].astype(np.float64)
        # Equal scores may have a tiny spread by rounding, which is no scale to divide by.
        equal = values.max() - values.min() <= 1e-12 * max(1.0, float(np.abs(values).max()))
        scaled[proposed] = 1.0 if equal else scale(values)
    return scaled


def _reciprocal(score: NDArray[np.floating], k: int) -> Floats:
    shares = np.zeros(len(score), np.float64)
    proposed = np.isfinite(score)
    values = -score[proposed]
    better = np.searchsorted(np.sort(values), values, side="left")
    shares[proposed] = (k + 1) / (k + 1 + better)
    return shares
