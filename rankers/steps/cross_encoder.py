"""The best rows gain by a model that reads the question and a text together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import integer, number, shown
from ..fusion import min_max
from ..pool import Pool
from .step import Ask, Floats


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A model that reads the question and a text together, for the best rows only.

    ``gain = weight * minmax(cross-encoder score)`` for the best rows, 0 for the others.

    Re-ranking by a model that reads question and text together (Nogueira and Cho, "Passage
    Re-ranking with BERT", 2019).

    Attributes:
        model: a sentence-transformers cross-encoder: its name, or its folder.
        weight: gain of the row that it scores highest.
        best: how many of the best rows it reads.
        batch_size: how many texts are in one forward pass.
    """

    name: ClassVar[str] = "cross_encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"cross_score"})

    model: str
    weight: float = 1.0
    best: int = 50
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model must be a name or a folder, not {shown(self.model)}")
        number("weight", self.weight, 0, 100)
        integer("best", self.best, 1, 1000)
        integer("batch_size", self.batch_size, 1, 4096)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The gain, float64 (n,), 0..weight."""
        gain = np.zeros(len(pool), np.float64)
        best = pool.best_first(score)[: self.best]
        if len(best) and ask.cross_score is not None:
            gain[best] = self.weight * min_max(np.asarray(ask.cross_score(best), np.float64))
        return gain
