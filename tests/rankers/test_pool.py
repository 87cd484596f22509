from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.rankers.pools import make_pool


@pytest.mark.parametrize(
    "field",
    [
        "lexical",
        "semantic",
        "conversation",
        "turn",
        "words",
        "created_at",
        "importance",
        "access_count",
        "role",
        "speaker",
        "question_share",
        "ends_with_question",
        "names_time",
        "tells_change",
    ],
)
def test_an_array_of_another_length_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=rf"{field} has shape \(1,\), seq has \(2,\)"):
        make_pool(2, **{field: [1]})


def test_a_table_in_place_of_an_array_is_refused() -> None:
    with pytest.raises(ValueError, match="turn has shape"):
        make_pool(2, turn=[[1, 2], [3, 4]])


@pytest.mark.parametrize("vector", [[[1.0, 0.0]], [1.0, 0.0], [[[1.0]], [[1.0]]]])
def test_vectors_are_one_a_row(vector: Any) -> None:
    with pytest.raises(ValueError, match="vector has shape"):
        make_pool(2, vector=vector)


def test_texts_are_one_a_row() -> None:
    assert make_pool(2, texts=["a", "b"]).texts == ["a", "b"]
    with pytest.raises(ValueError, match="texts has 1 entries, seq has"):
        make_pool(2, texts=["a"])


def test_the_best_rows_are_first_and_of_equal_ones_the_later() -> None:
    pool = make_pool(4, seq=[4, 9, 2, 7])
    order = pool.best_first(np.array([1.0, 1.0, 3.0, 1.0]))
    assert order.dtype == np.int64
    assert order.tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize("matches", [[[1.0]], [1.0, 0.0]])
def test_matches_are_one_row_each(matches: Any) -> None:
    with pytest.raises(ValueError, match="matches has shape"):
        make_pool(2, matches=matches, term_weight=[1.0])


@pytest.mark.parametrize(
    "columns",
    [
        {"matches": [[1.0], [0.0]]},
        {"term_weight": [1.0]},
        {"matches": [[1.0], [0.0]], "term_weight": [1.0, 2.0]},
        {"matches": [[1.0], [0.0]], "term_weight": [[1.0]]},
    ],
)
def test_matches_and_their_weights_go_together(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="term_weight"):
        make_pool(2, **columns)


def test_an_empty_pool_has_its_tables() -> None:
    pool = make_pool(0, vector=np.zeros((0, 3)), matches=np.zeros((0, 2)), term_weight=np.ones(2))
    assert len(pool) == 0
