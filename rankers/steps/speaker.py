"""A row gains if the question asks about its speaker."""

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
    """How much a row gains if the question asks about its speaker.

    ``weight`` for a row of the speaker that the question asks about, half of it for a row whose
    speaker is not known.

    If the question names a speaker ("What did Ana order?"), it asks about that one. If it names
    none, or all of them, the pronouns decide: "my" asks about the user, "you" about the
    assistant. Rows without a role (memories) count as the user's. A question without names and
    pronouns changes nothing. A rule of our own.

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
        share = asked_by_name(pool, ask.question)
        if share is None:
            share = _by_role(pool, ask.question)
        if share is None:
            return np.zeros(len(pool), np.float64)
        return self.weight * share


def asked_by_name(pool: Pool, question: Question) -> Floats | None:
    """Of each row, float64 (n,): 1 if the question names its speaker, 0 if it names another, 0.5 if
    its speaker is not known. None where it names none, or all of them."""
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
