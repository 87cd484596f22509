"""The manager of analytics: ``memory.analytics``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final, Literal

from bruno_memory_vec.access import AllUsers
from bruno_memory_vec.acts import acts
from bruno_memory_vec.analytics import periods
from bruno_memory_vec.analytics.costs import Costs, costs
from bruno_memory_vec.analytics.duplicates import Duplicates, duplicates
from bruno_memory_vec.analytics.growth import Growth, growth
from bruno_memory_vec.analytics.performance import Performance, performance
from bruno_memory_vec.analytics.periods import Period
from bruno_memory_vec.analytics.reading import Chosen
from bruno_memory_vec.analytics.report import SECTIONS, AnalyticsReport
from bruno_memory_vec.analytics.talks import BYS, By, ConversationPatterns, patterns
from bruno_memory_vec.analytics.topics import TopicRequest, Topics, topics
from bruno_memory_vec.analytics.usage import Usage, usage
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows import checks
from bruno_memory_vec.store.handle import Handle

Kind = Literal["message", "memory"]
Section = Literal["growth", "conversations", "topics", "usage", "duplicates"]

_MOST_TOPICS: Final = 200
_MOST_WORDS: Final = 50
_LARGEST_SEED: Final = 2**32 - 1
_LONGEST_AGE: Final = 1_000_000
_LEAST_BOUND: Final = 0.5


class Analytics:
    """What a memory holds, counted; of a view what its user's rows say. ``memory.analytics``.

    Every method reads rows as a stream and changes nothing. Whose rows are counted is named as for
    ``list_conversations``: a view knows its user, and ``ALL_USERS`` is for the whole memory. Times
    without a time zone are UTC. Results are frozen; each has ``to_dict()``, ``to_pandas()``,
    ``to_polars()``, ``to_arrow()`` and ``plot()``, and prints itself.

    Args:
        handle: the memory, and whose calls these are.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @acts("read")
    async def growth(
        self,
        user_id: str | AllUsers | None = None,
        *,
        by: Period | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
    ) -> Growth:
        """How rows, users, conversations, characters and bytes have grown.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            by: "day", "week", "month" or "year"; None takes the shortest with at most 60 periods.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            zone: the time zone of days, a name such as "Europe/Berlin" or a ``tzinfo``.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
            EngineError: an engine failed.
        """
        where = periods.zone_of(zone)
        if by is not None:
            checks.name("by", by, periods.PERIODS)
        chosen = Chosen.of(since, until)
        scope = await self._scope(user_id)
        store = await self._handle.store()
        size = None
        if scope.user_id is None and store.record is not None:
            size = (await store.record.footprint()).bytes
        return await growth(store, scope, chosen, by, where, disk_bytes=size)

    @acts("read")
    async def conversations(
        self,
        user_id: str | AllUsers | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
        by: By = "role",
    ) -> ConversationPatterns:
        """How conversations go: lengths, hours and weekdays, gaps, who speaks and how fast.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            since: only messages of this time or later.
            until: only messages before this time.
            zone: the time zone of hours and weekdays.
            by: "role" tells speakers apart by their role, "speaker" by the name that stands before
                their texts ("Ana: ..."), where there is one.

        Raises: as :meth:`growth`.
        """
        where = periods.zone_of(zone)
        told: By = checks.name("by", by, BYS)  # type: ignore[assignment]
        chosen = Chosen.of(since, until, (MESSAGE,))
        scope = await self._scope(user_id)
        return await patterns(await self._handle.store(), scope, chosen, where, told)

    @acts("read")
    async def topics(
        self,
        user_id: str | AllUsers | None = None,
        *,
        k: int | None = None,
        words: int = 10,
        examples: int = 3,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
        by: Period | None = None,
        zone: Any = "UTC",
        seed: int = 0,
    ) -> Topics:
        """What is talked about: clusters of the vectors, named by their telling words.

        The same rows with the same seed give the same topics. How they are made is told in
        :mod:`.topics`, :mod:`.clusters` and :mod:`.words`.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            k: how many topics, 1 to 200; None lets the criterion choose.
            words: how many words name a topic, 1 to 50.
            examples: how many rows are shown of each, 0 to 50.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.
            by: how long a period of a trend is; None takes the shortest with at most 60 periods.
            zone: the time zone of days.
            seed: of k-means.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
            as :meth:`growth`.
        """
        request = TopicRequest(
            k=None if k is None else checks.limit("k", k, largest=_MOST_TOPICS),
            words=checks.limit("words", words, largest=_MOST_WORDS),
            examples=checks.limit("examples", examples, largest=_MOST_WORDS, smallest=0),
            seed=checks.limit("seed", seed, largest=_LARGEST_SEED, smallest=0),
            by=None if by is None else checks.name("by", by, periods.PERIODS),
            zone=periods.zone_of(zone),
        )
        chosen = Chosen.of(since, until, kinds, alive_at=datetime.now(timezone.utc))
        scope = await self._scope(user_id)
        return await topics(await self._handle.store(), scope, chosen, request)

    @acts("read")
    async def usage(
        self,
        user_id: str | AllUsers | None = None,
        *,
        limit: int = 10,
        stale_days: float = 90,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
        now: datetime | None = None,
    ) -> Usage:
        """Which rows are recalled most and least, which never, and which not for long.

        A row counts as recalled each time that a recall gives it out, also into a context.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            limit: how many rows each list has, 1 to 1000.
            stale_days: a row is stale that was neither stored nor recalled for so many days.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.
            now: the time that ages refer to (naive is UTC). Default: the present.

        Raises: as :meth:`growth`.
        """
        count = checks.limit("limit", limit)
        days = _days(stale_days)
        at = datetime.now(timezone.utc) if now is None else checks.moment("now", now)
        if (at - datetime(1, 1, 1, tzinfo=timezone.utc)).days <= days:
            raise InvalidInputError(
                "stale_days", f"{checks.shown(stale_days)} is out of range", fix="Give fewer days."
            )
        chosen = Chosen.of(since, until, kinds, alive_at=at)
        scope = await self._scope(user_id)
        return await usage(await self._handle.store(), scope, chosen, at, days, count)

    @acts("read")
    async def duplicates(
        self,
        user_id: str | AllUsers | None = None,
        *,
        bound: float = 0.95,
        limit: int = 50,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
    ) -> Duplicates:
        """Rows that repeat others, word for word or nearly. Nothing is deleted.

        Rows of two users are never compared. The time grows with the square of a user's rows; how
        it is kept small is told in :mod:`.duplicates`.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's, each by itself. A view knows its user.
            bound: the least cosine of two rows that are alike, 0.5 to 1.
            limit: how many groups are told, 1 to 1000.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.

        Raises: as :meth:`growth`.
        """
        least = checks.unit_interval("bound", bound)
        if least < _LEAST_BOUND:
            raise InvalidInputError(
                "bound", f"{least:g} is out of range", fix="Give a number from 0.5 to 1."
            )
        count = checks.limit("limit", limit)
        chosen = Chosen.of(since, until, kinds, alive_at=datetime.now(timezone.utc))
        scope = await self._scope(user_id)
        return await duplicates(await self._handle.store(), scope, chosen, least, count)

    @acts("read")
    async def report(
        self,
        user_id: str | AllUsers | None = None,
        *,
        sections: Section | list[Section] | tuple[Section, ...] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
        by: Period | None = None,
        limit: int = 10,
    ) -> AnalyticsReport:
        """Several of these together, with their defaults.

        Without scikit-learn there are no topics, and ``left_out`` says so, unless ``sections``
        names them.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            sections: "growth", "conversations", "topics", "usage" and "duplicates", or some of
                them; None for all.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            zone: the time zone of days and hours.
            by: how long a period is.
            limit: how many rows or groups a list has.

        Raises: as :meth:`growth`.
        """
        named = checks.names("sections", sections, SECTIONS)
        wanted = named or SECTIONS
        # Refused before the first of them is made.
        count = checks.limit("limit", limit)
        periods.zone_of(zone)
        Chosen.of(since, until)
        if by is not None:
            checks.name("by", by, periods.PERIODS)
        await self._scope(user_id)
        span: dict[str, Any] = {"since": since, "until": until}
        made: dict[str, Any] = {}
        left_out = []
        if "growth" in wanted:
            made["growth"] = await self.growth(user_id, by=by, zone=zone, **span)
        if "conversations" in wanted:
            made["conversations"] = await self.conversations(user_id, zone=zone, **span)
        if "topics" in wanted:
            try:
                made["topics"] = await self.topics(user_id, by=by, zone=zone, **span)
            except MissingDependencyError as error:
                if named:
                    raise
                left_out.append(f"topics: {error}")
        if "usage" in wanted:
            made["usage"] = await self.usage(user_id, limit=count, **span)
        if "duplicates" in wanted:
            made["duplicates"] = await self.duplicates(user_id, limit=count, **span)
        return AnalyticsReport(**made, left_out=tuple(left_out))

    @acts("administer")
    async def performance(self) -> Performance:
        """How often each operation was called since the memory was made, and how long it took.

        It is about all users' calls in this process, so it is for the whole memory only, and there
        is something where the memory was opened with ``metrics``.

        Raises:
            ForeignUserError: the caller is a view.
        """
        self._handle.caller.whole("the figures of all calls")
        observer = self._handle.lazy.observer
        return performance(None if observer is None else observer.recorder)

    @acts("administer")
    async def costs(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
    ) -> Costs:
        """What the language model and the embedder of this memory cost, by model and day.

        It is what bruno-llm's trackers have counted in this process; nothing of it is stored, and
        nobody counts by user. So it is for the whole memory only.

        Args:
            since: only requests of this time or later.
            until: only requests before this time.
            zone: the time zone of days.

        Raises:
            ForeignUserError: the caller is a view.
            InvalidInputError: an argument is not usable.
        """
        self._handle.caller.whole("the cost of models")
        where = periods.zone_of(zone)
        chosen = Chosen.of(since, until)
        store = await self._handle.store()
        return costs(self._handle.llm, store.embedder, chosen, where)

    async def _scope(self, user_id: Any) -> Any:
        return await self._handle.caller.search_scope(self._handle.owners, user_id)


def _days(value: Any) -> float:
    fix = f"Give a number of days from 0 to {_LONGEST_AGE}."
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInputError("stale_days", f"{checks.shown(value)} is no number", fix=fix)
    if not 0 <= value <= _LONGEST_AGE:
        raise InvalidInputError("stale_days", f"{checks.shown(value)} is out of range", fix=fix)
    return float(value)
