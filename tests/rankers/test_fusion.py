from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Fusion
from bruno_memory_vec.rankers.fusion import convex, fuse, min_max, rrf

NAN = float("nan")


def test_min_max() -> None:
    scaled = min_max(np.array([2.0, NAN, 6.0, 3.0], np.float32))
    assert scaled.tolist() == [0.0, 0.0, 1.0, 0.25]


def test_min_max_of_negative_cosines() -> None:
    assert min_max(np.array([-1.0, -0.5, 0.0])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0, 0.0], [-1.0]])
def test_equal_scores_are_all_best(values: list[float]) -> None:
    assert min_max(np.array([*values, NAN])).tolist() == [1.0] * len(values) + [0.0]


def test_min_max_of_nothing() -> None:
    assert min_max(np.array([NAN, NAN])).tolist() == [0.0, 0.0]
    assert min_max(np.empty(0)).tolist() == []


def test_infinite_scores_are_not_proposed() -> None:
    assert min_max(np.array([np.inf, 1.0, 2.0, -np.inf])).tolist() == [0.0, 0.0, 1.0, 0.0]


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=20),
    st.integers(-1000, 1000),
    st.sampled_from([0.25, 0.5, 2.0, 64.0]),
)
def test_min_max_knows_no_scale(values: list[int], shift: int, scale: float) -> None:
    score = np.array(values, np.float64)
    np.testing.assert_allclose(min_max(score * scale + shift), min_max(score), atol=1e-12)


def test_convex() -> None:
    parts = convex(np.array([10.0, 0.0, NAN]), np.array([NAN, 0.5, 0.9]), 0.3)
    np.testing.assert_allclose(parts["lexical"], [0.7, 0.0, 0.0])
    np.testing.assert_allclose(parts["semantic"], [0.0, 0.0, 0.3])


def test_rrf() -> None:
    parts = rrf(np.array([3.0, 9.0, NAN, 3.0]), np.array([0.1, NAN, 0.9, NAN]), 0.5, 60)
    # Ranks by words: 2, 1, none, 2 (equal scores share the better one); by meaning: 2, none, 1.
    np.testing.assert_allclose(
        parts["lexical"], [0.5 * 61 / 62, 0.5, 0.0, 0.5 * 61 / 62], rtol=1e-12
    )
    np.testing.assert_allclose(parts["semantic"], [0.5 * 61 / 62, 0.0, 0.5, 0.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("convex", ["lexical", "semantic"]),
        ("rrf", ["lexical", "semantic"]),
        ("lexical", ["lexical"]),
        ("semantic", ["semantic"]),
    ],
)
def test_method_names_its_sides(method: str, names: list[str]) -> None:
    one = np.array([1.0, 2.0])
    assert list(fuse(one, one, Fusion(method))) == names  # type: ignore[arg-type]


def test_one_side_alone_is_not_weighted() -> None:
    parts = fuse(np.array([1.0, 2.0]), np.array([NAN, NAN]), Fusion("lexical", 0.9))
    assert parts["lexical"].tolist() == [0.0, 1.0]
