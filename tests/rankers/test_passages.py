"""What a long text gains for its best passage: rankers/steps/passages.py."""

from __future__ import annotations

import numpy as np
import pytest

from bruno_memory_vec.rankers import Ask, Passages, Pool, Question
from tests.rankers.pools import NAN, NOW, added, make_pool


def pool(**columns: object) -> Pool:
    """A long text between two short ones, one of which is the best by both sides."""
    given = {
        "lexical": [10.0, 2.0, 0.0],
        "semantic": [0.8, 0.4, 0.3],
        "words": [20, 400, 30],
        "passages": [[NAN, NAN], [8.0, 0.7], [NAN, NAN]],
        **columns,
    }
    return make_pool(3, **given)


def test_the_formula() -> None:
    fused = np.array([1.0, 0.2, 0.0])
    found = Passages(0.5, 0.25)(pool(), fused, Ask(Question(""), NOW, 10, fused))
    # The passage is at 8 of 0..10 by words, and at 0.4 of 0..0.5 by meaning, so at 0.8 by both.
    # The rows have 150 words on the mean.
    assert found == pytest.approx([0.0, 0.5 * (1 - 150 / 400) * (0.8 - 0.2), 0.0])


def test_a_text_that_is_as_good_as_its_passage_gains_nothing() -> None:
    fused = np.array([1.0, 0.9, 0.0])
    step = Passages(1.0, 0.3)
    assert step(pool(), fused, Ask(Question(""), NOW, 10, fused)).tolist() == [0.0, 0.0, 0.0]


def test_where_all_texts_are_as_long_nothing_is_hidden() -> None:
    assert added(Passages(1.0, 0.3), pool(words=[400, 400, 400])).tolist() == [0.0, 0.0, 0.0]


def test_no_passage_is_better_than_the_best_row() -> None:
    found = added(Passages(1.0, 0.3), pool(passages=[[NAN, NAN], [99.0, 1.0], [NAN, NAN]]))
    assert found == pytest.approx([0.0, 1 - 150 / 400, 0.0])


def test_a_passage_without_a_vector_means_what_its_row_does() -> None:
    passages = [[NAN, NAN], [8.0, NAN], [NAN, NAN]]
    found = added(Passages(1.0, 0.25), pool(passages=passages))
    meaning = (0.4 - 0.3) / (0.8 - 0.3)
    assert found[1] == pytest.approx((1 - 150 / 400) * (0.75 * 0.8 + 0.25 * meaning))


def test_without_passages_or_scores_there_is_no_gain() -> None:
    for one in (pool(passages=None), pool(lexical=[NAN] * 3, semantic=[NAN] * 3), make_pool(0)):
        assert added(Passages(1.0, 0.3), one).tolist() == [0.0] * len(one)


@pytest.mark.parametrize(
    ("weight", "share", "field"), [(-1.0, 0.3, "weight"), (1.0, 1.5, "semantic_weight")]
)
def test_wrong_settings_are_named(weight: float, share: float, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Passages(weight, share)


def test_passages_have_the_shape_of_the_pool() -> None:
    with pytest.raises(ValueError, match="passages"):
        pool(passages=[[1.0, 2.0]])
