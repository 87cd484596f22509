"""Tagged JSON gives back what it was given, of the same type."""

from __future__ import annotations

import collections
import enum
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.testing.strategies import identical, values


@given(values())
def test_what_was_given_comes_back(value: Any) -> None:
    text = jsonable.dumps(value)
    assert text.isascii()
    assert identical(jsonable.loads(text), value)


@given(st.text(), st.text())
def test_text_comes_back_or_is_refused(left: str, right: str) -> None:
    """Lone surrogates included: two that meet would otherwise join into one character."""
    text = left + "\ud83d" + right
    try:
        kept = jsonable.dumps({text: [text]})
    except ValueError:
        return
    assert jsonable.loads(kept) == {text: [text]}


# PT014: ruff reads the three lone surrogates as one text
@pytest.mark.parametrize("text", ["\ud83d\ude00", "a\ud800", "\udc00\ud800"])  # noqa: PT014
def test_surrogates_come_back_or_are_refused(text: str) -> None:
    try:
        kept = jsonable.dumps([text, {text: 1}])
    except ValueError:
        return
    assert jsonable.loads(kept) == [text, {text: 1}]


@pytest.mark.parametrize(
    "value",
    [
        {"$": "uuid", "v": "not one"},
        {"$": {"$": {"$": 1}}},
        {"v": 1},
        {1: "a", "1": "b", (1,): "c", None: "d", 1.5: "e"},
        {datetime(2024, 1, 1): date(2024, 1, 1), UUID(int=1): time(1, 2, 3, 4)},
        {frozenset({1, 2}): {3, 4}, (b"x", (b"y",)): [set(), frozenset(), (), [], {}]},
        [Decimal("1.10"), Decimal("-0"), Decimal("Infinity"), timedelta(days=-1, microseconds=1)],
        [float("inf"), float("-inf"), -0.0, 5e-324, 2**200, -(2**200)],
        "{}",
        {},
        None,
        True,
    ],
    ids=repr,
)
def test_awkward_values(value: Any) -> None:
    assert repr(jsonable.loads(jsonable.dumps(value))) == repr(value)


def test_nan_stays_nan() -> None:
    assert math.isnan(jsonable.loads(jsonable.dumps([math.nan]))[0])


def test_plain_data_is_plain_json() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": {}}}
    assert json.loads(jsonable.dumps(value)) == value


class Colour(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


def test_enums_and_dicts_of_other_classes_come_back_equal() -> None:
    value = {"c": Colour.RED, "n": Number.ONE, "o": collections.OrderedDict(a=1), Number.ONE: 1}
    assert jsonable.loads(jsonable.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": [0, object()]}}, r"a\.b\[1\] is a object"),
        ([object()], r"\[0\] is a object"),
        (object(), "the value is a object"),
        ({"a": {(1, object()): 1}}, "key"),
        ({"a": {1: object()}}, r"a\.1 is a object"),
        ({"a": collections.namedtuple("P", "x")(1)}, "a is a P"),
    ],
)
def test_a_refusal_names_the_place(value: Any, place: str) -> None:
    with pytest.raises(ValueError, match=place):
        jsonable.dumps(value)


@pytest.mark.parametrize("make", [list, dict, tuple])
def test_too_deep_is_refused(make: type) -> None:
    value: Any = 1
    for _ in range(64):
        value = {"a": value} if make is dict else make([value])
    assert identical(jsonable.loads(jsonable.dumps(value)), value)
    for _ in range(10):
        value = {"a": value} if make is dict else make([value])
    with pytest.raises(ValueError, match="64 levels"):
        jsonable.dumps(value)
