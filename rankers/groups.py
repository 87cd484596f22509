"""Scores of rows by groups of them: the rows of a conversation, or of a day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    _, number = np.unique(group, return_inverse=True)
    order = np.lexsort((-score, number))
    ordered = number[order]
    first = np.searchsorted(ordered, ordered, side="left")
    counted = np.arange(len(ordered)) - first < best
    sums = np.bincount(ordered[counted], weights=score[order][counted])
    mean: Floats = (sums / best)[number]
    return mean
