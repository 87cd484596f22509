from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bruno_core.models import Message
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from bruno_memory_vec.rankers import Coverage, Pool
from tests.rankers.pools import added, make_pool, pools

HOW = Coverage(weight=2.0, before=0.8, after=0.6)
shares = st.floats(0, 1)


def gain(conversation: list[int], turn: list[int], matches: Any, weight: Any) -> list[float]:
    pool = make_pool(
        len(turn), conversation=conversation, turn=turn, matches=matches, term_weight=weight
    )
    return [round(float(value), 6) for value in added(HOW, pool)]


def test_by_hand() -> None:
    got = gain([0, 0, 0], [0, 1, 2], [[1, 0], [0, 1], [0, 0]], [1.0, 3.0])
    # The first turn has word one, and the next one word two: 1 + 3 * 0.6 of 4.
    # The second has word two, and the one before it word one: 0.8 + 3 of 4.
    # The third has none: 0.8**2 + 3 * 0.8 of 4.
    assert got == [1.4, 1.9, 1.52]


def test_two_turns_after_do_not_count_and_three_before_neither() -> None:
    assert gain([0, 0], [0, 2], [[0], [1]], [1.0]) == [0.0, 2.0]
    assert gain([0, 0], [0, 3], [[1], [0]], [1.0]) == [2.0, 0.0]


def test_the_best_of_the_window_counts_once() -> None:
    assert gain([0, 0, 0], [0, 1, 2], [[1], [0.9], [1]], [5.0]) == [2.0, 1.8, 2.0]


def test_other_conversations_and_rows_without_a_place_stand_alone() -> None:
    assert gain([0, 1], [0, 1], [[1], [0]], [1.0]) == [2.0, 0.0]
    assert gain([-1, -1], [0, 1], [[1], [0]], [1.0]) == [2.0, 0.0]
    assert gain([0, 0], [-1, 0], [[1], [0]], [1.0]) == [2.0, 0.0]


def test_of_two_rows_in_one_place_the_better_counts() -> None:
    assert gain([0, 0, 0], [0, 0, 1], [[0.5], [1], [0]], [1.0]) == [1.0, 2.0, 1.6]


def test_it_is_on_where_enough_rows_name_their_speaker() -> None:
    rows: dict[str, Any] = {"matches": [[1], [0.5]], "term_weight": [1.0], "speakers": ("Ana",)}
    chats = replace(HOW, named_speakers=0.5)
    assert added(chats, make_pool(2, **rows, speaker=[0, -1])).tolist() == [2.0, 1.0]
    assert added(chats, make_pool(2, **rows, speaker=[-1, -1])).tolist() == [0.0, 0.0]


async def test_a_recall_compares_words_where_people_chat_and_nowhere_else() -> None:
    async with open_memory("memory://") as memory:
        for user, said in (
            ("chat", "Ana: The hotel was near the harbour."),
            ("notes", "The hotel"),
        ):
            message = Message(role="user", content=said)
            await memory.store_message(message, f"{user}s", user_id=user)
        gained = {}
        for user in ("chat", "notes"):
            (hit,) = await memory.recall("Which hotel?", user_id=user)
            gained[user] = hit.signals["coverage"]
    assert gained == {"chat": pytest.approx(1.0), "notes": 0.0}


@pytest.mark.parametrize("weight", [[], [0.0], [0.0, 0.0]])
def test_without_a_word_that_counts(weight: list[float]) -> None:
    assert gain([0, 0], [0, 1], np.ones((2, len(weight))), weight) == [0.0, 0.0]


def test_without_matches() -> None:
    assert added(HOW, make_pool(2)).tolist() == [0.0, 0.0]


def test_an_empty_pool() -> None:
    assert gain([], [], np.zeros((0, 2)), [1.0, 1.0]) == []


@given(pools(), st.floats(0, 10), shares, shares)
def test_bounds(pool: Pool, weight: float, before: float, after: float) -> None:
    got = added(Coverage(weight, before, after), pool)
    assert got.shape == (len(pool),)
    assert got.dtype == np.float64
    assert (got >= 0).all()
    assert (got <= weight * (1 + 1e-9)).all()


@given(pools(), shares, shares, shares, shares)
def test_a_wider_window_never_takes(
    pool: Pool, one: float, two: float, three: float, four: float
) -> None:
    (less, more), (narrow, wide) = sorted([one, two]), sorted([three, four])
    small = added(Coverage(1.0, less, narrow), pool)
    large = added(Coverage(1.0, more, wide), pool)
    assert (large >= small - 1e-9).all()


@given(pools())
def test_without_a_window_only_its_own_words_count(pool: Pool) -> None:
    got = added(Coverage(1.0, 0.0, 0.0), pool)
    if pool.matches is None or pool.term_weight is None or not pool.term_weight.sum():
        assert (got == 0).all()
        return
    own = pool.matches.astype(np.float64) @ pool.term_weight / pool.term_weight.sum()
    np.testing.assert_allclose(got, own, rtol=1e-9, atol=1e-9)
