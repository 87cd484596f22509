"""Ways to recall, by the names that people know them by.

A strategy says how rows are found, a profile (``profiles/``) with which numbers. Each strategy
that only ranks is one of the shipped profiles.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal, TypeAlias, get_args

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.plugins import nearest
from bruno_memory_vec.rankers import find_all_periods
from bruno_memory_vec.recall.phrase import MOST_CHARACTERS, Phrase
from bruno_memory_vec.rows import checks

#: ========= =================================================================================
#: name      finds
#: ========= =================================================================================
#: hybrid    by words and meaning, as the memory's own profile says; the default
#: fulltext  by words alone (the profile "lexical")
#: semantic  by meaning alone (the profile "semantic")
#: exact     what holds the query as a phrase, the newest first
#: temporal  rows of the time that the query names; a blank query: the newest first
#: ========= =================================================================================
RecallStrategy: TypeAlias = Literal["hybrid", "fulltext", "semantic", "exact", "temporal"]

STRATEGIES: Final[tuple[str, ...]] = get_args(RecallStrategy)
#: The profile of each strategy that has one of its own.
PROFILES: Final = {"fulltext": "lexical", "semantic": "semantic"}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def strategy(value: Any, profile: Any) -> str:
    """The name of a strategy, "hybrid" for None.

    Raises:
        InvalidInputError: there is no such strategy, or a profile is given beside it.
    """
    if value is None:
        return STRATEGIES[0]
    if not isinstance(value, str) or value not in STRATEGIES:
        near = nearest(value, STRATEGIES) if isinstance(value, str) else None
        meant = "" if near is None else f"Did you mean {near}? "
        raise InvalidInputError(
            "strategy",
            f"{checks.shown(value)} is not known",
            fix=f"{meant}Choose from {', '.join(STRATEGIES)}.",
        )
    if profile is not None:
        raise InvalidInputError(
            "strategy",
            "is given beside a profile, which says how to rank, too",
            fix="Give one of the two.",
        )
    return str(value)


def phrase(exact: Any, match_case: Any, query: str, by: str) -> Phrase | None:
    """The phrase that rows have to hold; None where any will do.

    Args:
        exact: it, or None.
        match_case: whether it is compared letter for letter.
        query: the question, which is the phrase of the strategy "exact".
        by: the strategy.

    Raises:
        InvalidInputError: it is not usable, or given twice; it names the argument.
    """
    case = checks.flag("match_case", match_case)
    field, text = ("query", query) if by == "exact" else ("exact", exact)
    if by == "exact" and exact is not None:
        raise InvalidInputError(
            "exact",
            'is given beside strategy="exact", whose phrase is the query',
            fix="Give the phrase as exact, and another strategy or none, to rank by the query.",
        )
    if text is None:
        if case:
            raise InvalidInputError(
                "match_case", "says how a phrase is compared", fix="Give the phrase as exact."
            )
        return None
    checks.question(field, text, blank=True)
    if not text:
        raise InvalidInputError(field, "is empty", fix="Give at least one character.")
    if len(text) > MOST_CHARACTERS:
        raise InvalidInputError(
            field,
            f"has {len(text):,} characters",
            fix=f"Use at most {MOST_CHARACTERS:,} of it; a part finds the same rows.",
        )
    return Phrase(text, match_case=case)


def of_named_time(where: RowFilter, query: str, now: datetime) -> RowFilter:
    """A filter narrowed to the time that a question names; the same where it names none.

    Of several times, from the first to the last. Times to come count: events may
    be stored with one.

    Args:
        where: the filter.
        query: the question.
        now: when it is asked (timezone-aware); its days are those of this zone.
    """
    at = micros(now)
    zone = now.tzinfo or timezone.utc
    periods = find_all_periods(query, at, zone)
    if not periods:
        return where
    since = _moment(min(period.start for period in periods))
    until = _moment(max(period.end for period in periods))
    return replace(
        where,
        since=since if where.since is None else max(since, where.since),
        until=until if where.until is None else min(until, where.until),
    )


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
