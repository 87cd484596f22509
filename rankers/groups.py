"""Scores of rows by groups of them: the rows of a conversation, or of a day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TRUE = np.ones(1, np.bool_)


def mean_of_best(score: Floats, group: NDArray[np.int64], best: int) -> Floats:
    """For each row the mean of its group's best scores.

    Where a group has fewer rows than ``best``, zeros take the place of the missing ones, since rows
    that were not proposed scored low.

    Args:
        score: float64 (n,).
        group: int64 (n,), the number of each row's group.
        best: how many scores are averaged, at least 1.

    Returns:
        float64 (n,).
    """
    if not len(score):
        return np.zeros(0, np.float64)
    order = np.lexsort((-score, group))
    ordered = group[order]
    bounds = np.flatnonzero(np.concatenate((_TRUE, ordered[1:] != ordered[:-1], _TRUE)))
    first = bounds[:-1]
    sizes = bounds[1:] - first
    ranked = score[order]
    if int(sizes.max()) > best:
        ranked[np.arange(len(ranked)) - np.repeat(first, sizes) >= best] = 0.0
    mean = np.empty(len(score), np.float64)
    mean[order] = np.repeat(np.add.reduceat(ranked, first) / best, sizes)
    return mean
