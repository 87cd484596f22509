"""Times as people type them, in the time zone of whoever types them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
import typer

from bruno_memory_vec.surfaces.cli.times import moment
from bruno_memory_vec.typed_time import read_time

#: A Sunday.
NOW = datetime(2026, 11, 29, 15, 20)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        # What is written as a date is UTC, as every time that is shown.
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T18:30:00Z", "2026-03-01T18:30:00+00:00"),
        ("2026-03-01 18:30 UTC", "2026-03-01T18:30:00+00:00"),
        ("2026-03-01T10:00+02:00", "2026-03-01T10:00:00+02:00"),
        # Words are of the time zone, which has summer time.
        ("now", "2026-11-29T15:20:00+01:00"),
        ("today", "2026-11-29T00:00:00+01:00"),
        ("Yesterday", "2026-11-28T00:00:00+01:00"),
        ("the day before yesterday", "2026-11-27T00:00:00+01:00"),
        ("tomorrow", "2026-11-30T00:00:00+01:00"),
        ("monday", "2026-11-23T00:00:00+01:00"),
        ("last monday", "2026-11-23T00:00:00+01:00"),
        ("monday 9am", "2026-11-23T09:00:00+01:00"),
        ("yesterday 14:00", "2026-11-28T14:00:00+01:00"),
        ("14:00 yesterday", "2026-11-28T14:00:00+01:00"),
        ("last week", "2026-11-16T00:00:00+01:00"),
        ("last month", "2026-10-01T00:00:00+02:00"),
        ("may", "2026-05-01T00:00:00+02:00"),
        ("May 2026", "2026-05-01T00:00:00+02:00"),
        ("may 10, 2026", "2026-05-10T00:00:00+02:00"),
        ("2025", "2025-01-01T00:00:00+01:00"),
        # Days from midnight on, hours to the minute.
        ("3 days ago", "2026-11-26T00:00:00+01:00"),
        ("2 weeks  ago", "2026-11-15T00:00:00+01:00"),
        ("two weeks", "2026-11-15T00:00:00+01:00"),
        ("13 months ago", "2025-10-29T00:00:00+01:00"),
        ("an hour ago", "2026-11-29T14:20:00+01:00"),
        ("30 minutes ago", "2026-11-29T14:50:00+01:00"),
        ("gestern", "2026-11-28T00:00:00+01:00"),
        ("letzten Montag", "2026-11-23T00:00:00+01:00"),
        ("昨天", "2026-11-28T00:00:00+01:00"),
    ],
)
def test_what_is_read(said: str, meant: str) -> None:
    assert read_time(said, NOW)[0].isoformat() == meant


@pytest.mark.parametrize(
    "said",
    [
        *("", "  ", "soon", "recently", "we", "ana", "at", "hotel yesterday", "the 5th", "may 50"),
        *("feb 30", "monday at 9", "30m", "1764000000", "-1", "5", "25:00", "9999 years ago"),
        *("2026-13-45", "yesterday\x1b[2J", "x" * 10_000),
    ],
)
def test_what_is_not_read_is_refused_by_name(said: str) -> None:
    with pytest.raises(ValueError, match="is no time that is read here: write 2026-03-01"):
        read_time(said, NOW)


def test_a_day_that_may_be_two_is_refused() -> None:
    with pytest.raises(ValueError, match="'3/4/2026' may be two days"):
        read_time("3/4/2026", NOW)


def test_words_are_told_how_they_were_read(capsys: pytest.CaptureFixture[str]) -> None:
    at = moment("2 weeks ago")
    told = capsys.readouterr().err
    assert told == f"'2 weeks ago' is {at:%a %Y-%m-%d %H:%M %z}\n"
    moment("2026-03-01")
    assert capsys.readouterr().err == ""
    with pytest.raises(typer.BadParameter):
        moment("soon")
