"""The steps of a ranking, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .adjacency import Adjacency
from .comparison import diversity_loss, duplicate_loss, feedback_gain, update_loss
from .conversation import conversation_gain
from .coverage import coverage_gain
from .cue_gains import (
    current_gain,
    length_gain,
    speaker_gain,
    statement_gain,
    time_mention_gain,
    time_named_gain,
)
from .fusion import fuse, min_max
from .learned import learned_signals
from .modifiers import importance_factor, recency_factor, use_factor
from .neighbours import answer_gain, neighbour_gain
from .pool import Pool, Ranking
from .question import Question
from .settings import RankSettings
from .step_settings import CrossEncoder

Floats = NDArray[np.float64]
#: Scores the texts of some rows against the question: indices (m,) to any real scores (m,).
CrossScore = Callable[[NDArray[np.int64]], NDArray[np.floating]]
#: From the score so far to what is added to it, both float64 (n,).
Change = Callable[[Floats], Floats]

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

    In order: fusion; what a row gains from the turns around it, from its conversation and
    from what it shows of itself; a learned weighing of all these; the bounded factors; then
    the steps that compare the best rows with each other. What a step changes is its signal,
    so the signals sum to the score. Of equal scores the row that was written later (higher
    ``seq``) comes first.

    Args:
        pool: n candidates.
        settings: which steps run, and their numbers.
        k: how many to return, at most n.
        now: the time to reckon ages from, microseconds since the epoch, UTC.
        question: what the steps that read it are given.
        cross_score: the cross-encoder of ``settings.cross_encoder``; without it that step is off.

    Raises:
        ValueError: ``k`` is negative.
    """
    if k < 0:
        raise ValueError(f"k must not be negative, not {k}")
    signals = _gains(pool, settings, question)
    if settings.learned is not None:
        signals = learned_signals(signals, settings.learned)
    score = np.zeros(len(pool), np.float64)
    for part in signals.values():
        score = score + part
    for name, change in _changes(pool, settings, k, now, question, cross_score):
        signals[name] = change(score)
        score = score + signals[name]
    order = np.lexsort((-pool.seq, -score)).astype(np.int64)
    if pool.copy_of is not None:
        _, first = np.unique(pool.copy_of[order], return_index=True)
        order = order[np.sort(first)]
    return Ranking(order[:k], score, signals)


def _gains(pool: Pool, settings: RankSettings, question: Question) -> dict[str, Floats]:
    """What each row gains, from the fusion on; every gain adds to the score."""
    signals = fuse(pool.lexical, pool.semantic, settings.fusion)
    fused = np.zeros(len(pool), np.float64)
    for part in signals.values():
        fused = fused + part
    place = (pool.conversation, pool.turn, pool.words)
    score = fused
    around = None
    if settings.neighbours is not None:
        around = Adjacency(pool.conversation, pool.turn, settings.neighbours.distance)
        signals["neighbours"] = neighbour_gain(fused, *place, settings.neighbours, around)
        score = score + signals["neighbours"]
    if settings.answers is not None:
        signals["answers"] = answer_gain(
            fused, *place, pool.ends_with_question, settings.answers, around
        )
        score = score + signals["answers"]
    if settings.conversation is not None:
        signals["conversation"] = conversation_gain(score, pool.conversation, settings.conversation)
    if settings.coverage is not None:
        signals["coverage"] = coverage_gain(pool, settings.coverage)
    if settings.speaker is not None:
        signals["speaker"] = speaker_gain(pool, question, settings.speaker)
    if settings.length is not None:
        signals["length"] = length_gain(pool, settings.length)
    if settings.statement is not None:
        signals["statement"] = statement_gain(pool, settings.statement)
    if settings.time_mention is not None:
        signals["time_mention"] = time_mention_gain(pool, question, settings.time_mention)
    if settings.time_named is not None:
        signals["time_named"] = time_named_gain(pool, question, settings.time_named)
    return signals


def _changes(
    pool: Pool,
    settings: RankSettings,
    k: int,
    now: int,
    question: Question,
    cross_score: CrossScore | None,
) -> Iterator[tuple[str, Change]]:
    """The steps that start from the score so far: each gives what it adds to it."""
    if (feedback := settings.feedback) is not None:
        yield "feedback", lambda score: feedback_gain(pool, score, feedback)
    if (current := settings.current) is not None:
        yield "current", lambda score: current_gain(pool, score, question, current)
    if settings.recency is not None:
        yield "recency", _by(recency_factor(pool.created_at, now, settings.recency))
    if settings.importance is not None:
        yield "importance", _by(importance_factor(pool.importance, settings.importance))
    if settings.use is not None:
        yield "use", _by(use_factor(pool.access_count, settings.use))
    if (update := settings.update) is not None:
        yield "update", lambda score: update_loss(pool, score, update)
    if (cross := settings.cross_encoder) is not None and cross_score is not None:
        yield "cross_encoder", lambda score: _cross_gain(pool, score, cross, cross_score)
    if (duplicates := settings.duplicates) is not None:
        yield "duplicates", lambda score: duplicate_loss(pool, score, duplicates)
    # Last, since it chooses k rows one by one: what came behind would depend on how many are asked.
    if (diversity := settings.diversity) is not None:
        yield "diversity", lambda score: diversity_loss(pool, score, k, diversity)


def _by(factor: Floats) -> Change:
    """A factor, as the change that it makes to the score; a good one never lowers it."""
    return lambda score: np.abs(score) * (factor - 1.0)


def _cross_gain(
    pool: Pool, score: Floats, settings: CrossEncoder, cross_score: CrossScore
) -> Floats:
    """``weight * minmax(cross-encoder score)`` for the best rows, 0 for the others.

    Re-ranking by a model that reads question and text together (Nogueira and Cho, "Passage
    Re-ranking with BERT", 2019).
    """
    gain = np.zeros(len(pool), np.float64)
    best = np.lexsort((-pool.seq, -score))[: settings.best].astype(np.int64)
    if len(best):
        gain[best] = settings.weight * min_max(np.asarray(cross_score(best), np.float64))
    return gain
