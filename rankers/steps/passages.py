"""A long text gains for its best passage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..checks import number
from ..pool import Pool
from .step import MAX_WEIGHT, Ask, Floats


@dataclass(frozen=True, slots=True)
class Passages:
    """How much a long text gains where a passage of it answers better than the whole of it.

    ``gain = weight * max(passage - fused, 0)``, with
    ``passage = (1 - semantic_weight) * words + semantic_weight * meaning`` of its best passage,
    both on the scale of the fusion: 0 is the worst row that a side proposed, 1 the best.

    A long text's vector is about all that it says, and BM25's length normalisation takes most of a
    word's weight in it, so both hide a fact in a message of 400 words about something else. Its
    passage of 60 words is about the fact alone. Taking the best passage is MaxP (Dai and Callan,
    "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019). It
    comes after the gains from neighbours and conversation, because a passage says nothing about
    the turns around its text.

    Attributes:
        weight: share of the difference that is gained.
        semantic_weight: share of the passage's meaning, 0..1; its words have the rest.
    """

    name: ClassVar[str] = "passages"
    needs: ClassVar[frozenset[str]] = frozenset({"passages"})

    weight: float
    semantic_weight: float

    def __post_init__(self) -> None:
        number("weight", self.weight, 0, MAX_WEIGHT)
        number("semantic_weight", self.semantic_weight, 0, 1)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        if pool.passages is None or not len(pool):
            return np.zeros(len(pool), np.float64)
        words = _scaled(pool.passages[:, 0], pool.lexical)
        meaning = _scaled(pool.passages[:, 1], pool.semantic)
        passage = (1 - self.semantic_weight) * words + self.semantic_weight * meaning
        words_of = np.maximum(pool.words, 1).astype(np.float64)
        hidden = (1 - words_of.mean() / words_of).clip(0.0)
        gain: Floats = self.weight * hidden * np.maximum(passage - ask.fused, 0.0)
        return np.where(np.isfinite(pool.passages[:, 0]), gain, 0.0)


def _scaled(passages: NDArray[np.floating], rows: NDArray[np.floating]) -> Floats:
    """The best passages' scores on the scale of a side's fusion, float64 (n,), 0..1.

    Where a passage has none, as where its vector would take too long to make, the row's own.
    """
    held = rows[np.isfinite(rows)].astype(np.float64)
    if not len(held) or held.min() == held.max():
        return np.zeros(len(rows), np.float64)
    score = np.where(np.isfinite(passages), passages, rows).astype(np.float64)
    scaled: Floats = ((score - held.min()) / (held.max() - held.min())).clip(0.0, 1.0)
    return np.nan_to_num(scaled, nan=0.0)
