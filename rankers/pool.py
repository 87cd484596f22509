"""What the rankers are given and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates, one entry each; every array has shape (n,), in any order.

    An entry that neither side proposed (NaN in ``lexical`` and ``semantic``) is
    there because it stands next to a good one; its own score is 0.

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

    Raises:
        ValueError: an array is not of the length of ``seq``.
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

    def __post_init__(self) -> None:
        shape = (len(self.seq),)
        for field in fields(self):
            found = getattr(self, field.name).shape
            if found != shape:
                raise ValueError(f"{field.name} has shape {found}, seq has {shape}")

    def __len__(self) -> int:
        return len(self.seq)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """A pool put in order.

    Attributes:
        order: int64 (min(k, n),), indices into the pool, best first.
        score: float64 (n,), aligned with the pool.
        signals: by name, float64 (n,): what each step added to the score. They
            sum to ``score``; only steps that the settings switch on appear.
    """

    order: NDArray[np.int64]
    score: NDArray[np.float64]
    signals: dict[str, NDArray[np.float64]]
