"""A row gains from its conversation as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import integer, number
from ..groups import mean_of_best
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class ConversationPrior:
    """How much a row gains from its conversation as a whole.

    ``gain = weight * mean of the conversation's best scores`` (usually the best three), of the
    score so far.

    A question is mostly about one occasion, and several good turns in one conversation are better
    evidence for it than one. It is a document prior made of passage scores (as in Callan,
    "Passage-Level Evidence in Document Retrieval", SIGIR 1994); the mean of the best few does not
    depend on the length of the conversation.

    Where a conversation has fewer candidates than ``best``, zeros take the place of the missing
    ones, since rows that were not proposed scored low. A row without a conversation gains from
    its own score; otherwise every memory would rank below every message.

    Attributes:
        weight: gain, as a share of the mean of the conversation's best scores.
        best: how many of them are averaged.
    """

    name: ClassVar[str] = "conversation"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    best: int = 3

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        integer("best", self.best, 1, 100)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,)."""
        mean = score.astype(np.float64)
        member = np.flatnonzero(pool.conversation >= 0)
        if len(member):
            mean[member] = mean_of_best(score[member], pool.conversation[member], self.best)
        return self.weight * mean
