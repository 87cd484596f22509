from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec.rankers import (
    Answers,
    Current,
    Length,
    Pool,
    Question,
    Speaker,
    Statement,
    TimeMention,
    TimeNamed,
)
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.rankers.time_expressions import Period
from tests.rankers.pools import DAY, INT64, NAN, NOW, added, make_pool, pools, questions

weights = st.floats(0, 10)
days = st.floats(0.01, 1e5)
TODAY = Question("", periods=(Period(NOW, NOW + DAY),))
NOW_ASKED = Question("where do i work?", of_role="user", asks_now=True)


# length


def test_length_by_hand() -> None:
    pool = make_pool(4, words=[0, 10, 30, 2**63 - 1])
    got = added(Length(weight=0.4, half_words=10), pool)
    assert got == pytest.approx([0, 0.2, 0.3, 0.4])


def test_a_length_below_zero_is_none() -> None:
    assert added(Length(1.0, 10), make_pool(1, words=[-5])).tolist() == [0]


@given(st.lists(st.integers(0, 2**63 - 1), max_size=9), weights, st.floats(1, 1e6))
def test_longer_texts_gain_no_less(words: list[int], weight: float, half: float) -> None:
    got = added(Length(weight, half), make_pool(len(words), words=sorted(words)))
    assert (np.diff(got) >= -1e-12).all()
    assert ((got >= 0) & (got <= weight + 1e-9)).all()


@pytest.mark.parametrize("step", [Length(0.4, 10, 0.5), Statement(0.4, 0.5), Answers(0.4, 10, 0.5)])
def test_it_is_on_where_enough_rows_name_their_speaker(step: Any) -> None:
    """Two turns, of which the first asks, and two notes beside them."""
    rows: dict[str, Any] = {
        "words": [5, 5, 5, 5],
        "turn": [0, 1, -1, -1],
        "conversation": [7, 7, -1, -1],
        "ends_with_question": [True, False, False, False],
        "lexical": [1.0, 0.0, 0.5, 0.5],
    }
    chat = make_pool(4, **rows, speaker=[0, 1, -1, -1], speakers=("Ana", "Ben"))
    notes = make_pool(4, **rows, speaker=[0, -1, -1, -1], speakers=("Ana",))
    score = np.array([1.0, 0.0, 0.5, 0.5])
    assert added(step, chat, score).any()
    assert not added(step, notes, score).any()
    always = replace(step, named_speakers=0.0)
    assert added(always, notes, score).tolist() == added(step, chat, score).tolist()


# statement


def test_statement_by_hand() -> None:
    pool = make_pool(5, question_share=[0.0, 1.0, 0.25, NAN, 7.0])
    got = added(Statement(weight=0.4), pool)
    assert got == pytest.approx([0.4, 0.0, 0.3, 0.4, 0.0])


@given(st.floats(width=32), weights)
def test_any_share_gives_a_bounded_gain(share: float, weight: float) -> None:
    (got,) = added(Statement(weight), make_pool(1, question_share=[share]))
    assert 0 <= got <= weight


# time mentioned


def test_a_time_helps_where_one_is_asked_for() -> None:
    pool = make_pool(2, names_time=[True, False])
    asked = added(TimeMention(0.3), pool, question=Question("", asks_when=True))
    assert asked.tolist() == [0.3, 0.0]
    assert added(TimeMention(0.3), pool, question=Question("")).tolist() == [0.0, 0.0]


# time named


def test_time_named_by_hand() -> None:
    ages = [0.0, 0.5, 1.0, 2.0, -1.0]
    pool = make_pool(5, created_at=[NOW + int(age * DAY) for age in ages])
    got = added(TimeNamed(weight=0.5, after_days=3.5, before_days=2.0), pool, question=TODAY)
    # After it the gain falls by e in 3.5 days and half of the day itself.
    late, early = math.exp(-1 / 4), math.exp(-1 / 2)
    assert got == pytest.approx([0.5, 0.5, 0.5, 0.5 * late, 0.5 * early])


def test_a_long_period_is_talked_of_for_longer() -> None:
    pool = make_pool(1, created_at=[NOW + 10 * DAY])
    month = Question("", periods=(Period(NOW - 30 * DAY, NOW),))
    day = Question("", periods=(Period(NOW - DAY, NOW),))
    how = TimeNamed(1.0)
    assert added(how, pool, question=month)[0] > added(how, pool, question=day)[0]


