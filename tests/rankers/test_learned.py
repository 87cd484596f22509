from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from bruno_memory_vec.rankers import (
    Ask,
    Feedback,
    Fusion,
    FusionMethod,
    Learned,
    Length,
    Question,
    RankSettings,
    Recency,
    rank,
)
from tests.rankers.pools import EVERYTHING, NOW, gain_steps, make_pool

SIGNALS = {"lexical": np.array([1.0, 0.0]), "length": np.array([0.5, 0.25])}


def test_each_signal_times_its_factor() -> None:
    got = Learned({"length": -2.0, "lexical": 3.0}).weigh(SIGNALS)
    assert {name: part.tolist() for name, part in got.items()} == {
        "lexical": [3.0, 0.0],
        "length": [-1.0, -0.5],
    }
    # As the steps run, and not as the factors stand.
    assert list(got) == ["lexical", "length"]


def test_a_signal_without_a_factor_is_left_out() -> None:
    assert list(Learned({"length": 0.0}).weigh(SIGNALS)) == ["length"]


def test_the_signals_are_left_as_they_were() -> None:
    Learned({"lexical": 5.0}).weigh(SIGNALS)
    assert SIGNALS["lexical"].tolist() == [1.0, 0.0]


def test_what_it_adds_is_the_difference_of_the_sums() -> None:
    score = np.array([1.5, 0.25])
    ask = Ask(Question(""), NOW, 2, score, SIGNALS)
    got = Learned({"length": -2.0, "lexical": 3.0})(make_pool(2), score, ask)
    assert got.tolist() == [0.5, -0.75]
    assert score.tolist() == [1.5, 0.25]


def test_in_a_ranking() -> None:
    pool = make_pool(2, lexical=[2.0, 1.0], words=[0, 10])
    how = RankSettings(
        Fusion("lexical"),
        (Length(weight=1.0, half_words=10), Learned({"lexical": 0.25, "length": 1.0})),
    )
    ranking = rank(pool, how, k=2, now=NOW)
    assert {name: part.tolist() for name, part in ranking.signals.items()} == {
        "lexical": [0.25, 0.0],
        "length": [0.0, 0.5],
    }
    assert ranking.order.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("fusion", "factors", "missing"),
    [
        ("convex", {"lexical": 1.0, "length": 1.0}, "length"),
        ("lexical", {"semantic": 1.0}, "semantic"),
        ("semantic", {"lexical": 1.0}, "lexical"),
        ("convex", {"speling": 1.0}, "speling"),
        # These are added after it.
        ("convex", {"recency": 1.0}, "recency"),
        ("convex", {"feedback": 1.0}, "feedback"),
        ("convex", {"learned": 1.0}, "learned"),
    ],
)
def test_a_factor_for_what_no_step_before_it_gives(
    fusion: FusionMethod, factors: dict[str, float], missing: str
) -> None:
    with pytest.raises(ValueError, match=f"'{missing}', which no step before it gives"):
        RankSettings(Fusion(fusion), (Feedback(1.0), Recency(0.1, 90), Learned(factors)))


@pytest.mark.parametrize("fusion", get_args(FusionMethod))
def test_every_signal_before_it_may_have_a_factor(fusion: FusionMethod) -> None:
    gains = tuple(step for step in EVERYTHING.steps if step.name in gain_steps())
    pool = make_pool(2, lexical=[1.0, 2.0])
    signals = rank(pool, RankSettings(Fusion(fusion), gains), k=2, now=NOW).signals
    learned = Learned(dict.fromkeys(signals, 2.0))
    how = RankSettings(Fusion(fusion), (*gains, learned))
    got = rank(pool, how, k=2, now=NOW).signals
    assert list(got) == list(signals)
    for name, part in signals.items():
        np.testing.assert_array_equal(got[name], 2 * part)
