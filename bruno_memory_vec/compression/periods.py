"""Past days, weeks and months, and the summaries that belong to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bruno_memory_vec.compression_policy import Period
from bruno_memory_vec.rows.models import utc
from bruno_memory_vec.rows.summaries import Summary


@dataclass(frozen=True, slots=True)
class Span:
    """One period and its summaries.

    Attributes:
        name: "2024-05-06", "2024-W19" or "2024-05".
        parts: the summaries whose newest turn is in it, oldest first.
    """

    name: str
    parts: list[Summary]


def spans(summaries: Sequence[Summary], period: Period, now: datetime) -> list[Span]:
    """The periods that have ended and have two summaries or more, oldest first; by UTC.

    A conversation counts with its own summary where all of it is in one period, else with those of
    its blocks, each in its period.

    Args:
        summaries: of one user, of all levels, oldest first.
        period: how long one is.
        now: what has not ended then is left out.
    """
    blocks = [one for one in summaries if one.level == "block"]
    periods: dict[str | None, set[str]] = {}
    for one in blocks:
        periods.setdefault(one.conversation_id, set()).add(_name(_day(one), period))
    whole = {
        one.conversation_id
        for one in summaries
        if one.level == "session" and len(periods.get(one.conversation_id, ())) < 2
    }
    found: dict[str, list[Summary]] = {}
    for one in summaries:
        level = "session" if one.conversation_id in whole else "block"
        if one.level == level and _end(_day(one), period) <= now.date():
            found.setdefault(_name(_day(one), period), []).append(one)
    return [Span(name, parts) for name, parts in sorted(found.items()) if len(parts) > 1]


def _day(one: Summary) -> date:
    return utc(one.created_at).date()


def _name(day: date, period: Period) -> str:
    if period == "day":
        return f"{day:%Y-%m-%d}"
    if period == "month":
        return f"{day:%Y-%m}"
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


def _end(day: date, period: Period) -> date:
    """The first day behind the period of a day."""
    if period == "day":
        return day + timedelta(days=1)
    if period == "week":
        return day + timedelta(days=7 - day.weekday())
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