def test_the_nearest_period_counts() -> None:
    pool = make_pool(1, created_at=[NOW])
    one, other = Period(NOW + 9 * DAY, NOW + 10 * DAY), Period(NOW, NOW + 1)
    how = TimeNamed(0.7)
    assert added(how, pool, question=Question("", periods=(one, other)))[0] == 0.7
    assert 0 < added(how, pool, question=Question("", periods=(one,)))[0] < 0.7


def test_without_a_period_nothing_is_gained() -> None:
    assert added(TimeNamed(1.0), make_pool(2), question=Question("")).tolist() == [0, 0]


@given(st.lists(INT64, max_size=9), weights, days, days)
def test_farther_from_the_time_gains_no_more(
    created: list[int], weight: float, after: float, before: float
) -> None:
    how = TimeNamed(weight, after, before)
    late = sorted(max(one, NOW) for one in created)
    early = sorted((min(one, NOW) for one in created), reverse=True)
    for side in (late, early):
        got = added(how, make_pool(len(side), created_at=side), question=TODAY)
        assert (np.diff(got) <= 1e-12).all()


# speaker


def speakers(question: Question, **columns: Any) -> list[float]:
    n = len(next(iter(columns.values())))
    columns.setdefault("speakers", ("Ana", "Bo Li"))
    got = added(Speaker(weight=0.4), make_pool(n, **columns), question=question)
    return [float(value) for value in got]


def test_the_speaker_who_is_named_gains() -> None:
    asked = Question("What did Ana order?")
    assert speakers(asked, speaker=[0, 1, -1]) == [0.4, 0.0, 0.2]


def test_a_part_of_the_name_is_enough() -> None:
    assert speakers(Question("what does li think?"), speaker=[0, 1, -1]) == [0.0, 0.4, 0.2]


@pytest.mark.parametrize(
    "text", ["What did she order?", "What did Ana and Bo order?", "", "banana"]
)
def test_nobody_named_or_everybody_changes_nothing(text: str) -> None:
    assert speakers(Question(text), speaker=[0, 1, -1]) == [0.0, 0.0, 0.0]


def test_the_name_says_more_than_the_pronouns() -> None:
    asked = Question("What did Ana tell me?", of_role="user")
    assert speakers(asked, speaker=[0, 1], role=[ASSISTANT, USER]) == [0.4, 0.0]


