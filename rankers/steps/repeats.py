"""Of rows that say the same, the newest has the place of the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import integer
from ..pool import Pool
from .step import Ask, Floats

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Repeats:
    """Of rows that say the same, the newest has the place of the best.

    Which rows say the same is known before the ranking (``Pool.copy_of``): those of one speaker's
    role whose words are equal, but for case, punctuation and a greeting. A ranking shows one of
    them. This step makes that the newest: it gains what it lacks to the best of them. Where the
    question names a time, it is the newest of those that are nearest to it. A rule of our own.

    Attributes:
        least_words: shorter texts do not count as repeats. What "Yes, me too!" says depends on
            where it was said. Two characters of a script without spaces are a word here.
    """

    name: ClassVar[str] = "repeats"
    needs: ClassVar[frozenset[str]] = frozenset({"repeats"})

    least_words: int

    def __post_init__(self) -> None:
        integer("least_words", self.least_words, 1, 50)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), not negative; 0 where no rows of the pool say the same."""
        gain = np.zeros(len(pool), np.float64)
        if pool.copy_of is None:
            return gain
        near = ask.signals.get("time_named", gain)
        # By group; within it the one to be shown first.
        order = np.lexsort((-pool.seq, -pool.created_at, -near, pool.copy_of))
        groups = pool.copy_of[order]
        if not len(groups):
            return gain
        first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        best = np.maximum.reduceat(score[order], first)
        shown = order[first]
        # A little more, as the sum may be rounded down, and another may be as good.
        more = best - score[shown] + _ROUNDING * np.maximum(np.abs(best), 1.0)
        alone = np.diff(first, append=len(order)) == 1
        gain[shown] = np.where(alone, 0.0, more)
        return gain
