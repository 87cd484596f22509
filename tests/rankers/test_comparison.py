from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec.rankers import (
    Diversity,
    Duplicates,
    Feedback,
    Fusion,
    Pool,
    RankSettings,
    rank,
)
from tests.rankers.pools import AXES, DAY, NOW, added, make_pool

Floats = NDArray[np.float64]
A, B, C = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]
shares = st.floats(0, 1)


@st.composite
def compared(draw: st.DrawFn, max_size: int = 12) -> tuple[Pool, Floats]:
    """Rows whose cosines are exact, and their scores."""
    n = draw(st.integers(0, max_size))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    pool = make_pool(
        n,
        seq=draw(st.lists(st.integers(0, 2**63 - 1), min_size=n, max_size=n, unique=True)),
        vector=AXES[column(st.integers(0, len(AXES) - 1))].reshape(n, 3),
        created_at=column(st.integers(NOW - 4 * DAY, NOW) | st.sampled_from([0, NOW])),
    )
    score = column(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-1, 3))
    return pool, np.array(score, np.float64)


def best_first(pool: Pool, score: Floats) -> list[int]:
    return sorted(range(len(pool)), key=lambda i: (-score[i], -pool.seq[i]))


def cosines(pool: Pool) -> Floats:
    assert pool.vector is not None
    return pool.vector.astype(np.float64) @ pool.vector.T.astype(np.float64)


# feedback


def test_feedback_by_the_best_row() -> None:
    pool = make_pool(3, vector=[A, B, C])
    got = added(Feedback(weight=0.5, best=1), pool, np.array([1.0, 0.2, 0.5]))
    assert got == pytest.approx([0.5, 0.0, 0.3], abs=1e-6)


def test_feedback_weighs_the_best_rows_by_their_scores() -> None:
    pool = make_pool(3, vector=[A, B, C])
    got = added(Feedback(weight=1.0, best=2), pool, np.array([1.0, 0.2, 0.5]))
    # The centroid is A + C / 2 = (1.3, 0.4); the cosines go as 1.3, 0.4 and 1.1.
    assert got == pytest.approx([1.0, 0.0, 0.7 / 0.9], abs=1e-6)


def test_feedback_takes_no_row_below_zero_for_relevant() -> None:
    pool = make_pool(3, vector=[A, B, C])
    got = added(Feedback(weight=1.0, best=3), pool, np.array([1.0, -5.0, -9.0]))
    assert got == pytest.approx([1.0, 0.0, 0.6], abs=1e-6)


@given(compared(), st.floats(0, 10), st.integers(1, 20))
def test_feedback_is_bounded(drawn: tuple[Pool, Floats], weight: float, best: int) -> None:
    pool, score = drawn
    got = added(Feedback(weight, best), pool, score)
    assert got.shape == score.shape
    assert (got >= 0).all()
    assert (got <= weight).all()


# duplicates


def test_a_duplicate_loses_its_score() -> None:
    pool = make_pool(4, vector=[A, C, A, B])
    got = added(Duplicates(0.99), pool, np.array([0.5, 0.9, 1.0, 0.1]))
    # The lowest score is 0.1, so a folded row comes to -0.9.
    assert got == pytest.approx([-1.4, 0, 0, 0])


def test_of_equal_scores_the_later_row_stays() -> None:
    pool = make_pool(2, seq=[7, 3], vector=[A, A])
    assert added(Duplicates(0.99), pool, np.array([1.0, 1.0])).tolist() == [0, -1]


def test_what_is_like_a_folded_row_only_stays() -> None:
    # 0.8 between neighbours, 0.28 between the first and the last.
    pool = make_pool(3, vector=[A, [0.8, 0.6], [0.28, 0.96]])
    got = added(Duplicates(0.79), pool, np.array([3.0, 2.0, 1.0]))
    assert got.tolist() == [0, -2, 0]


def test_rows_without_a_known_word_are_not_alike() -> None:
    pool = make_pool(2, vector=[[0.0, 0.0], [0.0, 0.0]])
    assert added(Duplicates(0.5), pool, np.array([1.0, 1.0])).tolist() == [0, 0]


@given(compared(), st.floats(0.01, 1))
def test_no_two_kept_rows_are_alike(drawn: tuple[Pool, Floats], similarity: float) -> None:
    pool, score = drawn
    loss = added(Duplicates(similarity), pool, score)
    alike = cosines(pool) >= similarity
    kept: list[int] = []
    for i in best_first(pool, score):
        folded = any(alike[i, j] for j in kept)
        assert loss[i] == (score.min() - 1 - score[i] if folded else 0.0)
        if not folded:
            kept.append(i)
    shown = best_first(pool, score + loss)
    assert shown[: len(kept)] == kept


