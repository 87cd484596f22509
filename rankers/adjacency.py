"""The turns around each row of a pool, by conversation and turn number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Adjacency:
    """Looks up values of nearby turns in the same conversation.

    Args:
        conversation: int64 (n,), -1 for none.
        turn: int64 (n,), -1 for none.
        distance: the farthest offset that will be asked for, at least 1.

    Attributes:
        placed: indices of the rows that have a conversation and a turn, int64 (m,).
        distance: as given.
    """

    def __init__(
        self, conversation: NDArray[np.int64], turn: NDArray[np.int64], distance: int
    ) -> None:
        self.distance = distance
        self.placed: NDArray[np.int64] = np.flatnonzero((conversation >= 0) & (turn >= 0))
        if len(self.placed) == 0:
            return
        self._position = _positions(conversation[self.placed], turn[self.placed], distance)
        self._order = np.argsort(self._position, kind="stable")
        ordered = self._position[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._taken = ordered[self._starts]

    def at(self, value: Floats, offset: int) -> Floats:
        """The value of the turn ``offset`` turns later, 0 where the pool does not have it.

        Args:
            value: float64 (n,). Of several rows of the same turn the largest counts.
            offset: not 0; at most ``distance`` on either side.

        Returns:
            float64 (m,), aligned with ``placed``.
        """
        if len(self.placed) == 0:
            return np.zeros(0, np.float64)
        best = np.maximum.reduceat(value[self.placed][self._order], self._starts)
        wanted = self._position + offset
        found = np.searchsorted(self._taken, wanted).clip(max=len(self._taken) - 1)
        return np.where(self._taken[found] == wanted, best[found], 0.0)


def _positions(
    conversation: NDArray[np.int64], turn: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    """One number for each turn: turns of one conversation differ by how far apart they are, up to
    ``distance``; all others differ by more.

    Gaps between turns are cut to ``distance + 1``, so that large turn numbers do not overflow.
    """
    turns, at = np.unique(turn, return_inverse=True)
    gaps = np.minimum(np.diff(turns), distance + 1)
    short = np.concatenate([np.zeros(1, np.int64), np.cumsum(gaps)])
    _, number = np.unique(conversation, return_inverse=True)
    positions: NDArray[np.int64] = number * (short[-1] + distance + 1) + short[at]
    return positions
