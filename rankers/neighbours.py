"""A turn gains from the turns around it.

In a conversation the words of a question and the words of its answer often stand
in different turns ("Where did you stay?" - "At Ana's."). So each turn gains a
part of the scores of the turns next to it: score regularisation (Diaz,
"Regularizing ad hoc retrieval scores", CIKM 2005) with adjacency as the graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .settings import Neighbours


def neighbour_gain(
    score: NDArray[np.float64],
    conversation: NDArray[np.int64],
    turn: NDArray[np.int64],
    words: NDArray[np.int64],
    settings: Neighbours,
) -> NDArray[np.float64]:
    """What each row gains from the turns up to ``distance`` away in its conversation.

    ``gain(i) = weight * exp(-words(i) / fade_words) * sum over d of 2**(1 - d) *
    (score(turn - d) + score(turn + d))``

    The gain falls with the length of the turn that receives it: a long answer says
    itself what it is about, a short one ("Yes, last May!") leans on what is around it.

    Args:
        score: float64 (n,), not negative.
        conversation: int64 (n,), -1 for none.
        turn: int64 (n,), -1 for none.
        words: int64 (n,), length of each text.
        settings: weight, fade and distance.

    Returns:
        float64 (n,); 0 for rows without a conversation or a turn. Of several rows in
        one place the best counts.
    """
    gain = np.zeros(len(score), np.float64)
    placed = np.flatnonzero((conversation >= 0) & (turn >= 0))
    if len(placed) == 0:
        return gain
    place = _places(conversation[placed], turn[placed], settings.distance)
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    taken = ordered[starts]
    best = np.maximum.reduceat(score[placed][order], starts)

    around = np.zeros(len(placed), np.float64)
    for distance in range(1, settings.distance + 1):
        share = 0.5 ** (distance - 1)
        around += share * (
            _score_at(place - distance, taken, best) + _score_at(place + distance, taken, best)
        )
    length = np.maximum(words[placed], 0)
    gain[placed] = settings.weight * np.exp(-length / settings.fade_words) * around
    return gain


def _places(
    conversation: NDArray[np.int64], turn: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    """One number a place: neighbours differ by their distance, all others by more.

    Gaps between turns are cut to ``distance + 1``, so that no turn number, however
    large, overflows.
    """
    turns, at = np.unique(turn, return_inverse=True)
    gaps = np.minimum(np.diff(turns), distance + 1)
    short = np.concatenate([np.zeros(1, np.int64), np.cumsum(gaps)])
    _, number = np.unique(conversation, return_inverse=True)
    places: NDArray[np.int64] = number * (short[-1] + distance + 1) + short[at]
    return places


def _score_at(
    wanted: NDArray[np.int64], taken: NDArray[np.int64], best: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The score at each wanted place, 0 where no row stands."""
    found = np.searchsorted(taken, wanted).clip(max=len(taken) - 1)
    return np.where(taken[found] == wanted, best[found], 0.0)
