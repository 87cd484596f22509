"""A turn gains from the turns around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import integer, number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How much a turn gains from the turns around it.

    ``gain(i) = weight * exp(-words(i) / fade_words) * sum over d of decay**(d - 1) *
    (fused(turn - d) + fused(turn + d))``, with ``d`` from 1 to ``distance``.

    In a conversation the words of a question and the words of its answer often stand in
    different turns ("Where did you stay?" - "At Ana's."). So each turn gains a part of the scores
    of the turns next to it: score regularisation (Diaz, "Regularizing ad hoc retrieval scores",
    CIKM 2005) with adjacency as the graph. The gain falls with the length of the turn that
    gains: a long answer names its subject itself, a short one ("Yes, last May!") depends on the
    turns around it.

    Rows without a conversation or a turn gain nothing. Of several rows of the same turn the best
    counts.

    Attributes:
        weight: gain of an empty turn from a turn one away, as a share of that turn's score.
        fade_words: number of words of the gaining turn after which the gain has fallen by e.
        distance: how many turns away still count.
        decay: weight of each further turn, as a share of the one before it, 0..1.
    """

    name: ClassVar[str] = "neighbours"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    fade_words: float
    distance: int
    decay: float = 0.5

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("fade_words", self.fade_words, 1, 1e9)
        integer("distance", self.distance, 1, 10)
        number("decay", self.decay, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), not negative."""
        gain = np.zeros(len(pool), np.float64)
        around = ask.around(pool, self.distance)
        shares = [
            (offset, self.decay ** (distance - 1))
            for distance in range(1, self.distance + 1)
            for offset in (-distance, distance)
        ]
        total = around.total(ask.fused, shares)
        gain[around.placed] = self.weight * fade(pool.words[around.placed], self.fade_words) * total
        return gain


def fade(words: NDArray[np.int64], fade_words: float) -> Floats:
    """``exp(-words / fade_words)``: how much a text of this length depends on those around it."""
    share: Floats = np.exp(-np.maximum(words, 0) / fade_words)
    return share
