"""Seams: a long pause, another topic; found in the vectors that are stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.conversations.boundaries import (
    contrasts,
    depths,
    segments_of,
    similarities,
    smoothed,
    topic_seams,
)
from bruno_memory_vec.errors import InvalidInputError
from tests.conversations.test_activity import NOW
from tests.durability.support import message


def around(*sizes: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows around one direction after the other."""
    random = np.random.default_rng(seed)
    centres = np.eye(8, dtype=np.float32)
    parts = [
        centres[number] + random.normal(0, 0.2, (size, 8)).astype(np.float32)
        for number, size in enumerate(sizes)
    ]
    return np.concatenate(parts)


def found(vectors: NDArray[np.float32], **settings: Any) -> list[int]:
    times = [NOW] * len(vectors)
    turns = list(range(len(vectors)))
    return [one.from_turn for one in segments_of(turns, times, vectors, **settings)][1:]


def test_another_topic() -> None:
    assert found(around(20, 15, 25)) == [20, 35]
    assert found(around(20, 15, 25), topic=None) == []
    assert found(around(60), topic=4) == []
    # Of turns whose vectors are all the same, or nothing, none is another topic.
    assert found(np.ones((30, 4), np.float32)) == []
    assert found(np.zeros((30, 4), np.float32)) == []
    assert found(around(1, 1, 1)) == [], "too few to tell"


def test_pauses() -> None:
    times = [NOW + timedelta(minutes=minutes) for minutes in (0, 5, 90, 95, 94, 300)]
    segments = segments_of(
        [0, 1, 4, 5, 6, 9], times, np.ones((6, 2), np.float32), gap=timedelta(hours=1)
    )
    assert [(one.from_turn, one.to_turn, one.messages) for one in segments] == [
        (0, 1, 2),
        (4, 6, 3),
        (9, 9, 1),
    ]
    assert [one.gap for one in segments] == [False, True, True]
    assert not any(one.topic for one in segments)
    assert [one.pause for one in segments] == [
        None,
        timedelta(minutes=85),
        timedelta(minutes=206),
    ]
    assert segments[1].since == times[2]
    assert segments[1].until == times[4]
    assert segments_of([], [], np.zeros((0, 2), np.float32)) == []
    (one,) = segments_of([3], [NOW], np.ones((1, 2), np.float32))
    assert (one.from_turn, one.to_turn, one.pause, one.contrast) == (3, 3, None, None)


def test_similarity_and_depth() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(similarities(vectors, 1), [1, -1, 1], atol=1e-6)
    np.testing.assert_allclose(depths(np.array([1, -1, 1.0])), [0, 4, 0])
    # A peak is as far as the similarity does not fall on the way to it.
    np.testing.assert_allclose(depths(np.array([3, 1, 2, 0, 1, 5.0])), [0, 3, 0, 7, 4, 0])
    np.testing.assert_allclose(smoothed(np.array([3.0, 0, 0, 6])), [2, 1, 2, 4])
    assert np.argmax(contrasts(around(20, 20), 8)[1]) == 19
    depth = np.array([9, 0, 0, 2, 0, 0, 0, 1.9, 0, 0, 9])
    assert np.flatnonzero(topic_seams(depth, 0.5, 1)).tolist() == [3, 7], "not at the ends"
    assert np.flatnonzero(topic_seams(depth, 0.5, 5)).tolist() == [3]
    assert not topic_seams(depth, 3, 1).any()
    # Where a seam is exactly, what is not smoothed says.
    exact = np.array([9, 0, 0, 2, 3, 0, 0, 1.9, 0, 0, 9])
    assert np.flatnonzero(topic_seams(depth, 0.5, 1, exact)).tolist() == [4, 7]


async def test_of_a_stored_conversation_nothing_is_embedded(memory: VectorMemory) -> None:
    texts = ["the violin and the flute"] * 12 + ["soup with beans"] * 12
    said = [
        message(text, "assistant" if n % 2 else "user", timestamp=NOW + timedelta(minutes=n))
        for n, text in enumerate(texts)
    ]
    said[20:] = [
        one.model_copy(update={"timestamp": one.timestamp + timedelta(days=1)}) for one in said[20:]
    ]
    await memory.store_messages(said, "talk", user_id="ana")
    await memory.delete_messages([said[3].id])
    manager = memory.conversations
    segments = await manager.boundaries("talk")
    assert [(one.from_turn, one.topic, one.gap) for one in segments] == [
        (0, False, False),
        (12, True, False),
        (20, False, True),
    ]
    assert [one.messages for one in segments] == [11, 8, 4]
    assert [one.from_turn for one in await manager.boundaries("talk", gap=None)] == [0, 12]
    (all_of_it,) = await manager.boundaries("talk", gap=timedelta(days=2), topic=None)
    assert (all_of_it.from_turn, all_of_it.to_turn) == (0, 23)
    for wrong in (
        {"gap": timedelta(0)},
        {"gap": 5},
        {"topic": -1},
        {"topic": True},
        {"topic": float("nan")},
        {"window": 0},
        {"window": 101},
    ):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await manager.boundaries("talk", **wrong)  # type: ignore[arg-type]


async def test_an_empty_conversation_has_no_segment() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        session = await memory.conversations.start("ana")
        assert await memory.conversations.boundaries(session.conversation_id) == []
