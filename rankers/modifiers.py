"""Bounded nudges by what is known of a row besides its text.

Each function gives a factor for the score, float64 (n,), within ``strength`` of
1. They are kept small on purpose: an unbounded decay would make old facts
impossible to find, which is what a memory is for.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .step_settings import Importance, Recency, Use

#: The importance that changes nothing: the middle of its range, which messages get by
#: default. bruno-core's default for memories is 1.0, so those are raised by ``strength``.
NEUTRAL_IMPORTANCE = 0.5

_MICROS_A_DAY = 86_400_000_000


def recency_factor(
    created_at: NDArray[np.int64], now: int, settings: Recency
) -> NDArray[np.float64]:
    """``1 + strength * (2 * 2**(-age / half_life) - 1)``, from 1 + strength to 1 - strength.

    Exponential decay of recency as in Park et al., "Generative Agents", UIST 2023,
    but bounded below. At an age of one half-life the factor is 1. A row from the
    future counts as new.

    Args:
        created_at: int64 (n,), microseconds since the epoch.
        now: microseconds since the epoch.
        settings: strength and half-life.
    """
    age = np.maximum(float(now) - created_at.astype(np.float64), 0.0) / _MICROS_A_DAY
    return 1.0 + settings.strength * (2.0 * np.exp2(-age / settings.half_life_days) - 1.0)


def importance_factor(
    importance: NDArray[np.floating], settings: Importance
) -> NDArray[np.float64]:
    """``1 + strength * (importance - 0.5) / 0.5``, from 1 - strength to 1 + strength.

    Linear in the number the caller gave, as in Park et al., "Generative Agents",
    UIST 2023, around :data:`NEUTRAL_IMPORTANCE`. NaN is neutral; numbers outside
    0..1 are cut.

    Args:
        importance: float (n,), 0..1.
        settings: strength.
    """
    given = np.where(np.isnan(importance), NEUTRAL_IMPORTANCE, importance).astype(np.float64)
    return 1.0 + settings.strength * (given.clip(0.0, 1.0) - NEUTRAL_IMPORTANCE) / 0.5


def use_factor(access_count: NDArray[np.int64], settings: Use) -> NDArray[np.float64]:
    """``1 + strength * min(1, log1p(count) / log1p(saturation))``, from 1 to 1 + strength.

    Logarithmic in the number of uses, after the base-level learning of ACT-R
    (Anderson and Schooler, "Reflections of the Environment in Memory", 1991), and
    capped, so that what is recalled often does not crowd out the rest for good.

    Args:
        access_count: int64 (n,).
        settings: strength and saturation.
    """
    count = np.maximum(access_count, 0).astype(np.float64)
    share = np.log1p(count) / math.log1p(settings.saturation)
    factor: NDArray[np.float64] = 1.0 + settings.strength * np.minimum(1.0, share)
    return factor