@pytest.mark.parametrize(
    ("of_role", "expected"),
    [
        ("user", [0.4, 0.0, 0.2, 0.4]),
        ("assistant", [0.0, 0.4, 0.2, 0.2]),
        (None, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_the_role_that_the_pronouns_ask_for_gains(of_role: Any, expected: list[float]) -> None:
    roles = [USER, ASSISTANT, OTHER_ROLE, NO_ROLE]
    assert speakers(Question("", of_role=of_role), role=roles) == expected


def test_a_pool_without_a_speaker() -> None:
    asked = Question("What did Ana order?", of_role="user")
    assert speakers(asked, role=[USER, ASSISTANT], speakers=()) == [0.4, 0.0]


# current


def test_current_by_hand() -> None:
    pool = make_pool(
        4,
        created_at=[NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY, NOW],
        tells_change=[True, False, True, True],
        question_share=[0.0, 0.0, 0.5, NAN],
    )
    got = added(Current(1.0, 0.5, 4), pool, np.array([2.0, 1.5, 1.25, 1.0]), question=NOW_ASKED)
    # By age 0, 1/3, 2/3, 1; by score 1, sqrt(1/2), sqrt(1/4), 0.
    expected = [0.0, math.sqrt(0.5) / 3, 0.5 * 0.5 * (2 / 3) * 1.5, 0.0]
    assert got == pytest.approx(expected)


def test_the_newest_and_best_row_gains_the_weight() -> None:
    pool = make_pool(3, created_at=[NOW - DAY, NOW, NOW - 2 * DAY])
    got = added(Current(0.7, 0.5, 30), pool, np.array([0.0, 1.0, 0.5]), question=NOW_ASKED)
    assert got == pytest.approx([0.0, 0.7, 0.0])


def test_rows_of_one_time_share_the_middle_of_their_places() -> None:
    pool = make_pool(4, created_at=[NOW, NOW - DAY, NOW, NOW])
    got = added(Current(1.0, 0.0, 30), pool, np.array([1.0, 1.0, 1.0, 0.0]), question=NOW_ASKED)
    # Of the places 0 to 3 the three newest have 1, 2 and 3.
    assert got == pytest.approx([2 / 3, 0.0, 2 / 3, 0.0])


def test_only_the_user_tells_how_their_own_things_stand() -> None:
    roles = [NO_ROLE, USER, NO_ROLE, USER, ASSISTANT, OTHER_ROLE]
    pool = make_pool(6, role=roles, created_at=[NOW - DAY, NOW - DAY, NOW, NOW, NOW, NOW])
    score = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    got = added(Current(1.0, 1.0, 30), pool, score, question=NOW_ASKED)
    assert (got > 0).tolist() == [False, False, True, True, False, False]


def test_below_the_rank_nothing_is_gained() -> None:
    pool = make_pool(4, created_at=[NOW - DAY, NOW, NOW, NOW])
    got = added(Current(1.0, 0.0, 3), pool, np.array([4.0, 3.0, 2.0, 1.0]), question=NOW_ASKED)
    assert got[1] > 0
    assert got[2:].tolist() == [0, 0]


def test_rows_of_one_day_are_equally_new() -> None:
    pool = make_pool(3, created_at=[DAY, DAY + 1, 2 * DAY - 1])
    got = added(Current(1.0, 0.0, 15), pool, np.ones(3), question=NOW_ASKED)
    assert got.tolist() == pytest.approx([0.5, 0.5, 0.5])


def test_in_a_small_memory_the_newer_of_two_gains() -> None:
    pool = make_pool(2, created_at=[NOW - DAY, NOW])
    got = added(Current(1.0, 0.0, 15), pool, np.array([1.0, 0.64]), question=NOW_ASKED)
    assert got.tolist() == pytest.approx([0.0, 0.8])


@pytest.mark.parametrize(
    ("question", "score", "created"),
    [
        (Question("where did i work?", of_role="user"), [1.0, 0.5], [NOW - DAY, NOW]),
        (NOW_ASKED, [0.0, 0.0], [NOW - DAY, NOW]),
        (NOW_ASKED, [1.0], [NOW]),
        (NOW_ASKED, [], []),
    ],
)
def test_no_row_is_newer_for_this_question(
    question: Question, score: list[float], created: list[int]
) -> None:
    pool = make_pool(len(score), created_at=created)
    got = added(Current(1.0, 1.0, 5), pool, np.array(score, np.float64), question=question)
    assert got.tolist() == [0.0] * len(score)


@given(pools(), st.integers(0, 2**32 - 1), weights, weights, st.integers(2, 40))
def test_current_is_bounded(
    pool: Pool, seed: int, weight: float, change: float, among: int
) -> None:
    score = np.random.default_rng(seed).normal(size=len(pool)).round(1)
    got = added(Current(weight, change, among), pool, score, question=NOW_ASKED)
    assert got.shape == (len(pool),)
    assert (got >= 0).all()
    assert (got <= (weight + change * pool.tells_change) * (1 + 1e-9)).all()
    assert (got[(pool.role == ASSISTANT) | (pool.role == OTHER_ROLE)] == 0).all()


@given(
    st.lists(st.integers(-100_000, 100_000), min_size=2, max_size=9, unique=True),
    st.floats(0.1, 10),
)
def test_among_equally_good_rows_the_newer_gains_more(days: list[int], weight: float) -> None:
    n = len(days)
    created = [day * DAY for day in sorted(days)]
    pool = make_pool(n + 1, created_at=[*created, min(created)])
    score = np.array([1.0] * n + [0.0])
    got = added(Current(weight, 0.0, 40), pool, score, question=NOW_ASKED)[:n]
    assert (np.diff(got) > 0).all()


# all of them


@given(pools(), questions, weights, days, days)
def test_gains_are_bounded(
    pool: Pool, question: Question, weight: float, after: float, before: float
) -> None:
    got: list[NDArray[np.float64]] = [
        added(Length(weight, after + 1), pool),
        added(Statement(weight), pool),
        added(TimeMention(weight), pool, question=question),
        added(TimeNamed(weight, after, before), pool, question=question),
        added(Speaker(weight), pool, question=question),
    ]
    for gain in got:
        assert gain.shape == (len(pool),)
        assert gain.dtype == np.float64
        assert ((gain >= 0) & (gain <= weight)).all()
