"""When a question is asked, and of what: its data's time, amid the talk or after it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.retrieval.datasets.base import Dataset, Question
from benchmarks.retrieval.systems import System, moments


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its time.

    Attributes:
        question: the question.
        now: when it is asked: what the data says, else a day after its user's last text.
        until: the same where its user has texts of that time or later. It is then asked of what was
            said before, because it may be one of the talk's own turns. Else None.
        later: how many texts of its user's are left out by ``until``.
    """

    question: Question
    now: datetime
    until: datetime | None
    later: int


def asked(data: Dataset) -> Iterator[Asked]:
    """The questions of a data set in their order, each with its time."""
    said: dict[str, list[datetime]] = {}
    for turn, at in zip(data.turns, moments(data.turns), strict=True):
        said.setdefault(turn.user_id, []).append(at)
    for times in said.values():
        times.sort()
    for question in data.questions:
        times = said[question.user_id]
        now = question.asked_at or times[-1] + timedelta(days=1)
        later = len(times) - bisect_left(times, now)
        yield Asked(question, now, now if later else None, later)


async def ask(system: System, one: Asked, k: int, said: dict[str, datetime]) -> list[str]:
    """What a system answers: ids of at most ``k`` turns, best first.

    Args:
        system: holds the data set.
        one: the question.
        k: how many ids.
        said: when each of the user's turns was said, by id.
    """
    question, until = one.question, one.until
    if until is None or system.filters_time:
        return await system.ask(question.text, question.user_id, k, one.now, until)
    found = await system.ask(question.text, question.user_id, k + one.later, one.now)
    # An id that is no turn of the user's stays, to be counted.
    return [item for item in found if item not in said or said[item] < until][:k]
