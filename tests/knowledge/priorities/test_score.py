"""The priority of a row: each part by its formula, and what a pin does."""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.knowledge.priorities import emotion
from bruno_memory_vec.knowledge.priorities.score import PriorityWeights, priorities_of
from bruno_memory_vec.testing.rows import START, message, table

LATER = START + timedelta(days=40)


def rows(*changes: dict[str, object]) -> pa.Table:
    return table([message(n, **change) for n, change in enumerate(changes)], 8)  # type: ignore[arg-type]


def only(**weights: float) -> PriorityWeights:
    return PriorityWeights(**{"recency": 0, "use": 0, "emotion": 0, "importance": 0, **weights})  # type: ignore[arg-type]


def test_recency_halves_with_each_half_life_since_the_last_use() -> None:
    found = priorities_of(
        rows(
            {"created_at": START, "last_accessed": START},
            {"created_at": START, "last_accessed": LATER},
            {"created_at": LATER + timedelta(days=1), "last_accessed": START},
        ),
        only(recency=2, half_life_days=20),
        LATER,
        {},
    )
    assert found.score.tolist() == pytest.approx([0.25, 1.0, 1.0])


def test_use_grows_with_its_logarithm_and_is_capped() -> None:
    given = rows({"access_count": 0}, {"access_count": 3}, {"access_count": 1_000}, {})
    found = priorities_of(given, only(use=1, saturation=15), LATER, {3: 3})
    assert found.score.tolist() == pytest.approx([0, 0.5, 1, 0.5])


def test_importance_counts_as_given() -> None:
    found = priorities_of(
        rows({"importance": 0.2}, {"importance": 1.0}), only(importance=7), LATER, {}
    )
    assert found.score.tolist() == pytest.approx([0.2, 1.0])


def test_emotion_is_how_strongly_a_text_is_felt() -> None:
    pytest.importorskip("vaderSentiment")
    given = rows(
        {"content": "The meeting is at ten."},
        {"content": "I absolutely love this, it is wonderful!!"},
        {"content": "My dog died yesterday and I am devastated."},
    )
    calm, joy, grief = priorities_of(given, only(emotion=1), LATER, {}).score
    assert calm < 0.1
    assert joy > 0.7
    assert grief > 0.5


def test_parts_add_up_and_a_pin_outweighs_them() -> None:
    given = rows({"importance": 0.3}, {"importance": 0.3, "pinned_at": START})
    found = priorities_of(given, PriorityWeights(emotion=0), LATER, {})
    assert sum(part[0] for part in found.parts.values()) == pytest.approx(found.score[0])
    assert found.score[1] == 1
    assert np.all((found.score >= 0) & (found.score <= 1))


def test_weights_that_are_not_usable() -> None:
    with pytest.raises(InvalidInputError, match=r"weights\.use"):
        PriorityWeights(use=-1)
    with pytest.raises(InvalidInputError, match=r"weights\.recency"):
        PriorityWeights(recency=float("nan"))
    with pytest.raises(InvalidInputError, match="all 0"):
        only()


def test_without_the_lexicon_emotion_does_not_count_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    monkeypatch.setattr(emotion, "is_installed", lambda: False)
    emotion._polarity_scores.cache_clear()
    assert "emotion" not in PriorityWeights().effective
    assert sum(PriorityWeights().effective.values()) == pytest.approx(1)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[emotion\]"):
        priorities_of(rows({}), only(emotion=1), LATER, {})
