from __future__ import annotations

import math

import pytest

from bruno_memory_vec.rankers import Opening
from tests.rankers.pools import added, make_pool


def test_the_first_turns_gain_and_rows_without_a_turn_do_not() -> None:
    got = added(Opening(weight=0.3, fade_turns=2.0), make_pool(4, turn=[0, 2, 200, -1]))
    assert got == pytest.approx([0.3, 0.3 / math.e, 0.0, 0.0])
    assert got[3] == 0
