"""A turn gains where the turn before it asked something like the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .neighbours import fade
from .step import MAX_WEIGHT, Ask, Floats, between_people


@dataclass(frozen=True, slots=True)
class Answers:
    """How much a turn gains where the turn before it asked something like the question.

    ``gain(i) = weight * exp(-words(i) / fade_words) * fused(turn - 1) *
    ends_with_question(turn - 1)``

    The turn after a question usually answers it: the first part of an adjacency pair makes the
    second relevant (Schegloff and Sacks, "Opening up closings", 1973). A later question that is
    like the first part asks for the second.

    Rows without a conversation or a turn gain nothing.

    Attributes:
        weight: gain of an empty turn, as a share of the asking turn's score.
        fade_words: number of words of the gaining turn after which the gain has fallen by e.
        named_speakers: it is on where at least this share of the candidates name their speaker
            ("Ana: ..."), 0..1; 0 for always.
    """

    name: ClassVar[str] = "answers"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    fade_words: float
    named_speakers: float = 0.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("fade_words", self.fade_words, 1, 1e9)
        number("named_speakers", self.named_speakers, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), not negative."""
        gain = np.zeros(len(pool), np.float64)
        if not between_people(pool.speaker, self.named_speakers):
            return gain
        around = ask.around(pool, 1)
        asked = around.at(np.where(pool.ends_with_question, ask.fused, 0.0), -1)
        gain[around.placed] = self.weight * fade(pool.words[around.placed], self.fade_words) * asked
        return gain