def test_a_folded_row_comes_after_all_others() -> None:
    pool = make_pool(4, lexical=[3, 2, 1, 1], vector=[A, A, B, C], seq=[0, 9, 2, 3])
    how = RankSettings(Fusion("lexical"), (Duplicates(0.99),))
    assert rank(pool, how, k=4, now=NOW).order.tolist() == [0, 3, 2, 1]


def test_copies_are_folded_at_a_similarity_of_one() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pool = make_pool(100, vector=np.concatenate([rows, rows]))
    loss = added(Duplicates(1.0), pool, np.ones(100))
    assert (loss < 0).sum() == 50


# diversity


def test_diversity_by_hand() -> None:
    pool = make_pool(4, vector=[A, A, C, B])
    got = added(Diversity(weight=0.5), pool, np.array([1.0, 0.9, 0.7, 0.2]), k=4)
    # The first row is chosen as it is; like it are the second (1), the third (0.6) and not the
    # fourth, which comes last and is like the third (0.8).
    assert got == pytest.approx([0, -0.5, -0.3, -0.4], abs=1e-6)


def test_what_is_not_chosen_loses_as_the_next_would() -> None:
    pool = make_pool(3, vector=[A, A, B])
    got = added(Diversity(weight=1.0), pool, np.array([1.0, 0.9, 0.1]), k=1)
    assert got == pytest.approx([0, -1.0, 0], abs=1e-6)


def test_nothing_is_chosen() -> None:
    pool = make_pool(2, vector=[A, A])
    assert added(Diversity(1.0), pool, np.array([1.0, 0.9]), k=0).tolist() == [0, 0]


def test_opposites_and_scores_below_zero_lose_nothing() -> None:
    pool = make_pool(2, vector=[A, [-1.0, 0.0]])
    assert added(Diversity(1.0), pool, np.array([1.0, 0.9]), k=2).tolist() == [0, 0]
    same = make_pool(2, vector=[A, A])
    assert added(Diversity(1.0), same, np.array([-1.0, -2.0]), k=2).tolist() == [0, 0]


@given(compared(), shares, st.integers(0, 14))
def test_diversity_chooses_as_mmr_does(drawn: tuple[Pool, Floats], weight: float, k: int) -> None:
    pool, score = drawn
    alike = cosines(pool)
    unit = weight * max(score.max(initial=0.0), 0.0)
    chosen: list[int] = []

    def loss(i: int) -> float:
        return float(-unit * max([0.0, *(alike[i, j] for j in chosen)]))

    losses = [0.0] * len(pool)
    for _ in range(min(k, len(pool))):
        rest = [i for i in range(len(pool)) if i not in chosen]
        best = min(rest, key=lambda i: (-(score[i] + loss(i)), -pool.seq[i]))
        losses[best] = loss(best)
        chosen.append(best)
    for i in range(len(pool)):
        if i not in chosen:
            losses[i] = loss(i)
    got = added(Diversity(weight), pool, score, k=k)
    np.testing.assert_allclose(got, losses, atol=1e-12)
    # What is shown is what was chosen, in that order.
    assert best_first(pool, score + got)[: min(k, len(pool))] == chosen


# all of them


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("vectors", [True, False])
def test_few_rows_or_no_vectors(n: int, vectors: bool) -> None:
    pool = make_pool(n, vector=np.tile(np.eye(2)[0], (n, 1)) if vectors else None)
    score = np.ones(n)
    feedback = added(Feedback(1.0), pool, score)
    # Rows that are all alike all gain.
    assert feedback.tolist() == [float(vectors)] * n
    folded = [-1.0, 0.0] if n == 2 and vectors else [0.0] * n
    assert added(Duplicates(0.9), pool, score).tolist() == folded
    like = [-1.0, 0.0] if n == 2 and vectors else [0.0] * n
    assert added(Diversity(1.0), pool, score, k=n).tolist() == like


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_unit_vectors_of_any_kind_give_numbers(seed: int, n: int) -> None:
    dice = np.random.default_rng(seed)
    rows = dice.normal(size=(n, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pool = make_pool(n, vector=rows, created_at=dice.integers(0, 9, n) * DAY)
    score = dice.normal(size=n)
    lost = [
        added(Duplicates(0.3), pool, score),
        added(Diversity(0.7), pool, score, k=5),
    ]
    for loss in lost:
        assert np.isfinite(loss).all()
        assert (loss <= 0).all()
    assert (added(Feedback(1.0), pool, score) <= 1).all()
    # A cosine is at most 1, and so is what a row loses, in units of the best score.
    assert (lost[1] >= -0.7 * max(score.max(), 0) - 1e-6).all()
    assert math.isclose(lost[1].max(), 0, abs_tol=1e-12)
