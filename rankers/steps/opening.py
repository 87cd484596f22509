"""The turns that open a conversation gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Opening:
    """How much the turns that open a conversation gain.

    ``gain = weight * exp(-turn / fade_turns)`` for a row with a turn, 0 for others.

    Who opens a conversation says what it is about and brings what is new; later turns refer to it.
    News stories are read alike: the lead is the best summary of a text (Brandow, Mitze and Rau,
    "Automatic condensation of electronic publications by sentence selection", 1995).

    Attributes:
        weight: gain of the first turn, number 0.
        fade_turns: number of turns after which the gain has fallen by e.
    """

    name: ClassVar[str] = "opening"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    fade_turns: float = 1.5

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("fade_turns", self.fade_turns, 0.1, 1000)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        gain: Floats = self.weight * np.exp(pool.turn / -self.fade_turns)
        gain[pool.turn < 0] = 0.0
        return gain
