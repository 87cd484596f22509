"""A turn gains from the turns around it.

In a conversation the words of a question and the words of its answer often stand
in different turns ("Where did you stay?" - "At Ana's."). So each turn gains a
part of the scores of the turns next to it: score regularisation (Diaz,
"Regularizing ad hoc retrieval scores", CIKM 2005) with adjacency as the graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .adjacency import Adjacency
from .step_settings import Answers, Neighbours


def neighbour_gain(
    score: NDArray[np.float64],
    conversation: NDArray[np.int64],
    turn: NDArray[np.int64],
    words: NDArray[np.int64],
    settings: Neighbours,
    around: Adjacency | None = None,
) -> NDArray[np.float64]:
    """What each row gains from the turns up to ``distance`` away in its conversation.

    ``gain(i) = weight * exp(-words(i) / fade_words) * sum over d of decay**(d - 1) *
    (score(turn - d) + score(turn + d))``

    The gain falls with the length of the turn that receives it: a long answer says
    itself what it is about, a short one ("Yes, last May!") leans on what is around it.

    Args:
        score: float64 (n,), not negative.
        conversation: int64 (n,), -1 for none.
        turn: int64 (n,), -1 for none.
        words: int64 (n,), length of each text.
        settings: weight, fade, distance and decay.
        around: the places of ``conversation`` and ``turn``, where they are known already.

    Returns:
        float64 (n,); 0 for rows without a conversation or a turn. Of several rows in
        one place the best counts.
    """
    gain = np.zeros(len(score), np.float64)
    around = around or Adjacency(conversation, turn, settings.distance)
    total = np.zeros(len(around.placed), np.float64)
    for distance in range(1, settings.distance + 1):
        share = settings.decay ** (distance - 1)
        total += share * (around.at(score, -distance) + around.at(score, distance))
    gain[around.placed] = settings.weight * _fade(words[around.placed], settings) * total
    return gain


def answer_gain(
    score: NDArray[np.float64],
    conversation: NDArray[np.int64],
    turn: NDArray[np.int64],
    words: NDArray[np.int64],
    ends_with_question: NDArray[np.bool_],
    settings: Answers,
    around: Adjacency | None = None,
) -> NDArray[np.float64]:
    """What a turn gains where the turn before it asked a question that resembles ours.

    ``gain(i) = weight * exp(-words(i) / fade_words) * score(turn - 1) *
    ends_with_question(turn - 1)``

    The turn after a question answers it: the first pair part of an adjacency pair
    makes the second relevant (Schegloff and Sacks, "Opening up closings", 1973). Who
    is asked the same question later wants the second part.

    Args:
        score: float64 (n,), not negative.
        conversation: int64 (n,), -1 for none.
        turn: int64 (n,), -1 for none.
        words: int64 (n,), length of each text.
        ends_with_question: bool (n,).
        settings: weight and fade.
        around: the places of ``conversation`` and ``turn``, where they are known already.

    Returns:
        float64 (n,); 0 for rows without a conversation or a turn.
    """
    gain = np.zeros(len(score), np.float64)
    around = around or Adjacency(conversation, turn, 1)
    asked = around.at(np.where(ends_with_question, score, 0.0), -1)
    gain[around.placed] = settings.weight * _fade(words[around.placed], settings) * asked
    return gain


def _fade(words: NDArray[np.int64], settings: Neighbours | Answers) -> NDArray[np.float64]:
    fade: NDArray[np.float64] = np.exp(-np.maximum(words, 0) / settings.fade_words)
    return fade
