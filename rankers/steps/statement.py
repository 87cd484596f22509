"""A text gains for being a statement rather than a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats, between_people


@dataclass(frozen=True, slots=True)
class Statement:
    """How much a text gains for being a statement rather than a question.

    ``gain = weight * (1 - question_share)``: a question seldom answers a question. A rule of our
    own.

    Attributes:
        weight: gain of a text without a question.
        named_speakers: it is on where at least this share of the candidates name their speaker
            ("Ana: ..."), 0..1; 0 for always.
    """

    name: ClassVar[str] = "statement"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    named_speakers: float = 0.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("named_speakers", self.named_speakers, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        if not between_people(pool.speaker, self.named_speakers):
            return np.zeros(len(pool), np.float64)
        share = np.nan_to_num(pool.question_share.astype(np.float64)).clip(0.0, 1.0)
        return self.weight * (1.0 - share)
