from __future__ import annotations

import numpy as np
import pytest

from bruno_memory_vec.rankers import Day
from tests.rankers.pools import DAY, NOW, added, make_pool

MIDNIGHT = NOW - NOW % DAY


def gain(score: list[float], created_at: list[int], best: int = 3) -> list[float]:
    pool = make_pool(len(score), created_at=created_at)
    got = added(Day(weight=0.3, best=best), pool, np.array(score, np.float64))
    return [float(value) for value in got]


def test_each_day_has_the_mean_of_its_three_best() -> None:
    times = [MIDNIGHT, MIDNIGHT + 5, MIDNIGHT + DAY - 1, MIDNIGHT + 7, MIDNIGHT + DAY]
    assert gain([0.9, 0.1, 0.6, 0.3, 0.6], times) == pytest.approx([0.18] * 4 + [0.06])


def test_a_row_before_1970_has_its_day() -> None:
    assert gain([0.6, 0.3], [-1, 0], best=1) == pytest.approx([0.18, 0.09])
