"""The input and the output of a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

#: Values of ``Pool.role``. A memory has no role; "system" and "tool" are others.
NO_ROLE, USER, ASSISTANT, OTHER_ROLE = -1, 0, 1, 2
#: A day, in the unit of ``Pool.created_at``.
DAY = 86_400_000_000

# Attributes with one entry for each row that are optional.
_OPTIONAL = ("copy_of", "asked_before", "lexical_in_period", "semantic_in_period")
# Those, and the ones that do not have one entry for each row.
_ASIDE = ("speakers", "vector", "texts", "matches", "term_weight", "passages", *_OPTIONAL)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates, one entry each; every array has shape (n,), in any order.

    A row that neither side proposed (NaN in ``lexical`` and ``semantic``) is there because it
    is next to a good candidate; its own fused score is 0.

    Attributes:
        seq: identity of the row, and the order in which rows were written.
        lexical: BM25 score, NaN where the lexical side did not propose the row.
        semantic: cosine in [-1, 1], NaN where the vector side did not propose it.
        conversation: number of the row's conversation, -1 for a row without one.
        turn: position in its conversation, -1 for a row without one.
        words: length of the text in words.
        created_at: microseconds since the epoch, UTC.
        importance: 0..1; NaN counts as neutral.
        access_count: how often the row was recalled.
        role: NO_ROLE, USER, ASSISTANT or OTHER_ROLE.
        speaker: index into ``speakers``, -1 where no speaker is named.
        question_share: share of its words that stand in questions, 0..1; NaN counts as 0.
        ends_with_question: whether its last sentence asks.
        names_time: whether its text names a time.
        tells_change: whether its text says that something has changed.
        speakers: the names of the speakers in the pool.
        vector: float32 (n, d), unit rows; None where no step needs it.
        texts: n texts; None where no step needs them.
        matches: float32 (n, t), how well each of the t words of the question matches each
            text, 0..1; None where no step needs it.
        term_weight: float64 (t,), the weight of each of those words; given with ``matches``.
        copy_of: int64 (n,), the same number for rows that are copies of each other, or say the
            same where a step wants to know that. A ranking shows the best of them. None where there
            are none.
        asked_before: bool (n,), which rows merely repeat the question, or answer that it is not
            known; None where there are none, or no step wants to know.
        lexical_in_period: as ``lexical``, among the rows of the time that the question names; None
            where that time has no candidates of its own.
        semantic_in_period: as ``semantic``, among those; given with ``lexical_in_period``.
        passages: float32 (n, 2), the BM25 and the cosine of the best passage of each long text,
            NaN for others; None where none was looked into.

    Raises:
        ValueError: an array or ``texts`` is not of the length of ``seq``, or ``matches`` and
            ``term_weight`` do not agree.
    """

    seq: NDArray[np.int64]
    lexical: NDArray[np.float32]
    semantic: NDArray[np.float32]
    conversation: NDArray[np.int64]
    turn: NDArray[np.int64]
    words: NDArray[np.int64]
    created_at: NDArray[np.int64]
    importance: NDArray[np.float32]
    access_count: NDArray[np.int64]
    role: NDArray[np.int64]
    speaker: NDArray[np.int64]
    question_share: NDArray[np.float32]
    ends_with_question: NDArray[np.bool_]
    names_time: NDArray[np.bool_]
    tells_change: NDArray[np.bool_]
    speakers: tuple[str, ...] = ()
    vector: NDArray[np.float32] | None = None
    texts: Sequence[str] | None = None
    matches: NDArray[np.float32] | None = None
    term_weight: NDArray[np.float64] | None = None
    copy_of: NDArray[np.int64] | None = None
    asked_before: NDArray[np.bool_] | None = None
    lexical_in_period: NDArray[np.float32] | None = None
    semantic_in_period: NDArray[np.float32] | None = None
    passages: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.seq),)
        for name in _EACH:
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} has shape {found}, seq has {shape}")
        for name in ("vector", "matches"):
            table = getattr(self, name)
            if table is not None and (table.ndim != 2 or len(table) != len(self.seq)):
                raise ValueError(f"{name} has shape {table.shape}, seq has {shape}")
        if self.texts is not None and len(self.texts) != len(self.seq):
            raise ValueError(f"texts has {len(self.texts)} entries, seq has {shape}")
        for name in _OPTIONAL:
            column = getattr(self, name)
            if column is not None and column.shape != shape:
                raise ValueError(f"{name} has shape {column.shape}, seq has {shape}")
        if self.passages is not None and self.passages.shape != (*shape, 2):
            raise ValueError(f"passages has shape {self.passages.shape}, seq has {shape}")
        if (self.lexical_in_period is None) != (self.semantic_in_period is None):
            raise ValueError("lexical_in_period and semantic_in_period are given together")
        terms = None if self.matches is None else (self.matches.shape[1],)
        weights = None if self.term_weight is None else self.term_weight.shape
        if terms != weights:
            raise ValueError(f"term_weight has shape {weights}, matches has {terms} terms")

    def __len__(self) -> int:
        return len(self.seq)

    def best_first(self, score: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of all rows by a score, int64 (n,); of equal scores the later row first."""
        return np.lexsort((-self.seq, -score)).astype(np.int64)


# Looked up once: there is a pool for each recall.
_EACH = tuple(field.name for field in fields(Pool) if field.name not in _ASIDE)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """A pool put in order.

    Attributes:
        order: int64 (at most min(k, n),), indices into the pool, best first; of copies only the
            best.
        score: float64 (n,), aligned with the pool.
        signals: by name, float64 (n,): what each step added to the score. They
            sum to ``score``; only steps that the settings switch on appear.
    """

    order: NDArray[np.int64]
    score: NDArray[np.float64]
    signals: dict[str, NDArray[np.float64]]
