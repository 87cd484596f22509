"""The turns around each row of a pool, by conversation and turn number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Far below the largest int64, so that positions and offsets can be added.
_MOST = 2**60


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
        # By offset, the place of each row's nearby turn among those that the pool has; of a turn
        # that it does not have, the place behind the last.
        self._nearby: dict[int, NDArray[np.int64]] = {}
        if len(self.placed) == 0:
            return
        self._position = _positions(conversation[self.placed], turn[self.placed], distance)
        order = np.argsort(self._position, kind="stable")
        ordered = self._position[order]
        first = np.empty(len(ordered), np.bool_)
        first[0] = True
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        self._rows = self.placed[order]
        self._starts: NDArray[np.int64] | None = None
        if not first.all():
            self._starts = np.flatnonzero(first)
            ordered = ordered[self._starts]
        self._taken = ordered

    def at(self, value: Floats, offset: int) -> Floats:
        """The value of the turn ``offset`` turns later, 0 where the pool does not have it.

        Args:
            value: float64 (n,). Of several rows of the same turn the largest counts.
            offset: not 0; at most ``distance`` on either side.

        Returns:
            float64 (m,), aligned with ``placed``.
        """
        return self.total(value, ((offset, 1.0),))

    def total(self, value: Floats, shares: Sequence[tuple[int, float]]) -> Floats:
        """The sum of the values of some turns around each row, each times its share.

        Args:
            value: as of :meth:`at`.
            shares: by offset, as of :meth:`at`, how much that turn's value counts.

        Returns:
            float64 (m,), aligned with ``placed``.
        """
        if len(self.placed) == 0:
            return np.zeros(0, np.float64)
        best = np.zeros(len(self._taken) + 1, np.float64)
        taken = value[self._rows]
        best[:-1] = taken if self._starts is None else np.maximum.reduceat(taken, self._starts)
        parts = (best[self._places(offset)] * share for offset, share in shares)
        total: Floats = next(parts)
        for part in parts:
            total += part
        return total

    def _places(self, offset: int) -> NDArray[np.int64]:
        if offset not in self._nearby:
            last = len(self._taken)
            wanted = self._position + offset
            found = np.searchsorted(self._taken, wanted)
            there = self._taken[np.minimum(found, last - 1)] == wanted
            self._nearby[offset] = np.where(there, found, last)
        return self._nearby[offset]


def _positions(
    conversation: NDArray[np.int64], turn: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    """One number for each turn: turns of one conversation differ by how far apart they are, up to
    ``distance``; all others differ by more."""
    length = int(turn.max()) + distance + 1
    if int(conversation.max()) < _MOST // length:
        plain: NDArray[np.int64] = conversation * length + turn
        return plain
    # Turn numbers so large that the product would overflow: gaps between turns are cut to
    # ``distance + 1``, and conversations numbered anew.
    turns, at = np.unique(turn, return_inverse=True)
    gaps = np.minimum(np.diff(turns), distance + 1)
    short = np.concatenate([np.zeros(1, np.int64), np.cumsum(gaps)])
    _, number = np.unique(conversation, return_inverse=True)
    positions: NDArray[np.int64] = number * (short[-1] + distance + 1) + short[at]
    return positions
