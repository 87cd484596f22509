"""Of two statements about the same thing the newer stands just above the older."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Fusion, Pool, Question, RankSettings, Update, rank
from bruno_memory_vec.rankers.pool import ASSISTANT, OTHER_ROLE, USER
from bruno_memory_vec.rankers.question import read_question
from tests.rankers.pools import DAY, NOW, added, make_pool, pools

A, B = [1.0, 0.0], [0.0, 1.0]
NEAR_A, NEAR_B = [0.8, 0.6], [0.6, 0.8]
STEP = Update(of=3, among=30, near=0.5, least=1.0)
NOWADAYS = Question("Where do I live?", of_role="user", asks_now=True, asks_present=True)


def two(**columns: Any) -> Pool:
    """An old statement, the newer one, and a row that is like neither."""
    given: dict[str, Any] = {
        "role": [USER] * 3,
        "semantic": [0.9, 0.9, 0.1],
        "vector": [A, NEAR_A, B],
        "created_at": [NOW - 9 * DAY, NOW, NOW - 20 * DAY],
        "tells_change": [False, True, False],
        **columns,
    }
    return make_pool(3, **given)


SCORE = np.array([1.0, 0.6, 0.2])


def test_the_newer_stands_just_above_the_older() -> None:
    gain = added(STEP, two(), SCORE, question=NOWADAYS)
    assert gain.tolist() == pytest.approx([0, 0.4, 0], abs=1e-6)
    assert gain[1] > 0.4


@pytest.mark.parametrize(
    "columns",
    [
        {"created_at": [NOW - DAY + 1, NOW, NOW]},
        {"created_at": [NOW, NOW - 9 * DAY, NOW]},
        {"role": [USER, ASSISTANT, USER]},
        {"role": [OTHER_ROLE, USER, USER]},
        {"question_share": [0.0, 0.9, 0.0]},
        {"semantic": [0.9, 0.3, 0.1], "tells_change": [False] * 3},
        {"vector": None},
    ],
    ids=["the same day", "older", "another's", "no statement", "asks", "about else", "no vectors"],
)
def test_what_is_not_likely_to_replace_it(columns: dict[str, Any]) -> None:
    assert added(STEP, two(**columns), SCORE, question=NOWADAYS).tolist() == [0, 0, 0]


def test_a_far_worse_row_replaces_nothing() -> None:
    assert added(STEP, two(), np.array([1.0, 0.49, 0.2]), question=NOWADAYS).tolist() == [0, 0, 0]


def test_it_is_asked_how_things_stand() -> None:
    past = Question("Where did I live?", of_role="user")
    assert added(STEP, two(), SCORE, question=past).tolist() == [0, 0, 0]


def test_a_question_about_a_named_time_is_not_about_how_things_stand() -> None:
    november = read_question("Which way do I take home in November?", NOW)
    assert november.asks_present
    assert november.periods
    assert added(STEP, two(), SCORE, question=november).tolist() == [0, 0, 0]


def test_where_people_chat_it_can_be_off() -> None:
    chat = two(speaker=[0, 0, -1], speakers=("Ana",))
    gains = {
        share: added(replace(STEP, unless_named=share), chat, SCORE, question=NOWADAYS)
        for share in (0.0, 0.6, 0.7)
    }
    assert gains[0.6].tolist() == [0, 0, 0]
    assert gains[0.0].tolist() == gains[0.7].tolist() == pytest.approx([0, 0.4, 0], abs=1e-6)


def test_what_is_more_alike_replaces_it_rather() -> None:
    pool = two(
        vector=[A, NEAR_A, NEAR_B],
        semantic=[0.9, 0.9, 0.9],
        created_at=[NOW - 9 * DAY, NOW, NOW],
        tells_change=[False] * 3,
    )
    lax = Update(of=1, among=30, near=0.5, least=0.5)
    score = np.array([1.0, 0.6, 0.6])
    assert added(lax, pool, score, question=NOWADAYS)[1:] == pytest.approx([0.4, 0], abs=1e-6)


def test_only_the_best_are_replaced() -> None:
    lead = make_pool(
        4,
        role=[USER] * 4,
        semantic=[0.9, 0.9, 0.9, 0.1],
        vector=[B, A, NEAR_A, B],
        created_at=[NOW, NOW - 9 * DAY, NOW, NOW],
        tells_change=[False, False, True, False],
    )
    score = np.array([2.0, 1.0, 0.9, 0.1])
    for of, moved in ((1, False), (2, True)):
        gain = added(Update(of, 30, 0.5, 1.0), lead, score, question=NOWADAYS)
        assert bool(gain[2] > 0) is moved


@given(pools(), st.integers(1, 5), st.integers(2, 20), st.floats(0, 1), st.floats(0, 2))
def test_nothing_falls_and_nothing_rises_above_the_best(
    pool: Pool, of: int, among: int, near: float, least: float
) -> None:
    step = Update(of, among, near, least)
    score = np.linspace(2, 1, len(pool))
    gain = added(step, pool, score, question=NOWADAYS)
    assert (gain >= 0).all()
    assert (gain > 0).sum() <= of
    if len(pool):
        assert (score + gain).max() <= score.max() * (1 + 1e-6)
    how = RankSettings(Fusion("convex", 0.3), (step,))
    assert np.isfinite(rank(pool, how, k=5, now=NOW, question=NOWADAYS).score).all()


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("Where do I live?", True),
        ("Who does Mum's hair?", True),
        ("What strength is the patch?", True),
        ("What's the key safe number?", True),
        ("Who gives me most of my work?", True),
        ("Where did I live?", False),
        ("Which engine was it built on?", False),
        ("Which car did I buy in the end?", True),
        ("What did Ana order?", False),
        ("tea", False),
        ("我住在哪里？", False),
        ("I have a question about my flat. " * 5 + "Where do I live?", False),
    ],
)
def test_questions_of_how_things_stand(text: str, *, does: bool) -> None:
    assert read_question(text, NOW).asks_present is does
