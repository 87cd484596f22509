from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec.rankers import (
    STEPS,
    Answers,
    ConversationPrior,
    CrossEncoder,
    Fusion,
    Importance,
    Learned,
    Neighbours,
    Pool,
    Question,
    RankSettings,
    Recency,
    Statement,
    Use,
    rank,
)
from tests.rankers.pools import (
    EVERYTHING,
    NAN,
    NOW,
    cross_by_seq,
    make_pool,
    pools,
    questions,
    settings,
    take,
)

ALONE = RankSettings(Fusion("convex", 0.3))
SOME = RankSettings(
    Fusion("convex", 0.3),
    (
        Neighbours(0.4, 100, 2),
        ConversationPrior(0.5, 3),
        Recency(0.1, 90),
        Importance(0.1),
        Use(0.1, 20),
    ),
)
ASKED = Question("What did Ana order?", of_role="user", asks_when=True, asks_now=True)


def test_by_hand() -> None:
    pool = make_pool(
        4,
        lexical=[8.0, NAN, 4.0, NAN],
        semantic=[NAN, 0.9, 0.5, NAN],
        conversation=[0, -1, 0, 0],
        turn=[5, -1, 9, 6],
        importance=[0.5, 1.0, 0.5, 0.5],
    )
    ranking = rank(pool, SOME, k=3, now=NOW)
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


def test_turns_around_give_what_the_fusion_gave_them() -> None:
    pool = make_pool(
        3,
        lexical=[3.0, 2.0, 1.0],
        conversation=[0, 0, 0],
        turn=[0, 1, 2],
        ends_with_question=[True, True, False],
    )
    how = RankSettings(
        Fusion("lexical"), (Neighbours(1.0, 100, 1), Answers(1.0, 100), ConversationPrior(1.0, 1))
    )
    signals = rank(pool, how, k=3, now=NOW).signals
    assert signals["lexical"].tolist() == [1, 0.5, 0]
    assert signals["neighbours"].tolist() == [0.5, 1, 0.5]
    # Not what the turn before has gained itself.
    assert signals["answers"].tolist() == [0, 1, 0.5]
    # The conversation's best turn is its best with both.
    assert signals["conversation"].tolist() == [2.5, 2.5, 2.5]


def test_only_steps_that_are_on_appear() -> None:
    assert list(rank(make_pool(2), ALONE, k=2, now=NOW).signals) == ["lexical", "semantic"]
    steps = [name for name in STEPS if name != "learned"]
    got = rank(make_pool(2), EVERYTHING, k=2, now=NOW, cross_score=lambda rows: rows * 1.0)
    assert list(got.signals) == ["lexical", "semantic", *steps]


@pytest.mark.parametrize("step", [name for name in STEPS if name != "learned"])
def test_a_step_that_is_off_has_no_signal(step: str) -> None:
    how = EVERYTHING.without(step)
    got = rank(make_pool(2), how, k=2, now=NOW, cross_score=lambda rows: rows * 1.0)
    assert step not in got.signals
    assert len(got.signals) == len(STEPS)


@pytest.mark.parametrize("step", [name for name in STEPS if name != "learned"])
def test_a_step_alone(step: str) -> None:
    alone = EVERYTHING.get(step)
    assert alone is not None
    how = ALONE.with_steps(alone)
    pool = make_pool(3, lexical=[3, 2, 1], vector=np.eye(3)[[0, 0, 1]])
    got = rank(pool, how, k=3, now=NOW, question=ASKED, cross_score=lambda rows: rows * 1.0)
    assert list(got.signals) == ["lexical", "semantic", step]
    np.testing.assert_allclose(sum(got.signals.values()), got.score)


def test_the_cross_encoder_reads_the_best_rows_only() -> None:
    pool = make_pool(4, lexical=[1.0, 4.0, 3.0, 2.0])
    how = RankSettings(Fusion("lexical"), (CrossEncoder("a-model", 5.0, best=2),))
    read: list[list[int]] = []

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        read.append(rows.tolist())
        return np.array([-7.0, 3.0], np.float32)

    got = rank(pool, how, k=4, now=NOW, cross_score=score)
    assert read == [[1, 2]]
    # The best of those that were read gains the weight, and the worst nothing.
    assert got.signals["cross_encoder"].tolist() == [0, 0, 5, 0]
    assert got.order.tolist() == [2, 1, 3, 0]


def test_without_a_cross_encoder_the_step_is_off() -> None:
    how = RankSettings(Fusion("lexical"), (CrossEncoder("a-model"),))
    assert list(rank(make_pool(2), how, k=2, now=NOW).signals) == ["lexical"]


def test_the_cross_encoder_is_not_asked_of_an_empty_pool() -> None:
    how = RankSettings(Fusion("lexical"), (CrossEncoder("a-model"),))

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        raise AssertionError("asked")

    assert rank(make_pool(0), how, k=2, now=NOW, cross_score=score).order.tolist() == []


def test_scores_that_are_no_numbers_gain_nothing() -> None:
    pool = make_pool(3, lexical=[3.0, 2.0, 1.0])
    how = RankSettings(Fusion("lexical"), (CrossEncoder("a-model", 1.0),))
    got = rank(pool, how, k=3, now=NOW, cross_score=lambda rows: np.array([NAN, np.inf, 1.0]))
    assert got.signals["cross_encoder"].tolist() == [0, 0, 1]


