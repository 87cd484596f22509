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
    """The periods that have ended and have two summaries or more, oldest first; by UTC."""
    found: dict[str, list[Summary]] = {}
    for one in summaries:
        day = utc(one.created_at).date()
        if _end(day, period) <= now.date():
            found.setdefault(_name(day, period), []).append(one)
    return [Span(name, parts) for name, parts in sorted(found.items()) if len(parts) > 1]


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
