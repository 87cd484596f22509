"""Figures against values worked out by hand, and against a second reading of the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.retrieval.metrics import (
    DEPTH,
    FIGURES,
    figures,
    percentiles,
    ranks_of,
    session_ranks,
    update_figures,
)


def test_ranks() -> None:
    assert ranks_of(["b", "a", "c", "a"], ["a", "x", "c"]) == [2, 0, 3]
    assert ranks_of([], ["a"]) == [0]
    assert ranks_of(["a"], []) == []


def test_a_session_has_the_rank_of_its_best_turn() -> None:
    sessions = {"t1": "s1", "t2": "s1", "t3": "s2", "t4": None, "t5": "s3"}
    ranked = ["t4", "t2", "t1", "t3", "foreign"]
    assert session_ranks(ranked, sessions, ["s1", "s2", "s3"]) == [2, 4, 0]


def test_figures_by_hand() -> None:
    found = figures([[1], [2, 12], [0, 0, 0], [3, 1]])
    expected = {
        "recall@1": [1, 0, 0, 1 / 2],
        "recall@5": [1, 1 / 2, 0, 1],
        "recall@10": [1, 1 / 2, 0, 1],
        "recall@20": [1, 1, 0, 1],
        "any@5": [1, 1, 0, 1],
        "all@10": [1, 0, 0, 1],
        "ndcg@10": [
            1,
            (1 / math.log2(3)) / (1 + 1 / math.log2(3)),
            0,
            (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)),
        ],
        "mrr": [1, 1 / 2, 0, 1],
    }
    assert set(found) == set(FIGURES) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-9, err_msg=name)


def test_more_gold_than_ten_can_still_be_perfect_at_ten() -> None:
    found = figures([list(range(1, 13))])
    assert found["ndcg@10"][0] == pytest.approx(1)
    assert found["recall@10"][0] == pytest.approx(10 / 12)
    assert found["all@10"][0] == 0


def plain(ranks: list[int]) -> dict[str, float]:
    """The formulas once more, without the library."""
    size, found = len(ranks), sorted(rank for rank in ranks if rank)
    gain = sum(1 / math.log2(rank + 1) for rank in found if rank <= 10)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(size, 10) + 1))
    return {
        **{f"recall@{k}": sum(rank <= k for rank in found) / size for k in (1, 5, 10, 20)},
        "any@5": float(any(rank <= 5 for rank in found)),
        "all@10": float(sum(rank <= 10 for rank in found) == size),
        "ndcg@10": gain / ideal,
        "mrr": 1 / found[0] if found else 0.0,
    }


# Each question's gold: distinct ranks, and any number that was not found.
RANKS = st.builds(
    lambda found, missed: [*found, *[0] * missed],
    st.lists(st.integers(1, DEPTH), unique=True, max_size=DEPTH),
    st.integers(0, 5),
).filter(bool)


@given(st.lists(RANKS, min_size=1, max_size=8))
def test_the_library_agrees_with_the_formulas(ranks: list[list[int]]) -> None:
    found = figures(ranks)
    for place, each in enumerate(ranks):
        for name, value in plain(each).items():
            assert found[name][place] == pytest.approx(value, abs=1e-9), (name, each)


def test_a_question_without_gold_has_no_figures() -> None:
    with pytest.raises(ValueError, match="without gold"):
        figures([[1], []])


def test_updates_by_hand() -> None:
    gold = [[1], [3], [0], [7], [11, 2], [0]]
    older = [[2], [1], [4], [0], [5, 0], [0]]
    found = update_figures(gold, older)
    assert found["updates@5"].tolist() == [1, 0, 0, 0, 1, 0]
    assert found["updates@10"].tolist() == [1, 0, 0, 1, 1, 0]
    assert found["updates@20"].tolist() == [1, 0, 0, 1, 1, 0]


def test_percentiles_are_the_nearest_rank() -> None:
    assert percentiles([0.001 * value for value in range(1, 101)]) == {
        "p50_ms": 50.0,
        "p95_ms": 95.0,
    }
    assert percentiles([0.25]) == {"p50_ms": 250.0, "p95_ms": 250.0}
