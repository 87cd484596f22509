"""The steps of a ranking, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .fusion import fuse, period_gain
from .pool import Pool, Ranking
from .question import Question
from .settings import RankSettings
from .steps import Ask, CrossScore, Learned

Floats = NDArray[np.float64]

_NO_QUESTION = Question("")


def rank(
    pool: Pool,
    settings: RankSettings,
    *,
    k: int,
    now: int,
    question: Question = _NO_QUESTION,
    cross_score: CrossScore | None = None,
) -> Ranking:
    """Put a pool in order by every step that the settings switch on.

    First the fusion, with the candidates of the named time ("period"), then the steps in the
    order of :data:`.steps.STEPS`. Each step starts from the score so far, and what it adds is its
    signal, so the signals sum to the score. Of rows with equal scores, the one written later
    (higher ``seq``) comes first.

    Args:
        pool: n candidates.
        settings: which steps run, and their numbers.
        k: how many to return, at most n.
        now: the time that ages are computed from, microseconds since the epoch, UTC.
        question: for the steps that read it.
        cross_score: a cross-encoder's scores; without it the steps that need it are off.

    Raises:
        ValueError: ``k`` is negative.
    """
    if k < 0:
        raise ValueError(f"k must not be negative, not {k}")
    signals = fuse(pool.lexical, pool.semantic, settings.fusion)
    score = _sum(signals, len(pool))
    if pool.lexical_in_period is not None and pool.semantic_in_period is not None:
        signals["period"] = period_gain(
            score, pool.lexical_in_period, pool.semantic_in_period, settings.fusion
        )
        score = score + signals["period"]
    ask = Ask(question, now, k, score, signals, cross_score)
    for step in settings.steps:
        if isinstance(step, Learned):
            # This step multiplies each earlier signal by a factor. It has no signal of its own, so
            # that a hit still shows what each step contributed.
            ask.signals = signals = step.weigh(signals)
            score = _sum(signals, len(pool))
        elif cross_score is not None or "cross_score" not in step.needs:
            signals[step.name] = change = step(pool, score, ask)
            score = score + change
    order = pool.best_first(score)
    if pool.copy_of is not None:
        _, first = np.unique(pool.copy_of[order], return_index=True)
        order = order[np.sort(first)]
    return Ranking(order[:k], score, signals)


def _sum(signals: dict[str, Floats], n: int) -> Floats:
    score = np.zeros(n, np.float64)
    for part in signals.values():
        score = score + part
    return score
