"""``memory.episodic``: events in time, with who was there and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.acts import acts
from bruno_memory_vec.conversations.listing import Page
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import MEMORY, ORIGINS
from bruno_memory_vec.knowledge.kinds.view import Given, TypedView
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import utc

#: In ``custom_fields`` of an event: where it was, who was there, and when it ended.
PLACE, PARTICIPANTS, ENDED = "place", "participants", "ended_at"
# A tag, as a filter finds rows by one of several tags, and not by one of a list in the metadata.
_PARTICIPANT: Final = "participant:"
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST: Final = datetime.max.replace(tzinfo=timezone.utc) - _MICROSECOND


class EpisodicMemory(TypedView):
    """Events: EPISODIC memories, each at its time, which is its ``created_at``.

    Summaries of conversations are EPISODIC rows, too, and are no events: they are not shown here.
    """

    types: ClassVar = (MemoryType.EPISODIC,)
    default_type: ClassVar = MemoryType.EPISODIC
    name: ClassVar = "episodic"
    origins: ClassVar = tuple(one for one in ORIGINS if one != "summary")

    @acts("write")
    async def add(
        self,
        event: str | MemoryEntry,
        *,
        at: datetime | None = None,
        ended_at: datetime | None = None,
        participants: Sequence[str] = (),
        place: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store an event.

        Args:
            event: what happened, or a whole entry of the type EPISODIC, whose ``created_at`` is
                its time.
            at: when it happened or begins (naive is UTC); it may be in the future. Default: now.
            ended_at: when it ended.
            participants: the names of those who were there.
            place: where.
            user_id: whose memory it is; a view knows its user.
            conversation_id: where it was told.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: further ``custom_fields``.
            origin: who it comes from.

        Returns:
            The memory as it is stored.

        Raises:
            InvalidInputError: a value is not usable, or it ended before it began. Nothing was
                written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """
        if at is not None:
            checks.moment("at", at)
        entry = self._entry(
            event,
            user_id,
            conversation_id=conversation_id,
            category=category,
            tags=tags,
            importance=importance,
            confidence=confidence,
            metadata=metadata,
            at=at,
        )
        if isinstance(event, MemoryEntry) and at is not None:
            entry.created_at = at
        fields = dict(entry.metadata.custom_fields)
        if place is not None:
            fields[PLACE] = checks.label("place", place)
        if participants:
            names = list(dict.fromkeys(_names(participants)))
            fields[PARTICIPANTS] = names
            known = [*entry.metadata.tags, *map(_tag, names)]
            entry.metadata.tags = list(dict.fromkeys(known))
        if ended_at is not None:
            if checks.moment("ended_at", ended_at) < checks.moment("at", entry.created_at):
                raise InvalidInputError(
                    "ended_at", "is before the event began", fix="Give a time after `at`."
                )
            fields[ENDED] = ended_at
        entry.metadata.custom_fields = fields
        await self._memory.store_memory(entry, origin=origin)
        return entry

    @acts("read")
    async def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The events, the latest first; see :meth:`between` for a part of them."""
        return await self._events(
            user_id,
            order="newest",
            tags=tags,
            categories=categories,
            metadata=metadata,
            include_expired=include_expired,
            include_archived=include_archived,
            limit=limit,
            after=after,
        )

    @acts("read")
    async def between(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        order: Literal["oldest", "newest"] = "oldest",
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The events that began in a time, in their order.

        Args:
            since: at this time or later (naive is UTC); None for the first ones.
            until: before this time; None for the last ones.
            user_id: whose; a view knows its user.
            participants: only those at which any of these was present.
            place: only those at this place.
            order: "oldest" or "newest" first.
            limit: how many at most; None for all.
            after: the ``next`` of the page before, of a call with the same arguments.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """
        return await self._events(
            user_id,
            since=since,
            until=until,
            order=order,
            tags=_wanted(participants),
            metadata=_at(place),
            limit=limit,
            after=after,
        )

    @acts("read")
    async def around(
        self,
        at: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events nearest to a time or to an event, in the order of time; itself among them.

        Args:
            at: a time (naive is UTC), an event, or an event's id.
            user_id: whose; a view knows its user.
            participants: only those at which any of these was present.
            place: only those at this place.
            limit: how many at most.

        Raises:
            NotFoundError: there is no such event for this caller.
            InvalidInputError: an argument is not usable, or nothing says whose.
        """
        found = await self._events(
            user_id,
            around=await self._moment(at, user_id),
            tags=_wanted(participants),
            metadata=_at(place),
            limit=limit,
        )
        return Page(
            sorted(found, key=lambda event: checks.moment("created_at", event.created_at)),
            found.next,
        )

    @acts("read")
    async def before(
        self,
        event: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events before a time or an event, the nearest first. As :meth:`around`."""
        return await self._events(
            user_id,
            until=await self._moment(event, user_id),
            order="newest",
            tags=_wanted(participants),
            metadata=_at(place),
            limit=limit,
        )

    @acts("read")
    async def after(
        self,
        event: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events after a time or an event, the nearest first. As :meth:`around`."""
        return await self._events(
            user_id,
            since=min(await self._moment(event, user_id), _LAST) + _MICROSECOND,
            order="oldest",
            tags=_wanted(participants),
            metadata=_at(place),
            limit=limit,
        )

    async def _moment(
        self, event: datetime | str | UUID | MemoryEntry, user_id: str | None
    ) -> datetime:
        """A time, or that of an event."""
        if isinstance(event, datetime):
            return checks.moment("at", event)
        if isinstance(event, MemoryEntry):
            return checks.moment("event.created_at", event.created_at)
        return utc((await self._existing(event, user_id))["created_at"])

    async def _events(self, user_id: str | None, **asked: Any) -> Page[MemoryEntry]:
        found = await self._memory.timeline(
            user_id, kinds=MEMORY, memory_types=self.types, origins=self.origins, **asked
        )
        return Page(
            (hit.record for hit in found if isinstance(hit.record, MemoryEntry)), found.next
        )


def _names(names: str | Sequence[str]) -> Sequence[str]:
    """Names of participants, one or many."""
    return [checks.label("participants", one) for one in checks.strings("participants", names)]


def _tag(name: str) -> str:
    return f"{_PARTICIPANT}{name}"


def _wanted(participants: str | Sequence[str] | None) -> list[str] | None:
    return None if participants is None else [_tag(one) for one in _names(participants)]


def _at(place: str | None) -> dict[str, str] | None:
    return None if place is None else {PLACE: place}
