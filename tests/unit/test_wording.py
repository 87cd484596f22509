"""Numbers of things in what is told: one of them is not several."""

from __future__ import annotations

import pytest

from bruno_memory_vec.wording import acknowledged, as_stored, counted, not_as_stored


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("memory",), "2 memories"),
        (1_200, ("message",), "1,200 messages"),
        (1, ("row is", "rows are"), "1 row is"),
        (3, ("row is", "rows are"), "3 rows are"),
    ],
)
def test_one_is_not_several(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def test_rows_that_are_whole_or_not() -> None:
    assert as_stored(1) == "1 row is as it was stored"
    assert as_stored(24) == "all 24 rows are as they were stored"
    assert not_as_stored(1) == "1 row is not as it was stored"
    assert not_as_stored(2) == "2 rows are not as they were stored"
    assert acknowledged(1) == "1 that was acknowledged"
