"""Intervals and p-values: by hand where that can be done, and the same in every run."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from benchmarks.retrieval.significance import SEED, interval, paired_p

RANDOM = np.random.default_rng(7)
VALUES = RANDOM.random(60)
GROUPS = [f"g{place % 6}" for place in range(60)]


def test_an_interval_is_the_same_in_every_run_and_holds_the_mean() -> None:
    low, high = interval(VALUES, GROUPS)
    assert (low, high) == interval(VALUES, GROUPS)
    assert low < VALUES.mean() < high
    assert interval(VALUES, GROUPS, seed=SEED + 1) != (low, high)


def test_an_interval_does_not_hang_on_the_order_of_questions() -> None:
    order = RANDOM.permutation(60)
    shuffled = interval(VALUES[order], [GROUPS[place] for place in order])
    assert shuffled == pytest.approx(interval(VALUES, GROUPS))


def test_an_interval_is_over_groups_not_questions() -> None:
    # Two groups, each all right or all wrong: the mean may be anything, however many questions.
    values = np.array([1.0] * 500 + [0.0] * 500)
    assert interval(values, ["a"] * 500 + ["b"] * 500) == (0.0, 1.0)
    low, high = interval(values, list(range(1000)))
    assert 0.45 < low < high < 0.55


def test_a_group_counts_by_its_questions() -> None:
    # Every resample is all of one value: then so is the interval.
    assert interval(np.ones(5), ["a", "a", "a", "b", "c"]) == (1.0, 1.0)


def test_one_group_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval(np.ones(3), ["a"] * 3))


def exact_p(differences: list[float]) -> float:
    observed = abs(sum(differences))
    ways = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(way >= observed - 1e-12 for way in ways) / len(ways)


def test_p_by_hand() -> None:
    first = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    second = first + np.array([0.2, 0.1, 0.3, 0.1, 0.2])
    # All five rise: only the two permutations with one sign are as extreme.
    assert paired_p(first, second, list("abcde")) == pytest.approx(2 / 32)
    assert exact_p((second - first).tolist()) == pytest.approx(2 / 32)


def test_p_is_exact_for_few_groups() -> None:
    first, second = RANDOM.random(60), RANDOM.random(60) + 0.1
    sums = [
        float(sum((second - first)[place] for place in range(60) if GROUPS[place] == group))
        for group in sorted(set(GROUPS))
    ]
    assert paired_p(first, second, GROUPS) == pytest.approx(exact_p(sums))


def test_p_of_many_questions_is_drawn_the_same_in_every_run() -> None:
    first = RANDOM.random(200)
    second = first + RANDOM.normal(0.0, 0.1, 200)
    once = paired_p(first, second, range(200))
    assert once == paired_p(first, second, range(200))
    assert paired_p(first, first + 0.05, range(200)) < 0.001


def test_p_without_a_difference_is_one() -> None:
    assert paired_p(VALUES, VALUES, GROUPS) == 1.0
    assert paired_p(np.zeros(3), np.ones(3), ["a"] * 3) == 1.0
