"""Every condition as SQL, and no value that escapes its literal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.lance import sql as sql
from bruno_memory_vec.indexers.query import RowFilter, Scope

AT = datetime(1970, 1, 1, 0, 0, 1, 5, timezone.utc)
STAMP = "arrow_cast(1000005, 'Timestamp(Microsecond, Some(\"UTC\"))')"


@given(st.text())
def test_a_literal_has_no_way_out(value: str) -> None:
    literal = sql.text(value)
    assert literal[0] == literal[-1] == "'"
    inner = literal[1:-1]
    assert inner.replace("''", "") == value.replace("'", "")
    assert inner.replace("''", "'") == value


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (RowFilter(), None),
        (RowFilter(kinds=("message",)), "kind = 'message'"),
        (RowFilter(roles=("user", "tool")), "role IN ('user', 'tool')"),
        (RowFilter(memory_types=("fact",)), "memory_type = 'fact'"),
        (RowFilter(categories=("it's",)), "category = 'it''s'"),
        (RowFilter(tags=("a", "b")), "array_has_any(tags, ['a', 'b'])"),
        (RowFilter(since=AT), f"created_at >= {STAMP}"),
        (RowFilter(until=AT), f"created_at < {STAMP}"),
        (RowFilter(min_importance=0.1), "importance >= 0.1"),
        (RowFilter(min_confidence=1), "confidence >= 1"),
        (RowFilter(alive_at=AT), f"(expires_at IS NULL OR expires_at > {STAMP})"),
        (RowFilter(ids=("x",)), "id = 'x'"),
    ],
    ids=str,
)
def test_each_condition(where: RowFilter, wanted: str | None) -> None:
    assert sql.conditions(Scope.all_users(), where) == wanted
    scope = Scope.user("o'a").within("talk")
    both = "user_id = 'o''a' AND conversation_id = 'talk'"
    assert sql.conditions(scope, where) == (both if wanted is None else f"{both} AND {wanted}")


def test_rows_by_name() -> None:
    assert sql.named([], {}) is None
    assert sql.named([], {"talk": []}) is None
    assert sql.named([1, 2], {}) == "seq IN (1, 2)"
    assert sql.named([1], {"a'b": [0, 3]}) == (
        "seq IN (1) OR ((conversation_id = 'a''b' AND turn IN (0, 3)))"
    )


def test_conditions_together() -> None:
    assert sql.both(None, None) is None
    assert sql.both("a OR b", None) == "(a OR b)"
    assert sql.both("a OR b", "c") == "(a OR b) AND (c)"


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_moments_are_exact(moment: datetime) -> None:
    micros = int(sql.moment(moment).removeprefix("arrow_cast(").partition(",")[0])
    assert datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros) == moment
