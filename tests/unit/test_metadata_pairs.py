"""Metadata's pairs are equal exactly where a filter says that key and value are."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.metadata_pairs import LONGEST, pair, pairs_of

NAN = float("nan")
values = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, 10**300, int(1e300)]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 1e300, float("inf"), NAN]),
    st.text(max_size=3),
    st.sampled_from(["1", "1.0", "true", "NaN", "", "x" * 500, "x" * 501]),
)
keys = st.one_of(st.sampled_from(["", "a", "a=", 'a"', "a\\", "k" * 500]), st.text(max_size=3))


def sort_of(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


@given(keys, values, keys, values)
@example("a", 1, "a", 1.0)
@example("a", 1, "a", True)
@example("a", 1, "a", "1")
@example("a", True, "a", "true")
@example("a", 0.0, "a", -0.0)
@example("a", 1e300, "a", int(1e300))
@example("a", 1e300, "a", 10**300)
@example("a", 2.0**53, "a", 2**53 + 1)
@example("a", float("inf"), "a", float("-inf"))
@example("a=", "b", "a", "=b")
@example('a"="b', "c", "a", 'b"="c')
@example("a", NAN, "a", NAN)
@example("a", "x" * 500, "a", "x" * 501)
def test_equal_where_the_key_and_the_value_are(
    key: str, value: Any, other_key: str, other: Any
) -> None:
    equal = key == other_key and sort_of(value) == sort_of(other) and value == other
    held = pairs_of({other_key: other})
    assert (pair(key, value) in held) == equal
    assert (pair(key, value) in pairs_of({key: value})) == (value == value)


@given(keys, values)
def test_of_a_bounded_length(key: str, value: Any) -> None:
    assert len(pair(key, value)) <= LONGEST


def test_what_is_indexed() -> None:
    class Colour(str, Enum):
        RED = "red"

    metadata: dict[Any, Any] = {
        "text": "it's",
        "whole": 3,
        "float": np.float64(0.5),
        "truth": False,
        "colour": Colour.RED,
        "": "",
        1: "a key that is no text",
        "nothing": None,
        "list": ["x"],
        "nested": {"text": "inner"},
        "day": datetime(2024, 1, 1),
        "decimal": Decimal(1),
        "nan": NAN,
    }
    assert pairs_of(metadata) == [
        '"text"="it\'s"',
        '"whole"=3',
        '"float"=0.5',
        '"truth"=false',
        '"colour"="red"',
        '""=""',
    ]


def test_what_is_asked_for() -> None:
    asked = {"a": "x", "b": 10**5_000, "c": NAN, "d": True}
    assert checks.metadata("metadata", asked) == tuple(pair(*one) for one in asked.items())
    assert checks.metadata("metadata", None) == ()
    assert checks.metadata("metadata", {}) == ()


@pytest.mark.parametrize(
    ("bad", "about"),
    [
        ("project=x", "a dict, not str"),
        ([("project", "x")], "a dict, not list"),
        ({"project": None}, "'project' is a NoneType"),
        ({"project": ["x"]}, "'project' is a list"),
        ({"project": {"name": "x"}}, "'project' is a dict"),
        ({"n": np.int64(1)}, "'n' is a int64"),
        ({1: "x"}, "a key 1 that is no text"),
        ({"project": "\ud800"}, "lone surrogate"),
        ({"\ud800": "x"}, "lone surrogate"),
        ({str(number): number for number in range(65)}, "65 keys"),
    ],
    ids=lambda given: repr(given)[:20],
)
def test_what_cannot_be_asked_for(bad: Any, about: str) -> None:
    with pytest.raises(InvalidInputError, match=about) as refused:
        checks.metadata("metadata", bad)
    assert refused.value.field == "metadata"
    assert refused.value.fix
