"""Rows that were recalled often before others, a little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import integer, number
from ..pool import Pool
from .step import MAX_STRENGTH, Ask, Floats, by_factor


@dataclass(frozen=True, slots=True)
class Use:
    """Rows that were recalled often before others, a little.

    ``factor = 1 + strength * min(1, log1p(count) / log1p(saturation))``, from 1 to 1 + strength.

    Logarithmic in the number of uses, after the base-level learning of ACT-R (Anderson and
    Schooler, "Reflections of the Environment in Memory", 1991), and capped, so that what is
    recalled often does not crowd out the rest for good.

    Attributes:
        strength: the score grows by at most this share, 0..0.5.
        saturation: the access count from which it grows no more.
    """

    name: ClassVar[str] = "use"
    needs: ClassVar[frozenset[str]] = frozenset()

    strength: float
    saturation: int

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)
        integer("saturation", self.saturation, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The change, float64 (n,), at most ``strength`` of the score, not negative."""
        return by_factor(score, self.factor(pool.access_count))

    def factor(self, access_count: NDArray[np.int64]) -> Floats:
        """What the score is multiplied by, float64 (n,)."""
        count = np.maximum(access_count, 0).astype(np.float64)
        share = np.log1p(count) / math.log1p(self.saturation)
        factor: Floats = 1.0 + self.strength * np.minimum(1.0, share)
        return factor
