from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import Fusion, FusionMethod
from bruno_memory_vec.rankers.fusion import fuse, min_max, rrf, three_sigma, z_score

NAN = float("nan")
Scale = Callable[[Any], Any]
SCALES: list[Scale] = [min_max, three_sigma, z_score]
anything = st.lists(
    st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, NAN, 3e38, -3e38]), max_size=20
)


def test_min_max() -> None:
    scaled = min_max(np.array([2.0, NAN, 6.0, 3.0], np.float32))
    assert scaled.tolist() == [0.0, 0.0, 1.0, 0.25]


def test_min_max_of_negative_cosines() -> None:
    assert min_max(np.array([-1.0, -0.5, 0.0])).tolist() == [0.0, 0.5, 1.0]


def test_three_sigma() -> None:
    # Mean 2, standard deviation sqrt(2/3).
    step = 1 / (6 * math.sqrt(2 / 3))
    scaled = three_sigma(np.array([3.0, NAN, 1.0, 2.0]))
    assert scaled == pytest.approx([0.5 + step, 0.0, 0.5 - step, 0.5])


def test_three_sigma_cuts_an_outlier() -> None:
    scaled = three_sigma(np.array([0.0] * 50 + [1.0] * 50 + [1000.0]))
    assert scaled[-1] == 1.0
    assert scaled[0] < scaled[50] < 0.6


def test_z_score() -> None:
    scaled = z_score(np.array([3.0, NAN, 1.0, 2.0]))
    assert scaled == pytest.approx([2 / (3 * math.sqrt(2 / 3)), 0.0, 0.0, 1 / math.sqrt(6)])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0, 0.0], [-1.0], [0.1] * 7])
def test_equal_scores_are_all_best(values: list[float], scale: Scale) -> None:
    assert scale(np.array([*values, NAN])).tolist() == [1.0] * len(values) + [0.0]


@pytest.mark.parametrize("scale", SCALES)
def test_scaling_nothing(scale: Scale) -> None:
    assert scale(np.array([NAN, NAN])).tolist() == [0.0, 0.0]
    assert scale(np.empty(0)).tolist() == []


@pytest.mark.parametrize("scale", SCALES)
def test_infinite_scores_are_not_proposed(scale: Scale) -> None:
    infinite = scale(np.array([np.inf, 1.0, 2.0, -np.inf]))
    assert infinite.tolist() == [0.0, *scale(np.array([1.0, 2.0])).tolist(), 0.0]


@pytest.mark.parametrize("scale_by", SCALES)
@given(
    values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=20),
    shift=st.integers(-1000, 1000),
    scale=st.sampled_from([0.25, 0.5, 2.0, 64.0]),
)
def test_no_method_knows_a_scale(
    values: list[int], shift: int, scale: float, scale_by: Scale
) -> None:
    score = np.array(values, np.float64)
    np.testing.assert_allclose(scale_by(score * scale + shift), scale_by(score), atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@given(values=anything)
def test_scaled_scores_keep_their_order_and_their_bounds(values: list[float], scale: Scale) -> None:
    score = np.array(values, np.float32)
    scaled = scale(score)
    assert scaled.dtype == np.float64
    assert scaled.shape == score.shape
    proposed = np.isfinite(score)
    assert (scaled[~proposed] == 0).all()
    assert np.isfinite(scaled).all()
    assert (scaled >= 0).all()
    if not proposed.any():
        return
    if scale is not z_score:
        assert (scaled <= 1).all()
    # The best row is at least one standard deviation above the mean of two equal halves.
    best = dict(zip(SCALES, [1.0, 0.5, 2 / 3], strict=True))[scale]
    assert scaled.max() >= best - 1e-9
    ordered = scaled[proposed][np.argsort(score[proposed], kind="stable")]
    assert (np.diff(ordered) >= -1e-12).all()


def test_convex() -> None:
    parts = fuse(np.array([10.0, 0.0, NAN]), np.array([NAN, 0.5, 0.9]), Fusion("convex", 0.3))
    np.testing.assert_allclose(parts["lexical"], [0.7, 0.0, 0.0])
    np.testing.assert_allclose(parts["semantic"], [0.0, 0.0, 0.3])


@pytest.mark.parametrize(("method", "scale"), [("dbsf", three_sigma), ("zscore", z_score)])
def test_weights_of_the_other_score_fusions(method: FusionMethod, scale: Scale) -> None:
    words, meaning = np.array([1.0, 2.0, NAN, 7.0]), np.array([NAN, 0.5, 0.9, 0.1])
    parts = fuse(words, meaning, Fusion(method, 0.25))
    np.testing.assert_allclose(parts["lexical"], 0.75 * scale(words))
    np.testing.assert_allclose(parts["semantic"], 0.25 * scale(meaning))


def test_rrf() -> None:
    parts = rrf(np.array([3.0, 9.0, NAN, 3.0]), np.array([0.1, NAN, 0.9, NAN]), 0.5, 60)
    # Ranks by words: 2, 1, none, 2 (equal scores share the better one); by meaning: 2, none, 1.
    np.testing.assert_allclose(
        parts["lexical"], [0.5 * 61 / 62, 0.5, 0.0, 0.5 * 61 / 62], rtol=1e-12
    )
    np.testing.assert_allclose(parts["semantic"], [0.5 * 61 / 62, 0.0, 0.5, 0.0], rtol=1e-12)


@given(st.lists(st.integers(-50, 50), max_size=20), st.integers(1, 100))
def test_rrf_sees_ranks_only(values: list[int], k: int) -> None:
    score = np.array(values, np.float64)
    got = rrf(score, score, 0.0, k)["lexical"]
    np.testing.assert_array_equal(got, rrf(score**3 + score, score, 0.0, k)["lexical"])
    ranks = [1 + sum(other > one for other in values) for one in values]
    np.testing.assert_allclose(got, [(k + 1) / (k + rank) for rank in ranks], rtol=1e-12)


@pytest.mark.parametrize("method", get_args(FusionMethod))
def test_method_names_its_sides(method: FusionMethod) -> None:
    names = [method] if method in ("lexical", "semantic") else ["lexical", "semantic"]
    one = np.array([1.0, 2.0])
    assert list(fuse(one, one, Fusion(method))) == names


@pytest.mark.parametrize("method", ["lexical", "semantic"])
def test_one_side_alone_is_not_weighted(method: FusionMethod) -> None:
    one, other = np.array([1.0, 2.0]), np.array([5.0, NAN])
    sides = (one, other) if method == "lexical" else (other, one)
    assert fuse(*sides, Fusion(method, 0.9))[method].tolist() == [0.0, 1.0]


@given(anything.flatmap(lambda a: st.tuples(st.just(a), st.permutations(a))), st.data())
def test_every_method_gives_numbers(sides: tuple[list[float], list[float]], data: Any) -> None:
    method = data.draw(st.sampled_from(get_args(FusionMethod)))
    how = Fusion(method, data.draw(st.floats(0, 1)))
    words, meaning = (np.array(side, np.float32) for side in sides)
    for part in fuse(words, meaning, how).values():
        assert part.dtype == np.float64
        assert np.isfinite(part).all()
        assert (part >= 0).all()
        if method != "zscore":
            assert (part <= 1 + 1e-12).all()
