"""Rows of high importance gain a little, those of low importance lose a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import number
from ..pool import Pool
from .step import MAX_STRENGTH, Ask, Floats, by_factor

#: The importance that changes nothing: the middle of its range, and the default of messages.
#: bruno-core's default for memories is 1.0, so those are raised by ``strength``.
NEUTRAL_IMPORTANCE = 0.5


@dataclass(frozen=True, slots=True)
class Importance:
    """How much a row's importance changes its score.

    ``factor = 1 + strength * (importance - 0.5) / 0.5``, from 1 - strength to 1 + strength.

    Linear in the importance that the caller gave, as in Park et al., "Generative Agents", UIST
    2023, around :data:`NEUTRAL_IMPORTANCE`. NaN is neutral; values outside 0..1 are cut.

    Attributes:
        strength: the score changes by at most this share, 0..0.5.
    """

    name: ClassVar[str] = "importance"
    needs: ClassVar[frozenset[str]] = frozenset()

    strength: float

    def __post_init__(self) -> None:
        number("strength", self.strength, 0, MAX_STRENGTH)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The change, float64 (n,), at most ``strength`` of the score."""
        return by_factor(score, self.factor(pool.importance))

    def factor(self, importance: NDArray[np.floating]) -> Floats:
        """The factor of the score, float64 (n,), for importances 0..1."""
        given = importance.astype(np.float64)
        given[np.isnan(given)] = NEUTRAL_IMPORTANCE
        np.minimum(np.maximum(given, 0.0, out=given), 1.0, out=given)
        return 1.0 + self.strength * (given - NEUTRAL_IMPORTANCE) / 0.5
