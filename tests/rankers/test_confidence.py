"""The confidence that the first hits hold an answer, and what it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bruno_memory_vec.rankers import (
    Evidence,
    Fusion,
    Pool,
    Question,
    RankSettings,
    rank,
    read_evidence,
)
from bruno_memory_vec.rankers.confidence import BIAS, BY_LIKENESS, FIRST, WEIGHTS

from .pools import EVERYTHING, NAN, NOW, make_pool, pools, questions

ONE = {"weight": [1.0, 3.0], "known": [True, True]}


def read(pool: Pool, text: str = "", counts: list[bool] | None = None, **terms: Any) -> Evidence:
    given = {**ONE, **terms}
    ranking = rank(
        pool, RankSettings(Fusion("convex", 0.3)), k=FIRST, now=NOW, question=Question(text)
    )
    first = len(ranking.order[:FIRST])
    return read_evidence(
        pool,
        ranking,
        Question(text),
        weight=np.array(given["weight"], np.float64),
        known=np.array(given["known"], bool),
        counts=np.ones(first, bool) if counts is None else np.array(counts),
    )


def test_the_formula() -> None:
    found = Evidence(0.5, 0.75, 0.25, -0.5, 0.9, by_words=True)
    line = 3 * 0.5 + 2.5 * 0.75 + 4 * 0.25 + 6 * -0.5 - 3.5
    assert found.confidence() == pytest.approx(1 / (1 + np.exp(-line)))
    assert {**WEIGHTS, "bias": BIAS} == {
        "coverage": 3,
        "known": 2.5,
        "lead": 4,
        "whose": 6,
        "bias": -3.5,
    }
    # Without words the likeness alone decides.
    likely, less = (Evidence(likeness=value).confidence() for value in (0.9, 0.1))
    assert 0 < less < likely < 1
    assert np.log(likely / (1 - likely)) - np.log(less / (1 - less)) == pytest.approx(
        0.8 * BY_LIKENESS
    )


def test_coverage_is_a_share_of_the_most_that_the_terms_can_come_to() -> None:
    found = read(make_pool(3, lexical=[4.4, 2.2, NAN]))
    assert found.by_words
    assert found.coverage == pytest.approx(4.4 / (2.2 * 4))
    assert found.lead == pytest.approx((4.4 - 2.2) / (2.2 * 4))
    assert read(make_pool(1, lexical=[500.0])).coverage == 1


def test_the_lead_is_over_the_tenth() -> None:
    scores = [8.8, *np.linspace(8.0, 1.0, 14).tolist()]
    tenth = sorted(scores)[-10]
    assert read(make_pool(15, lexical=scores)).lead == pytest.approx((8.8 - tenth) / 8.8)


def test_known_is_a_share_by_weight() -> None:
    pool = make_pool(1, lexical=[2.0])
    assert read(pool, known=[False, True]).known == pytest.approx(0.75)
    assert read(pool, known=[False, False]).known == 0


def test_a_passage_may_cover_more_than_its_text() -> None:
    pool = make_pool(2, lexical=[1.0, NAN], passages=[[NAN, NAN], [6.6, 0.5]])
    assert read(pool).coverage == pytest.approx(6.6 / 8.8)


def test_what_only_asks_does_not_count() -> None:
    assert read(make_pool(2, lexical=[8.0, 2.0], question_share=[1.0, 0.2])).coverage == (
        pytest.approx(2 / 8.8)
    )
    assert read(make_pool(2, lexical=[8.0, 2.0], asked_before=[True, False])).coverage == (
        pytest.approx(2 / 8.8)
    )


def test_what_does_not_count_is_no_evidence() -> None:
    pool = make_pool(2, lexical=[8.0, 2.0], semantic=[0.9, 0.3])
    all_of_them, one = read(pool), read(pool, counts=[False, True])
    assert (all_of_them.coverage, all_of_them.likeness) == pytest.approx((8 / 8.8, 0.9))
    assert (one.coverage, one.likeness) == pytest.approx((2 / 8.8, 0.3))


def test_whose_row_it_is() -> None:
    def whose(lexical: list[float], text: str, speaker: tuple[int, ...] = (0, 1, 1)) -> float:
        pool = make_pool(3, lexical=lexical, speakers=["Ana", "Bo"], speaker=speaker)
        return read(pool, text).whose

    assert whose([3.0, 1.0, 0.0], "What did Ana order?") > 0
    assert whose([1.0, 3.0, 0.0], "What did Ana order?") < 0
    assert whose([1.0, 3.0, 0.0], "What did Bo order?") > 0
    assert whose([1.0, 3.0, 0.0], "What did they order?") == 0
    # Names in notes of one's own are no speakers of a talk.
    assert whose([1.0, 3.0, 0.0], "What did Ana order?", (0, -1, -1)) == 0


def test_without_terms_the_likeness_decides() -> None:
    found = read(make_pool(2, semantic=[0.6, 0.2]), weight=[], known=[])
    assert not found.by_words
    assert found.likeness == pytest.approx(0.6)
    assert (found.coverage, found.known, found.lead) == (0, 0, 0)


@given(pools(), questions)
def test_every_value_is_bounded(pool: Pool, question: Question) -> None:
    settings = EVERYTHING.without("cross_encoder", "learned")
    ranking = rank(pool, settings, k=20, now=NOW, question=question)
    for weight in ([], [0.0], [2.0, 0.5]):
        found = read_evidence(
            pool,
            ranking,
            question,
            weight=np.array(weight, np.float64),
            known=np.array([True, False][: len(weight)], bool),
            counts=np.ones(len(ranking.order[:FIRST]), bool),
        )
        assert all(0 <= value <= 1 for value in (*found[:3], found.likeness))
        assert -1 <= found.whose <= 1
        assert 0 < found.confidence() < 1
