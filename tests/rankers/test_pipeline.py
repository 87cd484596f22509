from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Fusion, Pool, RankSettings, rank
from tests.rankers.pools import EVERYTHING, NAN, NOW, make_pool, pools, settings, take

ALONE = RankSettings(Fusion("convex", 0.3))


def test_by_hand() -> None:
    pool = make_pool(
        4,
        lexical=[8.0, NAN, 4.0, NAN],
        semantic=[NAN, 0.9, 0.5, NAN],
        conversation=[0, -1, 0, 0],
        turn=[5, -1, 9, 6],
        importance=[0.5, 1.0, 0.5, 0.5],
    )
    ranking = rank(pool, EVERYTHING, k=3, now=NOW)
    # Words 0.7 and meaning 0.3; turn 6 stands next to turn 5, and gains 0.4 of it.
    np.testing.assert_allclose(ranking.signals["lexical"], [0.7, 0, 0, 0])
    np.testing.assert_allclose(ranking.signals["semantic"], [0, 0.3, 0, 0])
    np.testing.assert_allclose(ranking.signals["neighbours"], [0, 0, 0, 0.28])
    mean = (0.7 + 0.28) / 3
    np.testing.assert_allclose(
        ranking.signals["conversation"], [mean / 2, 0.15, mean / 2, mean / 2]
    )
    # All are new: +10 % of what they had.
    before = np.array([0.7 + mean / 2, 0.45, mean / 2, 0.28 + mean / 2])
    np.testing.assert_allclose(ranking.signals["recency"], 0.1 * before)
    np.testing.assert_allclose(ranking.signals["importance"], [0, 0.1 * 1.1 * 0.45, 0, 0])
    assert ranking.signals["use"].tolist() == [0, 0, 0, 0]
    assert ranking.order.tolist() == [0, 1, 3]


def test_only_steps_that_are_on_appear() -> None:
    assert list(rank(make_pool(2), ALONE, k=2, now=NOW).signals) == ["lexical", "semantic"]
    assert list(rank(make_pool(2), EVERYTHING, k=2, now=NOW).signals) == [
        "lexical",
        "semantic",
        "neighbours",
        "conversation",
        "recency",
        "importance",
        "use",
    ]


def test_of_equal_scores_the_newer_row_is_first() -> None:
    pool = make_pool(3, seq=[4, 9, 2], lexical=[1.0, 1.0, 1.0])
    assert rank(pool, ALONE, k=3, now=NOW).order.tolist() == [1, 0, 2]


def test_empty_pool() -> None:
    ranking = rank(make_pool(0), EVERYTHING, k=10, now=NOW)
    assert ranking.order.tolist() == []
    assert all(len(part) == 0 for part in ranking.signals.values())


def test_a_row_found_only_beside_a_good_one_can_pass_a_weak_one() -> None:
    pool = make_pool(
        3, lexical=[9.0, NAN, 1.0], conversation=[0, 0, 1], turn=[0, 1, 0], words=[5, 5, 5]
    )
    assert rank(pool, EVERYTHING, k=3, now=NOW).order.tolist() == [0, 1, 2]


def test_negative_k_is_refused() -> None:
    with pytest.raises(ValueError, match="k must not be negative"):
        rank(make_pool(1), ALONE, k=-1, now=NOW)


def test_arrays_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="turn"):
        make_pool(2, turn=[1])


@given(pools(), settings(), st.integers(0, 40))
def test_signals_sum_to_the_score_and_nothing_is_nan(pool: Pool, how: RankSettings, k: int) -> None:
    ranking = rank(pool, how, k=k, now=NOW)
    assert np.isfinite(ranking.score).all()
    for part in ranking.signals.values():
        assert part.shape == (len(pool),)
        assert part.dtype == np.float64
        assert np.isfinite(part).all()
    np.testing.assert_allclose(sum(ranking.signals.values()), ranking.score, atol=1e-6)
    assert (ranking.score >= 0).all()


@given(pools(), settings(), st.integers(0, 40))
def test_order_is_the_best_k(pool: Pool, how: RankSettings, k: int) -> None:
    ranking = rank(pool, how, k=k, now=NOW)
    assert ranking.order.dtype == np.int64
    assert len(ranking.order) == len(set(ranking.order.tolist())) == min(k, len(pool))
    best = sorted(zip(ranking.score.tolist(), pool.seq.tolist(), strict=True), reverse=True)
    got = [(float(ranking.score[i]), int(pool.seq[i])) for i in ranking.order]
    assert got == best[:k]


@given(pools(), settings(), st.randoms(use_true_random=False))
def test_the_order_of_the_pool_does_not_matter(pool: Pool, how: RankSettings, dice: object) -> None:
    shuffled = list(range(len(pool)))
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    other = take(pool, np.array(shuffled, np.int64))
    first = rank(pool, how, k=len(pool), now=NOW)
    second = rank(other, how, k=len(pool), now=NOW)
    np.testing.assert_allclose(second.score, first.score[shuffled], atol=1e-12)
    assert pool.seq[first.order].tolist() == other.seq[second.order].tolist()


@given(pools(), settings())
def test_the_pool_is_left_as_it_was(pool: Pool, how: RankSettings) -> None:
    before = take(pool, np.arange(len(pool)))
    rank(pool, how, k=5, now=NOW)
    for name in ("seq", "lexical", "semantic", "importance", "turn"):
        np.testing.assert_array_equal(getattr(pool, name), getattr(before, name))
