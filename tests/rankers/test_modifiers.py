from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Importance, Recency, Use
from tests.rankers.pools import DAY, NAN, NOW

strengths = st.floats(0, 0.5)
anything = st.integers(-(2**62), 2**62)


def test_recency() -> None:
    created = np.array([NOW, NOW - 90 * DAY, NOW - 180 * DAY, NOW - 90_000 * DAY, NOW + DAY])
    factor = Recency(strength=0.1, half_life_days=90).factor(created, NOW)
    assert factor == pytest.approx([1.1, 1.0, 0.95, 0.9, 1.1])


def test_importance() -> None:
    given_ = np.array([1.0, 0.5, 0.0, 0.75, NAN, 7.0, -7.0], np.float32)
    factor = Importance(strength=0.2).factor(given_)
    assert factor == pytest.approx([1.2, 1.0, 0.8, 1.1, 1.0, 1.2, 0.8])


def test_use() -> None:
    count = np.array([0, 3, 15, 10_000, -4])
    factor = Use(strength=0.2, saturation=15).factor(count)
    # log1p(3) / log1p(15) = log 4 / log 16
    assert factor == pytest.approx([1.0, 1.1, 1.2, 1.2, 1.0])


@given(anything, anything, strengths, st.floats(1e-3, 1e6))
def test_recency_is_bounded(created: int, now: int, strength: float, half_life: float) -> None:
    (factor,) = Recency(strength, half_life).factor(np.array([created]), now)
    assert 1 - strength - 1e-12 <= factor <= 1 + strength + 1e-12


@given(st.floats(width=32), strengths)
def test_importance_is_bounded(importance: float, strength: float) -> None:
    (factor,) = Importance(strength).factor(np.array([importance], np.float32))
    assert 1 - strength - 1e-12 <= factor <= 1 + strength + 1e-12


@given(anything, strengths, st.integers(1, 2**31))
def test_use_is_bounded(count: int, strength: float, saturation: int) -> None:
    (factor,) = Use(strength, saturation).factor(np.array([count]))
    assert 1 <= factor <= 1 + strength + 1e-12
