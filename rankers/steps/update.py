"""Of two statements about the same thing the newer stands just above the older."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import integer, number
from ..pool import DAY, NO_ROLE, USER, Pool
from .step import Ask, Floats, between_people

# Chosen on our own pairs of an old and a new statement; the optimum is flat around them.
_CHANGE, _RATIO, _CROWD = 0.3, 0.25, 0.1
_CROWDED = 5
# Of so many candidates the lowest is one that does not answer.
_MANY = 20
# What asks more than it says states nothing.
_ASKING = 0.5


@dataclass(frozen=True, slots=True)
class Update:
    """Of two statements about the same thing the newer stands just above the older.

    Where the question asks how things stand, and names no time, each of the best ``of`` rows is
    compared with the newer ones among the best ``among``. If one of them is likely to replace it,
    that one's score becomes a little more than its own; nothing else moves. A rule of our own.

    Compared are what users say themselves and memories, a day or more apart. The newer has at
    least ``near`` times the score of the older. How likely it is to replace the older is
    ``closeness + 0.25 * score / older score + 0.3 * tells_change - 0.1 * likelier``. ``closeness``
    is the cosine to the question, from 0 for the lowest of the pool to 1 for its best; of less than
    20 rows the lowest counts less, for it says little. ``likelier`` is how many other newer rows
    have a vector more like the older's, 5 at most: a fact that changed is stated again in similar
    words. Of several the likeliest is taken, where it reaches ``least``.

    Attributes:
        of: how many of the best rows may be replaced.
        among: rank up to which a row may replace another.
        near: least score of the newer, as a share of the older's, 0..1.
        least: least likelihood, 0..2.
        unless_named: it is off where at least this share of the candidates name their speaker
            ("Ana: ..."), 0..1; 0 for never. Where people chat, what is newer is mostly about
            something else.
    """

    name: ClassVar[str] = "update"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})

    of: int
    among: int
    near: float
    least: float
    unless_named: float = 0.0

    def __post_init__(self) -> None:
        integer("of", self.of, 1, 100)
        integer("among", self.among, 2, 100)
        number("near", self.near, 0, 1)
        number("least", self.least, 0, 2)
        number("unless_named", self.unless_named, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), not negative; 0 where the pool has no vectors."""
        gain = np.zeros(len(pool), np.float64)
        asked = ask.question
        if pool.vector is None or not asked.asks_present or asked.periods:
            return gain
        if self.unless_named > 0 and between_people(pool.speaker, self.unless_named):
            return gain
        best = pool.best_first(score)[: self.among]
        best = best[np.isin(pool.role[best], (USER, NO_ROLE))]
        vectors, scores = pool.vector[best], score[best]
        created = pool.created_at[best].astype(np.float64)  # int64 differences may overflow
        share = np.nan_to_num(pool.question_share[best].astype(np.float64))
        closeness = _closeness(pool.semantic)[best] + _CHANGE * pool.tells_change[best]
        raised = scores.astype(np.float64)
        older = np.flatnonzero(np.isin(best, pool.best_first(score)[: self.of]))
        for place in older.tolist():
            if scores[place] <= 0:
                continue
            newer = (created - created[place] >= DAY) & (share <= _ASKING)
            may = newer & (scores >= self.near * scores[place]) & (scores <= scores[place])
            if not may.any():
                continue
            alike = vectors @ vectors[place]
            likely = closeness + _RATIO * scores / scores[place] - _CROWD * _likelier(alike, newer)
            chosen = int(np.argmax(np.where(may, likely, -np.inf)))
            if likely[chosen] >= self.least:
                above = float(np.nextafter(np.float64(scores[place] * (1 + 1e-9)), np.inf))
                raised[chosen] = max(raised[chosen], above)
        gain[best] = raised - scores
        return gain


def _closeness(semantic: NDArray[np.float32]) -> Floats:
    """Cosines from 0 to 1, NaN as 0: 1 is the best, and 0 the lowest of 20 or more."""
    known = ~np.isnan(semantic)
    found = semantic[known].astype(np.float64)
    closeness = np.zeros(len(semantic), np.float64)
    if len(found):
        low = found.min() * min(1.0, len(found) / _MANY)
        span = found.max() - low
        closeness[known] = ((found - low) / span).clip(0.0, 1.0) if span > 0 else 1.0
    return closeness


def _likelier(alike: NDArray[np.floating], among: NDArray[np.bool_]) -> Floats:
    """How many of some rows are more alike than each row, at most :data:`_CROWDED`."""
    others = np.sort(alike[among])
    more: Floats = len(others) - np.searchsorted(others, alike, side="right").astype(np.float64)
    return np.minimum(more, _CROWDED)