def test_newer_is_never_worse_even_below_zero() -> None:
    pool = make_pool(2, created_at=[0, NOW], question_share=[0.0, 0.0], seq=[1, 0])
    how = RankSettings(
        Fusion("lexical"), (Statement(0.25), Learned({"statement": -1.0}), Recency(0.5, 1))
    )
    assert rank(pool, how, k=2, now=NOW).order.tolist() == [1, 0]


def test_of_equal_scores_the_newer_row_is_first() -> None:
    pool = make_pool(3, seq=[4, 9, 2], lexical=[1.0, 1.0, 1.0])
    assert rank(pool, ALONE, k=3, now=NOW).order.tolist() == [1, 0, 2]


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("k", [0, 1, 10])
def test_no_row_or_one(n: int, k: int) -> None:
    pool = make_pool(n, lexical=[1.0] * n, vector=np.eye(1)[[0] * n].reshape(n, 1))
    got = rank(pool, EVERYTHING, k=k, now=NOW, question=ASKED, cross_score=lambda rows: rows * 1.0)
    assert got.order.tolist() == [0] * min(n, k)
    assert all(part.shape == (n,) for part in got.signals.values())
    assert got.score.shape == (n,)


def test_a_row_found_only_beside_a_good_one_can_pass_a_weak_one() -> None:
    pool = make_pool(
        3, lexical=[9.0, NAN, 1.0], conversation=[0, 0, 1], turn=[0, 1, 0], words=[5, 5, 5]
    )
    assert rank(pool, SOME, k=3, now=NOW).order.tolist() == [0, 1, 2]


def test_negative_k_is_refused() -> None:
    with pytest.raises(ValueError, match="k must not be negative"):
        rank(make_pool(1), ALONE, k=-1, now=NOW)


def test_arrays_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="turn"):
        make_pool(2, turn=[1])


@given(pools(), settings(), questions, st.integers(0, 15))
def test_signals_sum_to_the_score_and_nothing_is_nan(
    pool: Pool, how: RankSettings, question: Question, k: int
) -> None:
    ranking = rank(pool, how, k=k, now=NOW, question=question, cross_score=cross_by_seq(pool))
    assert ranking.score.dtype == np.float64
    assert np.isfinite(ranking.score).all()
    for part in ranking.signals.values():
        assert part.shape == (len(pool),)
        assert part.dtype == np.float64
        assert np.isfinite(part).all()
    total = np.zeros(len(pool)) + sum(ranking.signals.values())
    np.testing.assert_allclose(total, ranking.score, atol=1e-9, rtol=1e-9)
    # A row loses below 0 only where the settings say so.
    if not any(how.get(step) for step in ("learned", "diversity", "duplicates", "asked_before")):
        assert (ranking.score >= 0).all()


@given(pools(), settings(), questions, st.integers(0, 15))
def test_order_is_the_best_k(pool: Pool, how: RankSettings, question: Question, k: int) -> None:
    ranking = rank(pool, how, k=k, now=NOW, question=question, cross_score=cross_by_seq(pool))
    assert ranking.order.dtype == np.int64
    assert len(ranking.order) == len(set(ranking.order.tolist())) == min(k, len(pool))
    best = sorted(zip(ranking.score.tolist(), pool.seq.tolist(), strict=True), reverse=True)
    got = [(float(ranking.score[i]), int(pool.seq[i])) for i in ranking.order]
    assert got == best[:k]


@given(pools(), settings(), questions, st.randoms(use_true_random=False))
def test_the_order_of_the_pool_does_not_matter(
    pool: Pool, how: RankSettings, question: Question, dice: random.Random
) -> None:
    shuffled = list(range(len(pool)))
    dice.shuffle(shuffled)
    other = take(pool, np.array(shuffled, np.int64))

    def ranked(one: Pool) -> Any:
        return rank(
            one, how, k=len(pool), now=NOW, question=question, cross_score=cross_by_seq(one)
        )

    first, second = ranked(pool), ranked(other)
    np.testing.assert_allclose(second.score, first.score[shuffled], atol=1e-12, rtol=1e-12)
    # A sum's last bits depend on the order of its parts, so rows that are nearly equal may change
    # places.
    for one in (first, second):
        gaps = np.diff(np.sort(one.score))
        assume(not ((gaps > 0) & (gaps < 1e-9)).any())
    assert pool.seq[first.order].tolist() == other.seq[second.order].tolist()


@given(pools(), settings(learned=False), questions)
def test_more_hits_do_not_change_the_first(
    pool: Pool, how: RankSettings, question: Question
) -> None:
    def best(k: int) -> list[int]:
        cross = cross_by_seq(pool)
        got = rank(pool, how, k=k, now=NOW, question=question, cross_score=cross)
        return [int(i) for i in got.order]

    assert best(len(pool))[:3] == best(3)


@given(pools(), settings(), questions)
def test_the_pool_is_left_as_it_was(pool: Pool, how: RankSettings, question: Question) -> None:
    before = {
        field.name: np.copy(getattr(pool, field.name))
        for field in dataclasses.fields(pool)
        if isinstance(getattr(pool, field.name), np.ndarray)
    }
    rank(pool, how, k=5, now=NOW, question=question, cross_score=cross_by_seq(pool))
    for name, column in before.items():
        np.testing.assert_array_equal(getattr(pool, name), column)
