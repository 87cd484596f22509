"""The steps of a ranking, one after the other."""

from __future__ import annotations

import numpy as np

from .conversation import conversation_gain
from .fusion import fuse
from .modifiers import importance_factor, recency_factor, use_factor
from .neighbours import neighbour_gain
from .pool import Pool, Ranking
from .settings import RankSettings


def rank(pool: Pool, settings: RankSettings, *, k: int, now: int) -> Ranking:
    """Put a pool in order: fusion, neighbours, conversation, then the bounded factors.

    A factor is recorded as the change that it makes to the score so far, so the
    signals sum to the score. Of equal scores the row that was written later
    (higher ``seq``) comes first.

    Args:
        pool: n candidates.
        settings: which steps run, and their numbers.
        k: how many to return, at most n.
        now: the time to reckon ages from, microseconds since the epoch, UTC.

    Raises:
        ValueError: ``k`` is negative.
    """
    if k < 0:
        raise ValueError(f"k must not be negative, not {k}")
    signals = fuse(pool.lexical, pool.semantic, settings.fusion)
    score = np.zeros(len(pool), np.float64)
    for part in signals.values():
        score += part
    if settings.neighbours is not None:
        gain = neighbour_gain(score, pool.conversation, pool.turn, pool.words, settings.neighbours)
        signals["neighbours"] = gain
        score = score + gain
    if settings.conversation is not None:
        gain = conversation_gain(score, pool.conversation, settings.conversation)
        signals["conversation"] = gain
        score = score + gain
    factors = {}
    if settings.recency is not None:
        factors["recency"] = recency_factor(pool.created_at, now, settings.recency)
    if settings.importance is not None:
        factors["importance"] = importance_factor(pool.importance, settings.importance)
    if settings.use is not None:
        factors["use"] = use_factor(pool.access_count, settings.use)
    for name, factor in factors.items():
        signals[name] = score * (factor - 1.0)
        score = score + signals[name]
    order = np.lexsort((-pool.seq, -score))[:k].astype(np.int64)
    return Ranking(order, score, signals)
