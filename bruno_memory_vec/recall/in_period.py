"""Candidates of the time that a question names, beside those of all rows.

"What did I read in March?": among a year's rows, those of March are seldom the best hundred by
words or by meaning. So the best of the named time are proposed, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import Candidates, RowFilter
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rankers import Question
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import CandidateSource

#: Asks the lexical index for a number of candidates within a filter.
FindWords = Callable[[int, RowFilter], Awaitable[Candidates]]

# A period of half of the rows or more says too little about which row is meant.
_MOST_SHARE = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class InPeriod(NamedTuple):
    """The candidates of both sides within the named time."""

    lexical: Candidates
    semantic: Candidates

    def without(self, seqs: NDArray[np.int64]) -> InPeriod:
        """Those that are not in ``seqs``, int64."""
        return InPeriod(*(side.without(seqs, len(side)) for side in self))


async def propose_in_period(
    source: CandidateSource, request: RecallRequest, question: Question, find_words: FindWords
) -> InPeriod | None:
    """The best rows of the past time that the question names, by each side of the profile.

    None where it names none, where the profile asks for none, or where half of the rows that
    the request may see, or more, are of that time.
    """
    candidates = request.profile.candidates
    filters = named_times(request.where, question, micros(request.now))
    if not candidates.in_period or not filters:
        return None
    inside = sum([await source.count(where) for where in filters])
    if not inside or inside >= _MOST_SHARE * await source.count(request.where):
        return None
    limit = candidates.in_period
    lexical = semantic = Candidates.empty()
    for where in filters:
        if candidates.lexical:
            lexical = lexical.joined(await find_words(limit, where), limit)
        if candidates.semantic:
            semantic = semantic.joined(await source.nearest(limit, where), limit)
    return InPeriod(lexical, semantic)


def named_times(where: RowFilter, question: Question, now: int) -> list[RowFilter]:
    """A filter narrowed to each past time that the question names; overlapping ones become one.

    Times that have not ended are left out: "today" and "this week" say in most messages when
    something is to be done, not when it was said.

    Args:
        where: the filter.
        question: the question.
        now: when it is asked, microseconds since 1970, UTC.
    """
    spans: list[tuple[int, int]] = []
    ended = ((period.start, period.end) for period in question.periods if period.end <= now)
    for start, end in sorted(ended):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    narrowed = []
    for start, end in spans:
        since, until = _moment(start), _moment(end)
        since = since if where.since is None else max(since, where.since)
        until = until if where.until is None else min(until, where.until)
        if since < until:
            narrowed.append(replace(where, since=since, until=until))
    return narrowed


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
