"""A row gains from its conversation as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .step_settings import ConversationPrior


def conversation_gain(
    score: NDArray[np.float64], conversation: NDArray[np.int64], settings: ConversationPrior
) -> NDArray[np.float64]:
    """``weight * mean of the conversation's best scores`` (three, by the usual setting).

    A question is mostly about one occasion, and several good turns in one
    conversation are better evidence for it than one. It is a document prior made
    of passage scores (as in Callan, "Passage-Level Evidence in Document
    Retrieval", SIGIR 1994); the mean of the best few is not moved by how long the
    conversation is.

    A conversation with fewer candidates than ``best`` is filled up with zeros:
    what was not proposed scored low. A row without a conversation gains from its
    own score, else every memory would stand behind every message.

    Args:
        score: float64 (n,), not negative.
        conversation: int64 (n,), -1 for none.
        settings: weight and how many scores are averaged.

    Returns:
        float64 (n,).
    """
    mean = score.astype(np.float64)
    member = np.flatnonzero(conversation >= 0)
    if len(member):
        _, group = np.unique(conversation[member], return_inverse=True)
        values = score[member]
        order = np.lexsort((-values, group))
        ordered = group[order]
        first = np.searchsorted(ordered, ordered, side="left")
        best = np.arange(len(ordered)) - first < settings.best
        sums = np.bincount(ordered[best], weights=values[order][best])
        mean[member] = (sums / settings.best)[group]
    return settings.weight * mean
