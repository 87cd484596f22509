"""A turn gains where it and the turns around it contain all words of the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats, between_people


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much a turn gains where it and the turns around it contain all words of the question.

    ``gain = weight * sum over terms of term_weight * m / sum of term_weight``

    ``m`` is the largest of the term's match in the turn itself, ``before`` times that in the turn
    before, ``before**2`` times that two turns before and ``after`` times that in the turn after.
    BM25 adds up whatever matches; this rewards that all words are there, at least nearby:
    coordination level matching over a window of the conversation. Matches are soft
    (:attr:`Pool.matches`), after the translation language model of Berger and Lafferty,
    "Information Retrieval as Statistical Translation", SIGIR 1999.

    Attributes:
        weight: gain of a turn that contains them all itself.
        before: weight of a word in the turn before, 0..1; two turns before, this squared.
        after: weight of a word in the turn after, 0..1.
        named_speakers: it is on where at least this share of the candidates name their speaker
            ("Ana: ..."), 0..1; 0 for always. Elsewhere the matches need not be made.
    """

    name: ClassVar[str] = "coverage"
    needs: ClassVar[frozenset[str]] = frozenset({"matches"})

    weight: float
    before: float = 0.8
    after: float = 0.6
    named_speakers: float = 0.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("before", self.before, 0, 1)
        number("after", self.after, 0, 1)
        number("named_speakers", self.named_speakers, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight; 0 where the pool has no matches."""
        gain = np.zeros(len(pool), np.float64)
        if pool.matches is None or pool.term_weight is None or not self.applies(pool.speaker):
            return gain
        total = float(pool.term_weight.sum())
        if total <= 0:
            return gain
        around = ask.around(pool, 2)
        window = ((-1, self.before), (-2, self.before**2), (1, self.after))
        for term, weight in zip(pool.matches.T.astype(np.float64), pool.term_weight, strict=True):
            best = term.copy()
            for offset, share in window:
                nearby = share * around.at(term, offset)
                best[around.placed] = np.maximum(best[around.placed], nearby)
            gain += weight * best
        scaled: Floats = self.weight * gain / total
        return scaled

    def applies(self, speaker: NDArray[np.int64]) -> bool:
        """Whether it is on for rows with these speakers, int64 (n,) as ``Pool.speaker``."""
        return between_people(speaker, self.named_speakers)
