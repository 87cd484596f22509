from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import ConversationPrior
from tests.rankers.pools import added, make_pool


def gain(
    score: list[float], conversation: list[int], best: int = 3, weight: float = 0.4
) -> list[float]:
    got = added(
        ConversationPrior(weight=weight, best=best),
        make_pool(len(score), conversation=conversation),
        np.array(score, np.float64),
    )
    return [float(value) for value in got]


def test_mean_of_the_three_best() -> None:
    assert gain([0.9, 0.1, 0.6, 0.3], [5, 5, 5, 5]) == pytest.approx([0.4 * 1.8 / 3] * 4)


def test_each_conversation_has_its_own() -> None:
    got = gain([0.9, 0.6, 0.3, 0.3, 0.3], [2, 9, 2, 2, 9])
    assert got == pytest.approx([0.2, 0.12, 0.2, 0.2, 0.12])


def test_what_was_not_proposed_counts_as_zero() -> None:
    assert gain([0.9], [0]) == pytest.approx([0.12])
    assert gain([0.9], [0], best=1) == pytest.approx([0.36])


def test_a_row_without_a_conversation_stands_for_itself() -> None:
    assert gain([0.9, 0.5], [-1, -1]) == pytest.approx([0.36, 0.2])


def test_nothing() -> None:
    assert gain([], []) == []


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(-1, 3) | st.just(2**63 - 1)), max_size=20),
    st.integers(1, 6),
    st.floats(0, 10),
)
def test_as_the_formula_has_it(rows: list[tuple[float, int]], best: int, weight: float) -> None:
    expected = []
    for score, conversation in rows:
        others = sorted((s for s, c in rows if c == conversation), reverse=True)
        expected.append(weight * (score if conversation < 0 else sum(others[:best]) / best))
    got = gain([s for s, _ in rows], [c for _, c in rows], best, weight)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
