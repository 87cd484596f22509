"""Whether a turn and those around it hold every word of the question."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .adjacency import Adjacency
from .pool import Pool
from .step_settings import Coverage

Floats = NDArray[np.float64]


def coverage_gain(pool: Pool, settings: Coverage) -> Floats:
    """``weight * sum over terms of term_weight * m / sum of term_weight``.

    ``m`` is the largest of the term's match in the turn itself, ``before`` times that in the
    turn before, ``before**2`` times that two turns before and ``after`` times that in the
    turn after. BM25 adds up whatever matches; this asks that everything is there, at least
    nearby: coordination level matching over a window of the conversation. Matches are soft
    (:attr:`Pool.matches`), after the translation language model of Berger and Lafferty,
    "Information Retrieval as Statistical Translation", SIGIR 1999.

    Returns:
        float64 (n,); 0 where the pool has no matches.
    """
    gain = np.zeros(len(pool), np.float64)
    if pool.matches is None or pool.term_weight is None:
        return gain
    total = float(pool.term_weight.sum())
    if total <= 0:
        return gain
    around = Adjacency(pool.conversation, pool.turn, 2)
    for term, weight in zip(pool.matches.T.astype(np.float64), pool.term_weight, strict=True):
        best = term.copy()
        for offset, share in (
            (-1, settings.before),
            (-2, settings.before**2),
            (1, settings.after),
        ):
            nearby = share * around.at(term, offset)
            best[around.placed] = np.maximum(best[around.placed], nearby)
        gain += weight * best
    scaled: Floats = settings.weight * gain / total
    return scaled
