"""A row gains from its day as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..checks import integer, number
from ..groups import mean_of_best
from ..pool import DAY, Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Day:
    """How much a row gains from its day as a whole.

    ``gain = weight * mean of the day's best scores`` (usually the best three), of the score so far.
    Days are those of UTC.

    A question is mostly about one occasion, and what belongs to an occasion may stand in several
    conversations, notes and reminders of one day. It is the prior of
    :class:`~.conversation.ConversationPrior` with the day as the document.

    Attributes:
        weight: gain, as a share of the mean of the day's best scores.
        best: how many of them are averaged.
    """

    name: ClassVar[str] = "day"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    best: int = 3

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        integer("best", self.best, 1, 100)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,)."""
        return self.weight * mean_of_best(score, pool.created_at // DAY, self.best)
