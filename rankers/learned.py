"""A small learned ranker: a linear model over the signals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .step_settings import Learned

Floats = NDArray[np.float64]


def learned_signals(signals: Mapping[str, Floats], settings: Learned) -> dict[str, Floats]:
    """Each signal times its factor; one without a factor is left out.

    ``score = sum over signals of factor * signal``, a linear ranking function trained
    listwise (Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach",
    ICML 2007: ListNet's top-one cross entropy; ``scripts/train_ranker.py``). Being linear,
    it still says what each signal gave.

    Args:
        signals: by name, float64 (n,).
        settings: the factors, for signals that the steps before it give (`RankSettings`
            refuses others).
    """
    return {
        name: settings.factors[name] * part
        for name, part in signals.items()
        if name in settings.factors
    }
