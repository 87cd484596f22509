"""Newer rows gain where the user asks about their present situation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import integer, number
from ..pool import DAY, NO_ROLE, USER, Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Current:
    """How much newer rows gain where the user asks about their present situation.

    ``gain(i) = closeness(i) * (1 - question_share(i)) * newness(i) *
    (weight + change_weight * tells_change(i))``, for a user's rows and memories; 0 for other
    rows and for any other question. A rule of our own.

    ``newness`` is the row's rank in the pool by day, from 0 for the oldest to 1 for the newest.
    It is a rank, so it does not depend on how far back the memory goes. Rows of one day share the
    middle of their ranks, because a turn seldom corrects what was said a minute before.

    ``closeness`` is ``sqrt((score - s) / (best - s))``, cut to 0..1, where ``s`` is the score of
    the row of rank ``among`` (0 where there are fewer). Among rows that answer about as well, the
    newer is more likely true; a row that answers badly gains nothing for being new. The new
    statement of a fact often has fewer of the question's words than the old one ("going with 55
    then"), and the gain makes up for that.

    Attributes:
        weight: gain of the newest and best row.
        change_weight: additional gain of a row that says that something has changed.
        among: rank of the row at which the gain reaches 0.
    """

    name: ClassVar[str] = "current"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    change_weight: float
    among: int

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("change_weight", self.change_weight, 0, MAX_WEIGHT)
        integer("among", self.among, 2, 1000)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight + change_weight."""
        nothing = np.zeros(len(pool), np.float64)
        if not ask.question.asks_now or len(pool) < 2:
            return nothing
        ordered = np.sort(score)[::-1]
        best = ordered[0]
        low = ordered[self.among - 1] if len(ordered) >= self.among else 0.0
        span = best - low
        if span <= 0:
            return nothing
        # Cut before the division, which would overflow where span is nearly 0.
        closeness = np.sqrt((score - low).clip(0.0, span) / span)
        day = pool.created_at // DAY
        days = np.sort(day)
        older = np.searchsorted(days, day, side="left")
        not_newer = np.searchsorted(days, day, side="right")
        newness = (older + not_newer - 1) / 2 / (len(pool) - 1)
        share = np.nan_to_num(pool.question_share.astype(np.float64)).clip(0.0, 1.0)
        weight = self.weight + self.change_weight * pool.tells_change
        # Users state their own situation; the assistant's advice mentions changes too, but is no
        # statement of it.
        own: Floats = np.where((pool.role == USER) | (pool.role == NO_ROLE), weight, 0.0)
        gain: Floats = closeness * (1.0 - share) * newness * own
        return gain
