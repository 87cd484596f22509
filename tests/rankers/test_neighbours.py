from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Answers, Neighbours
from tests.rankers.pools import added, make_pool

SETTINGS = Neighbours(weight=0.5, fade_words=100, distance=2)
ANSWERS = Answers(weight=0.5, fade_words=100)
LAST = 2**63 - 1


def gain(
    score: list[float],
    conversation: list[int],
    turn: list[int],
    words: list[int] | None = None,
    settings: Neighbours = SETTINGS,
) -> list[float]:
    n = len(score)
    pool = make_pool(n, conversation=conversation, turn=turn, words=words or [0] * n)
    got = added(settings, pool, np.array(score, np.float64))
    return [round(float(value), 12) for value in got]


def answered(
    score: list[float],
    conversation: list[int],
    turn: list[int],
    asks: list[bool],
    words: list[int] | None = None,
    settings: Answers = ANSWERS,
) -> list[float]:
    n = len(score)
    pool = make_pool(
        n,
        conversation=conversation,
        turn=turn,
        words=words or [0] * n,
        ends_with_question=asks,
    )
    got = added(settings, pool, np.array(score, np.float64))
    return [round(float(value), 12) for value in got]


def test_distance_two_counts_half() -> None:
    # Turns 0..3 of one conversation, only turn 0 has a score of its own.
    assert gain([1, 0, 0, 0], [7, 7, 7, 7], [0, 1, 2, 3]) == [0.0, 0.5, 0.25, 0.0]


def test_both_directions_add_up() -> None:
    assert gain([1, 0, 0.6], [0, 0, 0], [4, 5, 6]) == [0.15, 0.8, 0.25]


def test_decay_is_a_power_of_the_distance() -> None:
    how = Neighbours(weight=1.0, fade_words=100, distance=4, decay=0.1)
    got = gain([1, 0, 0, 0, 0], [0] * 5, [0, 1, 2, 3, 4], settings=how)
    assert got == [0.0, 1.0, 0.1, 0.01, 0.001]


def test_without_decay_all_count_alike_and_with_none_the_nearest_only() -> None:
    alike = Neighbours(weight=1.0, fade_words=100, distance=3, decay=1)
    assert gain([1, 0, 0, 0], [0] * 4, [0, 1, 2, 3], settings=alike) == [0, 1, 1, 1]
    nearest = Neighbours(weight=1.0, fade_words=100, distance=3, decay=0)
    assert gain([1, 0, 0, 0], [0] * 4, [0, 1, 2, 3], settings=nearest) == [0, 1, 0, 0]


def test_longer_turns_gain_less() -> None:
    got = gain([1, 0], [0, 0], [0, 1], [0, 200])
    assert got[1] == round(0.5 * math.exp(-2), 12)


def test_the_length_of_the_giving_turn_does_not_matter() -> None:
    assert gain([1, 0], [0, 0], [0, 1], [900, 0])[1] == 0.5


def test_a_length_below_zero_is_none() -> None:
    assert gain([1, 0], [0, 0], [0, 1], [0, -200])[1] == 0.5
    assert answered([1, 0], [0, 0], [0, 1], [True, False], [0, -200])[1] == 0.5


def test_other_conversations_do_not_count() -> None:
    assert gain([1, 1], [0, 1], [0, 1]) == [0.0, 0.0]
    # The last turn of one conversation and the first of the next are not adjacent.
    assert gain([1, 1], [0, 1], [9, 0]) == [0.0, 0.0]


def test_rows_without_a_place_neither_give_nor_take() -> None:
    assert gain([1, 1, 1], [-1, 0, -1], [3, -1, 4]) == [0.0, 0.0, 0.0]


def test_gaps_stay_gaps() -> None:
    assert gain([1, 1, 1], [0, 0, 0], [0, 3, LAST]) == [0.0, 0.0, 0.0]
    assert gain([1, 1, 0], [0, 0, 0], [0, LAST - 1, LAST]) == [0.0, 0.0, 0.5]


def test_of_two_rows_in_one_place_the_best_counts() -> None:
    assert gain([0.2, 0.8, 0], [0, 0, 0], [1, 1, 2]) == [0.0, 0.0, 0.4]


def test_nothing() -> None:
    assert gain([], [], []) == []
    assert answered([], [], [], []) == []


def test_one_row_gains_nothing() -> None:
    assert gain([1], [0], [0]) == [0.0]
    assert answered([1], [0], [0], [True]) == [0.0]


def test_the_turn_after_a_question_gains() -> None:
    got = answered([0.8, 0.1, 0.6, 0], [0] * 4, [0, 1, 2, 3], [True, False, False, True])
    assert got == [0.0, 0.4, 0.0, 0.0]


def test_a_long_answer_gains_less() -> None:
    got = answered([1, 0], [0, 0], [4, 5], [True, False], [900, 50])
    assert got == [0.0, round(0.5 * math.exp(-0.5), 12)]


def test_a_question_gains_from_a_question() -> None:
    assert answered([1, 0.5], [0, 0], [0, 1], [True, True]) == [0.0, 0.5]


def test_only_the_very_next_turn_answers() -> None:
    assert answered([1, 0], [0, 0], [0, 2], [True, False]) == [0.0, 0.0]
    assert answered([1, 0], [0, 1], [0, 1], [True, False]) == [0.0, 0.0]
    assert answered([1, 0], [-1, -1], [0, 1], [True, False]) == [0.0, 0.0]
    assert answered([1, 0], [0, 0], [-1, 0], [True, False]) == [0.0, 0.0]


def test_of_two_rows_in_one_place_the_best_that_asks_counts() -> None:
    got = answered([0.9, 0.2, 0], [0, 0, 0], [0, 0, 1], [False, True, False])
    assert got == [0.0, 0.0, 0.1]


places = st.lists(
    st.tuples(
        st.floats(0, 2),
        st.integers(-1, 2),
        st.integers(-1, 5) | st.integers(LAST - 2, LAST),
        st.integers(0, 300) | st.just(LAST),
        st.booleans(),
    ),
    max_size=15,
)


@given(places, st.floats(0, 10), st.floats(1, 1e9), st.integers(1, 4), st.floats(0, 1))
def test_as_the_formula_has_it(
    rows: list[tuple[float, int, int, int, bool]],
    weight: float,
    fade: float,
    distance: int,
    decay: float,
) -> None:
    def at(place: tuple[int, int], *, asking: bool = False) -> float:
        held = [s for s, c, t, _, asks in rows if (c, t) == place and (asks or not asking)]
        return max(held, default=0.0) if min(place) >= 0 else 0.0

    near, after = [], []
    for _, conversation, turn, words, _ in rows:
        share = weight * math.exp(-words / fade) if min(conversation, turn) >= 0 else 0.0
        total = sum(
            decay ** (d - 1) * (at((conversation, turn - d)) + at((conversation, turn + d)))
            for d in range(1, distance + 1)
        )
        near.append(share * total)
        after.append(share * at((conversation, turn - 1), asking=True))
    score, conversation_, turn_, words_, asks_ = ([row[i] for row in rows] for i in range(5))
    pool = make_pool(
        len(rows),
        conversation=conversation_,
        turn=turn_,
        words=words_,
        ends_with_question=asks_,
    )
    fused = np.array(score, np.float64)
    got = added(Neighbours(weight, fade, distance, decay), pool, fused)
    np.testing.assert_allclose(got, near, rtol=1e-9, atol=1e-12)
    got = added(Answers(weight, fade), pool, fused)
    np.testing.assert_allclose(got, after, rtol=1e-9, atol=1e-12)
