"""Times to come: read for a search of them, and by no ranking."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from bruno_memory_vec.rankers.time_expressions import find_all_periods, find_periods

# A Monday.
NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def days(text: str, find: object = find_all_periods) -> list[tuple[str, str]]:
    found = find(text, int(NOW.timestamp() * 1_000_000))  # type: ignore[operator]
    ends = [(one.start, one.end) for one in found]
    return [
        tuple(datetime.fromtimestamp(at / 1e6, timezone.utc).date().isoformat() for at in one)  # type: ignore[misc]
        for one in ends
    ]


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("dentist tomorrow", "2026-06-02", "2026-06-03"),
        ("the day after tomorrow", "2026-06-03", "2026-06-04"),
        ("what is next week?", "2026-06-08", "2026-06-15"),
        ("next month", "2026-07-01", "2026-08-01"),
        ("dentist next year", "2027-01-01", "2028-01-01"),
        ("next Friday", "2026-06-05", "2026-06-06"),
        ("next May", "2027-05-01", "2027-06-01"),
        ("next December", "2026-12-01", "2027-01-01"),
        ("what happens in three weeks", "2026-06-22", "2026-06-29"),
    ],
)
def test_times_to_come(text: str, first: str, end: str) -> None:
    assert days(text) == [(first, end)]
    assert (first, end) not in days(text, find_periods)


@pytest.mark.parametrize(
    "text", ["until tomorrow", "what did I read in three weeks?", "the next week we met"]
)
def test_other_times_are_none(text: str) -> None:
    assert days(text) == []


def test_dates_and_past_times_are_those_of_rankings() -> None:
    for text in ("in May 2027", "last week", "in December", "on 3 May 2027", "in 2025"):
        assert days(text) == days(text, find_periods) != []
