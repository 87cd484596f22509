"""Rows that were recalled often gain a little."""

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
    """How much a row gains for being recalled often.

    ``factor = 1 + strength * min(1, log1p(count) / log1p(saturation))``, from 1 to 1 + strength.

    Logarithmic in the number of uses, after the base-level learning of ACT-R (Anderson and
    Schooler, "Reflections of the Environment in Memory", 1991), and capped, so that rows that are
    recalled often do not displace the others for good.

    Attributes:
        strength: the score grows by at most this share, 0..0.5.
        saturation: the access count at which the factor reaches its maximum.
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
        """The factor of the score, float64 (n,)."""
        count = np.maximum(access_count, 0).astype(np.float64)
        share = np.log1p(count) / math.log1p(self.saturation)
        factor: Floats = 1.0 + self.strength * np.minimum(1.0, share)
        return factor
