"""How likely the first hits of a ranking hold an answer.

A memory that holds no answer still has ``k`` best rows for a question. Their scores do not tell,
because each recall scales them anew. What tells are the question's words: how much of them, by how
rare they are, the best row has; how much of them any of the user's rows has; and how far the best
row stands out.

    confidence = 1 / (1 + exp(-(3 coverage + 2.5 known + 4 lead + 6 whose - 3.5)))

A logistic model (Platt, "Probabilistic Outputs for Support Vector Machines", 1999) of four values,
in the manner of query performance prediction (Cronen-Townsend, Zhou and Croft, SIGIR 2002). The
weights are round ones on the plateau of what ``python -m benchmarks.retrieval.confidence`` fits on
all development corpora but one, in turn; half of the questions there have no answer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .pool import Pool, Ranking
from .question import Question
from .steps.speaker import asked_by_name
from .steps.step import between_people

#: How many hits are the first ones.
FIRST = 10
#: The weight of each value of :class:`Evidence`.
WEIGHTS = {"coverage": 3.0, "known": 2.5, "lead": 4.0, "whose": 6.0}
BIAS = -3.5
#: The same where there are no words to go by. It tells little: of how alike a question and an
#: answer are, most depends on the embedder and on how texts are written.
BY_LIKENESS, BIAS_OF_LIKENESS = 3.0, -2.0

# What a term adds to BM25 at most, in multiples of its weight: k1 + 1.
_MOST_OF_A_TERM = 2.2
# A row of at least this share of questions answers nothing.
_ASKS = 0.9
# Whose row it is says something where at least half of the rows name their speaker.
_BETWEEN_PEOPLE = 0.5


class Evidence(NamedTuple):
    """What the confidence is made of.

    Attributes:
        coverage: the best BM25 of the first hits, as a share of the most that the question's terms
            can come to, 0..1. Rows that only ask, and what says that it is not known, do not count.
        known: by their weights, the share of the question's terms that any row of the user has,
            0..1.
        lead: how much of ``coverage`` is above the tenth best row's, or the last one's, 0..1.
        whose: in a talk between people, where the question names some of them: how far the best row
            of theirs stands above the best one of others, as a share of the better one's score,
            -1..1. Else 0.
        likeness: the best cosine of the first hits, 0..1.
        by_words: whether the question has terms, and the lexical index was asked for them.
    """

    coverage: float = 0.0
    known: float = 0.0
    lead: float = 0.0
    whose: float = 0.0
    likeness: float = 0.0
    by_words: bool = False

    def confidence(self) -> float:
        """The probability that the first hits hold an answer, 0..1."""
        if self.by_words:
            return _logistic(
                BIAS + sum(weight * getattr(self, name) for name, weight in WEIGHTS.items())
            )
        return _logistic(BIAS_OF_LIKENESS + BY_LIKENESS * self.likeness)


def read_evidence(
    pool: Pool,
    ranking: Ranking,
    question: Question,
    *,
    weight: NDArray[np.float64],
    known: NDArray[np.bool_],
    counts: NDArray[np.bool_],
) -> Evidence:
    """What says whether the first hits of a ranking hold an answer.

    Args:
        pool: the candidates.
        ranking: their ranking.
        question: the cues of the question.
        weight: float64 (t,), the weight in BM25 of each term of the question; empty where words
            were not asked for.
        known: bool (t,), whether any row of the user has it.
        counts: bool (min(len(ranking.order), FIRST),), which of the first hits can be an answer.
    """
    first = ranking.order[:FIRST][counts]
    likeness = _largest(pool.semantic[first])
    most = _MOST_OF_A_TERM * float(weight.sum())
    if most <= 0:
        return Evidence(likeness=_share(likeness))
    held = pool.lexical
    if pool.passages is not None:
        held = np.fmax(held, pool.passages[:, 0])
    asks = pool.question_share >= _ASKS
    if pool.asked_before is not None:
        asks = asks | pool.asked_before
    best = _largest(held[first[~asks[first]]])
    proposed = np.sort(held[np.isfinite(held) & ~asks])[::-1]
    tenth = float(proposed[min(FIRST, len(proposed)) - 1]) if len(proposed) > 1 else 0.0
    return Evidence(
        coverage=_share(best / most),
        known=_share(float(weight[known].sum() / weight.sum())),
        lead=_share((best - tenth) / most),
        whose=_whose(pool, ranking, question),
        likeness=_share(likeness),
        by_words=True,
    )


def _whose(pool: Pool, ranking: Ranking, question: Question) -> float:
    if not between_people(pool.speaker, _BETWEEN_PEOPLE):
        return 0.0
    share = asked_by_name(pool, question)
    if share is None:
        return 0.0
    theirs, others = _largest(ranking.score[share == 1]), _largest(ranking.score[share == 0])
    better = max(theirs, others)
    return 0.0 if better <= 0 else min(max((theirs - others) / better, -1.0), 1.0)


def _largest(values: NDArray[np.floating]) -> float:
    """The largest value; 0 where there is none, or none above it."""
    finite = values[np.isfinite(values)]
    return float(finite.max(initial=0.0))


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))
