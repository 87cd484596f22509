"""Clusters of vectors: how many there are, by a stated criterion, and which vector is in which.

Vectors of short texts are noisy, and of a question and its answer the subject is the same; so what
is clustered are stretches: up to eight turns of one conversation that follow each other, as the
mean of their vectors. A row without a conversation is a stretch of its own.

The vectors of a text embedder share most of their length, so their mean is taken away, and of the
rest the 50 directions with most variance are kept, each divided by the square root of its standard
deviation. Lengths are made 1, so that k-means compares directions. Measured in docs/analytics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.analytics.reading import normalised
from bruno_memory_vec.errors import MissingDependencyError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: The optional dependency.
EXTRA: Final = "analytics"
#: The candidates for k, of which the criterion chooses. Fewer than five tell little: two clusters
#: are two people or two languages. Where there is too little for five, all are candidates.
CANDIDATES: Final = (5, 6, 8, 10, 12, 16, 20, 25, 30)
FEWER: Final = (2, 3, 4)
#: A topic has at least so many stretches on average.
STRETCHES_A_TOPIC: Final = 5
#: The criterion in words.
CRITERION: Final = (
    "the largest mean silhouette (cosine) among k = 5, 6, 8, 10, 12, 16, 20, 25, 30 with at least "
    "5 stretches a topic (2, 3, 4 where there are too few for that); of those within .005 of it "
    "the smallest k"
)
_DIRECTIONS: Final = 50
_NEAR_THE_BEST: Final = 0.005
# k is chosen on so many stretches, and silhouettes are means over so many.
_FOR_K: Final = 5_000
_FOR_SILHOUETTE: Final = 2_000
_STARTS, _STARTS_FOR_K = 4, 2
_SAME: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """k clusters.

    Attributes:
        mean: float32 (d,), taken away from a vector.
        axes: float32 (d, m), by which it is multiplied then.
        centres: float32 (k, m).
        silhouettes: by k, the mean silhouette; empty where k was given, or nothing to choose.
    """

    mean: Floats
    axes: Floats
    centres: Floats
    silhouettes: tuple[tuple[int, float], ...]

    def placed(self, vectors: Floats) -> tuple[Ints, Floats]:
        """The cluster of each vector (n, d), -1 of a zero vector, and its cosine to the centre."""
        points = self.points(vectors)
        distance = (self.centres**2).sum(axis=1) - 2 * points @ self.centres.T
        label: Ints = distance.argmin(axis=1).astype(np.int64)
        near = np.einsum("ij,ij->i", points, normalised(self.centres.copy())[label])
        label[~vectors.any(axis=1)] = -1
        return label, near

    def points(self, vectors: Floats) -> Floats:
        """Vectors as they are clustered, (n, m)."""
        return normalised((vectors - self.mean) @ self.axes)


def need_scikit_learn() -> None:
    """See that scikit-learn is there before anything is read.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import sklearn.cluster  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", EXTRA, cause=error) from error


def fit(vectors: Floats, k: int | None, seed: int) -> Clusters | None:
    """Cluster vectors; the same vectors in the same order with the same seed give the same.

    Args:
        vectors: float32 (n, d), each of length 1.
        k: how many clusters; None lets :data:`CRITERION` choose. There are fewer where fewer
            vectors differ.
        seed: of the starts of k-means.

    Returns:
        None where there is no vector but zero vectors.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    need_scikit_learn()
    known = vectors[vectors.any(axis=1)]
    if not len(known):
        return None
    mean = known.mean(axis=0)
    axes = _axes(known - mean)
    points = normalised(((known - mean) @ axes).astype(np.float32))
    different = len(np.unique(np.round(points, _SAME), axis=0))
    silhouettes: Sequence[tuple[int, float]] = ()
    if k is None:
        most = min(len(points) // STRETCHES_A_TOPIC, different - 1)
        candidates = [one for one in CANDIDATES if one <= most]
        candidates = candidates or [one for one in FEWER if one <= most]
        silhouettes = _silhouettes(points, candidates, seed)
        k = _chosen(silhouettes)
    k = min(k, different)
    centres = points.mean(axis=0, keepdims=True)
    if k > 1:
        centres = _k_means(points, k, seed, _STARTS).cluster_centers_
    return Clusters(mean, axes, centres.astype(np.float32), tuple(silhouettes))


def _axes(centred: Floats) -> Floats:
    """The directions of most variance, float32 (d, m), scaled by their deviation to the -1/2."""
    variance, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    kept = np.argsort(-variance)[:_DIRECTIONS]
    kept = kept[variance[kept] > max(float(variance.max()), 0) * 1e-6]
    if not len(kept):
        # All vectors are equal.
        return np.zeros((centred.shape[1], 1), np.float32)
    found: Floats = (directions[:, kept] / variance[kept] ** 0.25).astype(np.float32)
    return found


def _silhouettes(points: Floats, candidates: list[int], seed: int) -> list[tuple[int, float]]:
    from sklearn.metrics import silhouette_score

    if not candidates:
        return []
    order = np.random.default_rng(seed).permutation(len(points))
    some = points[np.sort(order[:_FOR_K])]
    measured = np.sort(np.random.default_rng(seed).permutation(len(some))[:_FOR_SILHOUETTE])
    found = []
    for k in candidates:
        labels = _k_means(some, k, seed, _STARTS_FOR_K).labels_[measured]
        if 1 < len(np.unique(labels)) < len(labels):
            score = silhouette_score(some[measured], labels, metric="cosine")
            found.append((k, float(score)))
    return found


def _chosen(silhouettes: Sequence[tuple[int, float]]) -> int:
    if not silhouettes:
        return 1
    best = max(score for _, score in silhouettes)
    return min(k for k, score in silhouettes if score >= best - _NEAR_THE_BEST)


def _k_means(points: Floats, k: int, seed: int, starts: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=starts, random_state=seed).fit(points)
