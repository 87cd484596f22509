"""Newer rows gain a little, older rows lose a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import number
from ..pool import DAY, Pool
from .step import MAX_STRENGTH, Ask, Floats, by_factor


@dataclass(frozen=True, slots=True)
class Recency:
    """How much a row's age changes its score.

    ``factor = 1 + strength * (2 * 2**(-age / half_life) - 1)``, from 1 + strength to 1 - strength.

    Exponential decay of recency as in Park et al., "Generative Agents", UIST 2023, but bounded
    below: with an unbounded decay old facts could not be found at all. At an age of one
    half-life the factor is 1. A row from the future counts as new.

    Attributes:
        strength: the score changes by at most this share, 0..0.5.
        half_life_days: age at which a row is neither raised nor lowered.
    """

    name: ClassVar[str] = "recency"
    needs: ClassVar[frozenset[str]] = frozenset()

    strength: float
    half_life_days: float

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)
        number("half_life_days", self.half_life_days, 1e-3, 1e6)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The change, float64 (n,), at most ``strength`` of the score."""
        return by_factor(score, self.factor(pool.created_at, ask.now))

    def factor(self, created_at: NDArray[np.int64], now: int) -> Floats:
        """The factor of the score, float64 (n,); both times in microseconds."""
        age = np.maximum(float(now) - created_at.astype(np.float64), 0.0) / DAY
        return 1.0 + self.strength * (2.0 * np.exp2(-age / self.half_life_days) - 1.0)
