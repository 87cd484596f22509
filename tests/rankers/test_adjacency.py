from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers.adjacency import Adjacency
from tests.rankers.pools import INT64

LAST = 2**63 - 1
near_turns = st.integers(-1, 8) | st.integers(LAST - 8, LAST)
rows = st.lists(
    st.tuples(st.integers(-1, 2) | st.just(LAST), near_turns | INT64, st.integers(1, 9)),
    max_size=20,
)


def look(
    places: list[tuple[int, int]], value: list[float], offset: int, distance: int = 2
) -> tuple[list[int], list[float]]:
    conversation = np.array([place[0] for place in places], np.int64)
    turn = np.array([place[1] for place in places], np.int64)
    around = Adjacency(conversation, turn, distance)
    got = around.at(np.array(value, np.float64), offset)
    assert got.dtype == np.float64
    return around.placed.tolist(), got.tolist()


def test_the_turn_before_and_after() -> None:
    places = [(0, 4), (0, 6), (0, 5), (1, 5)]
    assert look(places, [1, 2, 3, 4], 1) == ([0, 1, 2, 3], [3, 0, 2, 0])
    assert look(places, [1, 2, 3, 4], -1) == ([0, 1, 2, 3], [0, 3, 1, 0])
    assert look(places, [1, 2, 3, 4], 2) == ([0, 1, 2, 3], [2, 0, 0, 0])


def test_several_turns_around_each_count_by_their_shares() -> None:
    conversation, turn = np.array([0, 0, 0, 1], np.int64), np.array([4, 6, 5, 5], np.int64)
    around = Adjacency(conversation, turn, 2)
    total = around.total(np.array([1.0, 2.0, 3.0, 4.0]), [(-1, 1.0), (1, 0.5), (-2, 0.25)])
    assert total.tolist() == [0.5 * 3, 3 + 0.25 * 1, 1 + 0.5 * 2, 0]


def test_rows_without_a_place_are_left_out() -> None:
    assert look([(-1, 0), (0, -1), (0, 1), (0, 2)], [9, 9, 1, 2], -1) == ([2, 3], [0, 1])
    assert look([(-1, 0), (0, -1)], [9, 9], 1) == ([], [])
    assert look([], [], 1) == ([], [])


def test_of_two_rows_in_one_place_the_largest_counts() -> None:
    assert look([(0, 1), (0, 1), (0, 2)], [-3, -1, 0], -1) == ([0, 1, 2], [0, 0, -1])


@pytest.mark.parametrize("distance", [1, 2, 10])
def test_conversations_do_not_touch(distance: int) -> None:
    places = [(0, 0), (0, LAST), (1, 0), (1, LAST), (2, 0)]
    for offset in range(1, distance + 1):
        assert look(places, [1] * 5, offset, distance)[1] == [0] * 5
        assert look(places, [1] * 5, -offset, distance)[1] == [0] * 5


@given(rows, st.integers(1, 5), st.data())
def test_as_a_dictionary_has_it(
    drawn: list[tuple[int, int, int]], distance: int, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(1, distance)) * data.draw(st.sampled_from([-1, 1]))
    held: dict[tuple[int, int], int] = {}
    for conversation, turn, value in drawn:
        held[conversation, turn] = max(value, held.get((conversation, turn), 0))
    placed = [i for i, (c, t, _) in enumerate(drawn) if c >= 0 and t >= 0]
    expected = [held.get((drawn[i][0], drawn[i][1] + offset), 0) for i in placed]
    # Python's integers do not end at int64; no turn stands past it or before 0.
    expected = [
        v if drawn[i][1] + offset >= 0 else 0 for i, v in zip(placed, expected, strict=True)
    ]
    got = look([(c, t) for c, t, _ in drawn], [v for _, _, v in drawn], offset, distance)
    assert got == (placed, expected)
