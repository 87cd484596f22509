"""A row gains whose speaker the question asks about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import ASSISTANT, NO_ROLE, USER, Pool
from ..question import Question
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Speaker:
    """How much a row gains whose speaker the question asks about.

    ``weight`` for a row of whom the question asks about, half of it where that is not known.

    A speaker whose name stands in the question ("What did Ana order?") is whom it asks about;
    else the pronouns say whose words are wanted: "my" the user's, "you" the assistant's. The
    pronouns decide too where the question names every speaker there is. Rows without a role
    (memories) are about the user. A question without either changes nothing. A rule of our own.

    Attributes:
        weight: the gain.
    """

    name: ClassVar[str] = "speaker"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        share = _by_name(pool, ask.question)
        if share is None:
            share = _by_role(pool, ask.question)
        if share is None:
            return np.zeros(len(pool), np.float64)
        return self.weight * share


def _by_name(pool: Pool, question: Question) -> Floats | None:
    named = np.array([question.names(name) for name in pool.speakers], bool)
    if not named.any() or named.all():
        return None
    share = np.full(len(pool), 0.5)
    known = pool.speaker >= 0
    share[known] = named[pool.speaker[known]]
    return share


def _by_role(pool: Pool, question: Question) -> Floats | None:
    if question.of_role is None:
        return None
    share = np.full(len(pool), 0.5)
    asked, other = (USER, ASSISTANT) if question.of_role == "user" else (ASSISTANT, USER)
    share[pool.role == asked] = 1.0
    share[pool.role == other] = 0.0
    if asked == USER:
        share[pool.role == NO_ROLE] = 1.0
    return share
