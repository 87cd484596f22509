"""The protocol of a ranking step, and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..adjacency import Adjacency
from ..pool import Pool
from ..question import Question

Floats = NDArray[np.float64]
#: Scores the texts of some rows against the question: indices (m,) to any real scores (m,).
CrossScore = Callable[[NDArray[np.int64]], NDArray[np.floating]]

#: What a step may need: the pool's ``vector``, ``texts``, ``matches`` or ``passages``, ``copy_of``
#: for repeats ("repeats"), ``asked_before``, or ``Ask.cross_score``. Each is made only where a step
#: needs it.
NEEDS = frozenset(
    {"vectors", "texts", "matches", "passages", "repeats", "asked_before", "cross_score"}
)
#: Weights are shares of the fused score, whose best is 1.
MAX_WEIGHT = 10
#: A larger multiplier could double or halve a score, which is no small change any more.
MAX_STRENGTH = 0.5
#: How many of the best rows a step compares with each other. Comparing takes quadratic time, and
#: far fewer rows are shown.
COMPARED = 100


class Step(Protocol):
    """One rule of a ranking: a frozen dataclass, whose fields are its settings.

    It checks its settings in ``__post_init__`` and raises ``ValueError`` with the name of the
    wrong field. Its docstring has its formula and the formula's source.

    Attributes:
        name: of its signal, and of its table in a profile.
        needs: what it needs, from :data:`NEEDS`.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]

    def __call__(self, pool: Pool, score: Floats, ask: Ask, /) -> Floats:
        """What the step adds to the score.

        Args:
            pool: n candidates.
            score: float64 (n,), the sum of the signals before this step; not to be changed.
            ask: the question, and what the steps before this one gave.

        Returns:
            float64 (n,), finite; zeros where the step does not apply to this question.
        """
        ...


@dataclass(slots=True, eq=False)
class Ask:
    """What the steps of one ranking are given besides the pool.

    Attributes:
        question: the cues of the question.
        now: the time that ages are computed from, microseconds since the epoch, UTC.
        k: how many rows will be shown.
        fused: float64 (n,), the fusion's score, before any step.
        signals: by name, float64 (n,), what the fusion and the steps so far have added.
        cross_score: scores rows by a cross-encoder. Where it is None, the steps that need it do
            not run.
    """

    question: Question
    now: int
    k: int
    fused: Floats
    signals: Mapping[str, Floats] = field(default_factory=dict)
    cross_score: CrossScore | None = None
    _around: Adjacency | None = field(default=None, init=False, repr=False)

    def around(self, pool: Pool, distance: int) -> Adjacency:
        """The turns around each row, up to ``distance`` away."""
        # Kept for all steps: building it costs more than the steps that use it.
        if self._around is None or self._around.distance < distance:
            self._around = Adjacency(pool.conversation, pool.turn, distance)
        return self._around


def between_people(speaker: NDArray[np.int64], share: float) -> bool:
    """Whether at least a share of some rows name their speaker, as talks between people do.

    Some rules hold where people chat in short turns, and not where somebody writes to an assistant
    or keeps notes.

    Args:
        speaker: int64 (n,), as ``Pool.speaker``.
        share: 0..1; 0 for always.
    """
    named = np.count_nonzero(speaker >= 0)
    return share <= 0 or (len(speaker) > 0 and bool(named >= share * len(speaker)))


def by_factor(score: Floats, factor: Floats) -> Floats:
    """What multiplying by a factor adds to a score; a factor over 1 never lowers it.

    Args:
        score: float64 (n,).
        factor: float64 (n,), around 1.
    """
    change: Floats = np.abs(score) * (factor - 1.0)
    return change
