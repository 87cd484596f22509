from __future__ import annotations

import math

import numpy as np

from bruno_memory_vec.rankers import Neighbours
from bruno_memory_vec.rankers.neighbours import neighbour_gain

SETTINGS = Neighbours(weight=0.5, fade_words=100, distance=2)


def gain(
    score: list[float],
    conversation: list[int],
    turn: list[int],
    words: list[int] | None = None,
    settings: Neighbours = SETTINGS,
) -> list[float]:
    got = neighbour_gain(
        np.array(score, np.float64),
        np.array(conversation, np.int64),
        np.array(turn, np.int64),
        np.array(words or [0] * len(score), np.int64),
        settings,
    )
    return [round(float(value), 12) for value in got]


def test_distance_two_counts_half() -> None:
    # Turns 0..3 of one conversation, only turn 0 has a score of its own.
    assert gain([1, 0, 0, 0], [7, 7, 7, 7], [0, 1, 2, 3]) == [0.0, 0.5, 0.25, 0.0]


def test_both_directions_add_up() -> None:
    assert gain([1, 0, 0.6], [0, 0, 0], [4, 5, 6]) == [0.15, 0.8, 0.25]


def test_longer_turns_gain_less() -> None:
    got = gain([1, 0], [0, 0], [0, 1], [0, 200])
    assert got[1] == round(0.5 * math.exp(-2), 12)


def test_the_length_of_the_giving_turn_does_not_matter() -> None:
    assert gain([1, 0], [0, 0], [0, 1], [900, 0])[1] == 0.5


def test_other_conversations_do_not_count() -> None:
    assert gain([1, 1], [0, 1], [0, 1]) == [0.0, 0.0]
    # The last turn of one conversation and the first of the next are not adjacent.
    assert gain([1, 1], [0, 1], [9, 0]) == [0.0, 0.0]


def test_rows_without_a_place_neither_give_nor_take() -> None:
    assert gain([1, 1, 1], [-1, 0, -1], [3, -1, 4]) == [0.0, 0.0, 0.0]


def test_gaps_stay_gaps() -> None:
    assert gain([1, 1, 1], [0, 0, 0], [0, 3, 2**62]) == [0.0, 0.0, 0.0]


def test_of_two_rows_in_one_place_the_best_counts() -> None:
    assert gain([0.2, 0.8, 0], [0, 0, 0], [1, 1, 2]) == [0.0, 0.0, 0.4]


def test_nothing() -> None:
    assert gain([], [], []) == []
