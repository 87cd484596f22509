"""A text gains for not being very short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats, between_people


@dataclass(frozen=True, slots=True)
class Length:
    """How much a text gains for not being very short.

    ``gain = weight * words / (words + half_words)``

    A text of two words ("Wow, thanks!") answers little, whatever it matches, and BM25's length
    normalisation favours it. The gain saturates, so that it separates short texts from normal
    ones, but not normal ones from long ones. A rule of our own.

    Attributes:
        weight: gain of a very long text.
        half_words: number of words at which half of the weight is reached.
        named_speakers: it is on where at least this share of the candidates name their speaker
            ("Ana: ..."), 0..1; 0 for always.
    """

    name: ClassVar[str] = "length"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    half_words: float
    named_speakers: float = 0.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("half_words", self.half_words, 1, 1e6)
        number("named_speakers", self.named_speakers, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        if not between_people(pool.speaker, self.named_speakers):
            return np.zeros(len(pool), np.float64)
        words = np.maximum(pool.words, 0).astype(np.float64)
        gain: Floats = self.weight * words / (words + self.half_words)
        return gain
