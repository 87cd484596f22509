"""A row gains for being written in or near a period that the question names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number
from ..pool import DAY, Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class TimeNamed:
    """How much a row gains for being written in or near a period that the question names.

    ``gain = weight * closeness`` of the row's time to the periods that the question names.

    Closeness is 1 inside a named period, ``exp(-gap / after)`` after it and
    ``exp(-gap / before)`` before it, the best over all periods: people speak of an event on the
    day or in the days after, seldom before. ``after`` is ``after_days`` plus half the period's
    length, since people speak of a month for longer than of a day. After the temporal prior of Li
    and Croft, "Time-based language models", CIKM 2003. It never excludes a row.

    Attributes:
        weight: gain of a row inside the period.
        after_days: days after the period (plus half its length) in which the gain falls by e.
        before_days: days before the period in which the gain falls by e.
    """

    name: ClassVar[str] = "time_named"
    needs: ClassVar[frozenset[str]] = frozenset()

    weight: float
    after_days: float = 7.0
    before_days: float = 2.0

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("after_days", self.after_days, 0.01, 1e5)
        number("before_days", self.before_days, 0.01, 1e5)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        closeness = np.zeros(len(pool), np.float64)
        created = pool.created_at.astype(np.float64)
        for period in ask.question.periods:
            start, end = float(period.start), float(period.end)
            after = self.after_days * DAY + (end - start) / 2
            late = np.maximum(created - end, 0.0) / after
            early = np.maximum(start - created, 0.0) / (self.before_days * DAY)
            closeness = np.maximum(closeness, np.exp(-(late + early)))
        return self.weight * closeness
