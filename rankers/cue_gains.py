"""What a row gains by what its text, its speaker or its time shows of itself.

Each function gives float64 (n,), from 0 to the step's weights, and needs no text:
the cues were read when the row was stored (:mod:`.cues`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pool import ASSISTANT, NO_ROLE, USER, Pool
from .question import Question
from .step_settings import Current, Length, Speaker, Statement, TimeMention, TimeNamed

Floats = NDArray[np.float64]

_DAY = 86_400_000_000


def length_gain(pool: Pool, settings: Length) -> Floats:
    """``weight * words / (words + half_words)``.

    A text of two words ("Wow, thanks!") answers little, whatever it matches, and
    BM25's length normalisation favours it. The gain saturates, so that it tells
    short from normal, and not normal from long.
    """
    words = np.maximum(pool.words, 0).astype(np.float64)
    gain: Floats = settings.weight * words / (words + settings.half_words)
    return gain


def statement_gain(pool: Pool, settings: Statement) -> Floats:
    """``weight * (1 - question_share)``: what asks is seldom what answers."""
    share = np.nan_to_num(pool.question_share.astype(np.float64)).clip(0.0, 1.0)
    return settings.weight * (1.0 - share)


def time_mention_gain(pool: Pool, question: Question, settings: TimeMention) -> Floats:
    """``weight`` for a text that names a time, where the question asks for one ("When ...")."""
    if not question.asks_when:
        return np.zeros(len(pool), np.float64)
    return settings.weight * pool.names_time.astype(np.float64)


def time_named_gain(pool: Pool, question: Question, settings: TimeNamed) -> Floats:
    """``weight * closeness`` of a row's time to the times that the question names.

    Closeness is 1 inside a named period, ``exp(-gap / after)`` after it and
    ``exp(-gap / before)`` before it, the best over all periods: what happened is told
    then or in the days after, seldom before. ``after`` is ``after_days`` and half the
    period's own length: a month is talked of for longer than a day. After the temporal
    prior of Li and Croft, "Time-based language models", CIKM 2003. It never excludes a row.
    """
    closeness = np.zeros(len(pool), np.float64)
    created = pool.created_at.astype(np.float64)
    for period in question.periods:
        start, end = float(period.start), float(period.end)
        after = settings.after_days * _DAY + (end - start) / 2
        late = np.maximum(created - end, 0.0) / after
        early = np.maximum(start - created, 0.0) / (settings.before_days * _DAY)
        closeness = np.maximum(closeness, np.exp(-(late + early)))
    return settings.weight * closeness


def current_gain(pool: Pool, score: Floats, question: Question, settings: Current) -> Floats:
    """What newer rows gain where the user asks for how things of their own stand now.

    ``gain(i) = closeness(i) * (1 - question_share(i)) * newness(i) *
    (weight + change_weight * tells_change(i))``, for a user's rows and memories; 0 for other
    rows and for any other question.

    ``newness`` is the row's place in the pool by day, from 0 for the oldest to 1 for the
    newest (rows of one day share the middle of their places: a turn does not correct what
    was said a minute before by being the last), so that it does not depend on
    how long the memory reaches back. ``closeness`` is ``sqrt((score - s) / (best - s))``, cut
    to 0..1, where ``s`` is the score of the row of rank ``among`` (0 where there are fewer):
    among rows that answer about as well, the newer is more likely true, and a row that answers
    badly does not answer better for being new. Of an old and a new statement of one fact the
    new one often has fewer of the question's words ("going with 55
    then"), which is what this makes up for.
    """
    nothing = np.zeros(len(pool), np.float64)
    if not question.asks_now or len(pool) < 2:
        return nothing
    ordered = np.sort(score)[::-1]
    best = ordered[0]
    low = ordered[settings.among - 1] if len(ordered) >= settings.among else 0.0
    span = best - low
    if span <= 0:
        return nothing
    # Cut before the division, which a span that is nearly 0 would make overflow.
    closeness = np.sqrt((score - low).clip(0.0, span) / span)
    day = pool.created_at // _DAY
    days = np.sort(day)
    older = np.searchsorted(days, day, side="left")
    not_newer = np.searchsorted(days, day, side="right")
    newness = (older + not_newer - 1) / 2 / (len(pool) - 1)
    share = np.nan_to_num(pool.question_share.astype(np.float64)).clip(0.0, 1.0)
    weight = settings.weight + settings.change_weight * pool.tells_change
    # What the user's things are is told by the user; an answer full of advice tells of changes too.
    own: Floats = np.where((pool.role == USER) | (pool.role == NO_ROLE), weight, 0.0)
    gain: Floats = closeness * (1.0 - share) * newness * own
    return gain


def speaker_gain(pool: Pool, question: Question, settings: Speaker) -> Floats:
    """``weight`` for a row of whom the question asks about, half of it where that is not known.

    A speaker whose name stands in the question ("What did Ana order?") is whom it asks
    about; else the pronouns say whose words are wanted: "my" the user's, "you" the
    assistant's. The pronouns decide too where the question names every speaker there is. Rows
    without a role (memories) are about the user. A question without either changes nothing.
    """
    share = _by_name(pool, question)
    if share is None:
        share = _by_role(pool, question)
    if share is None:
        return np.zeros(len(pool), np.float64)
    return settings.weight * share


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
