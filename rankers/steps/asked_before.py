"""What merely repeats the question, and what answers that it is not known, goes to the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import Pool
from .step import Ask, Floats


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """What merely repeats the question, and what answers that it is not known, goes to the end.

    Who asks again and again fills the memory with the question, and with "I don't know" after it.
    Both have all the question's words and none of the answer. The score of such a row becomes the
    lowest of all minus 1, so it is shown only where there is nothing else.

    Which rows those are is known before the ranking (``Pool.asked_before``): one that asks and has
    at least ``share`` of its words in common with the question as a whole, and the answer to it
    that says that nothing is known. On neither side has it a higher score than the best other row,
    or these would be alike in comparison. A rule of our own.

    Attributes:
        share: of the words of both, which a question has in common with another that it repeats,
            0..1 (Jaccard's index).
    """

    name: ClassVar[str] = "asked_before"
    needs: ClassVar[frozenset[str]] = frozenset({"asked_before"})

    share: float

    def __post_init__(self) -> None:
        number("share", self.share, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The loss, float64 (n,), 0 or negative; 0 where the pool does not say which rows."""
        loss = np.zeros(len(pool), np.float64)
        if pool.asked_before is None or not pool.asked_before.any():
            return loss
        again = pool.asked_before
        loss[again] = score.min() - 1.0 - score[again]
        return loss
