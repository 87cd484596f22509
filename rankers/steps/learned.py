"""A small learned ranker: a linear model over the signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import number, shown
from ..pool import Pool
from .step import Ask, Floats


@dataclass(frozen=True, slots=True)
class Learned:
    """A linear model over the signals, trained beforehand.

    ``score = sum over signals of factor * signal``, a linear ranking function trained listwise
    (Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007:
    ListNet's top-one cross entropy; ``scripts/train_ranker.py``). A signal without a factor is
    left out. The model is linear, so a hit still shows what each signal contributed.

    Attributes:
        factors: by signal, its factor. Only signals of the steps before it are allowed;
            `RankSettings` refuses others.
        file: where they were read from; not used by the ranking.
    """

    name: ClassVar[str] = "learned"
    needs: ClassVar[frozenset[str]] = frozenset()

    factors: Mapping[str, float]
    file: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.factors, Mapping) or not self.factors:
            raise ValueError(f"factors must be numbers by signal, not {shown(self.factors)}")
        if not isinstance(self.file, str):
            raise ValueError(f"file must be text, not {shown(self.file)}")
        for signal, factor in self.factors.items():
            if not isinstance(signal, str):
                raise ValueError(f"factors must be by signal, not by {shown(signal)}")
            number(f"factors.{signal}", factor, -1e3, 1e3)

    def __call__(self, pool: Pool, score: Floats, ask: Ask) -> Floats:
        """The weighed sum of the signals minus their plain sum, float64 (n,)."""
        change = np.negative(score)
        for part in self.weigh(ask.signals).values():
            change += part
        return change

    def weigh(self, signals: Mapping[str, Floats]) -> dict[str, Floats]:
        """Each signal times its factor, in the same order; one without a factor is left out.

        Args:
            signals: by name, float64 (n,).
        """
        return {
            name: self.factors[name] * part
            for name, part in signals.items()
            if name in self.factors
        }
