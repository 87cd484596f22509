"""A text gains for naming a time, where the question asks when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class TimeMention:
    """How much a text gains for naming a time, where the question asks when.

    ``weight`` for a text that names one, where the question asks for one ("When ..."); 0 for any
    other question. A rule of our own.

    Attributes:
        weight: the gain.
    """

    name: ClassVar[str] = "time_mention"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0 or weight."""
        if not ask.question.asks_when:
            return np.zeros(len(pool), np.float64)
        return self.weight * pool.names_time.astype(np.float64)
