"""When something last happened in a session or a conversation, and what its status follows from.

A message that is stored moves the ``last_activity`` of its conversation's sessions without a write
of its own: the session store notes the time with the rows (``SessionStore.touched``), and it is
put into each session that is given out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated, Final, Literal

import pyarrow as pa
from bruno_core.models.context import SessionContext
from bruno_core.models.message import Message

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.conversations.summaries import SUMMARIES
from bruno_memory_vec.indexers.query import EVERYONE, On, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows.models import utc
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.store import Store

Status = Literal["created", "active", "idle", "ended", "archived"]

#: Every status, in the order in which a conversation may go through them.
STATUSES: Final[tuple[Status, ...]] = ("created", "active", "idle", "ended", "archived")


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """After which time without a message a session is idle, and after which it has ended.

    Attributes:
        idle_after: None for never.
        expires_after: None for never.
    """

    idle_after: timedelta | None
    expires_after: timedelta | None

    @classmethod
    def of(cls, config: MemoryConfig) -> Lifetimes:
        """Those of the settings."""
        return cls(config.session_idle_after, config.session_expires_after)

    def expired_at(self, last_activity: datetime, now: datetime) -> datetime | None:
        """When a session of this last activity has expired; None where it has not by now."""
        if self.expires_after is None or now - last_activity < self.expires_after:
            return None
        return last_activity + self.expires_after

    def status(self, last_activity: datetime, now: datetime, *, spoken: bool) -> Status:
        """The status of what goes on: created (where nothing was said), active, idle or ended."""
        if self.expired_at(last_activity, now) is not None:
            return "ended"
        if not spoken:
            return "created"
        idle = self.idle_after is not None and now - last_activity >= self.idle_after
        return "idle" if idle else "active"


def aware(at: datetime) -> datetime:
    """A time of a session, which bruno-core keeps naive in UTC, as a timezone-aware one."""
    return at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)


def naive(at: datetime) -> datetime:
    """A time as bruno-core keeps it: naive, in UTC."""
    return aware(at).replace(tzinfo=None)


def moved(session: SessionContext, touched: datetime | None) -> SessionContext:
    """An active session whose ``last_activity`` is not older than this; an ended one as it is."""
    if touched is not None and session.is_active and aware(session.last_activity) < touched:
        session.last_activity = naive(touched)
    return session


def last_of(touched: datetime | None, messages: Sequence[Message]) -> datetime | None:
    """When something was last stored; where that is not known, the time of the newest message."""
    if touched is not None or not messages:
        return touched
    return max(aware(message.timestamp) for message in messages)


def conversation_status(
    note: ConversationNote | None,
    last_activity: datetime,
    lifetimes: Lifetimes,
    now: datetime,
    *,
    stored: datetime | None,
) -> Status:
    """The status of a conversation.

    One that was ended goes on where something happens in it later, and one that was archived where
    a message is stored in it later; to ask for its context is not enough.

    Args:
        note: what is noted of it.
        last_activity: when something was last stored in it, or a session of it began.
        lifetimes: the settings.
        now: the present.
        stored: when a message was last stored in it; None where it has none.
    """
    if is_archived(note, stored):
        return "archived"
    if note is not None and note.ended_at is not None and note.ended_at >= last_activity:
        return "ended"
    return lifetimes.status(last_activity, now, spoken=stored is not None)


def is_archived(note: ConversationNote | None, stored: datetime | None) -> bool:
    """Whether a conversation is archived, and no message was stored in it since.

    Args:
        note: what is noted of it.
        stored: when a message was last stored in it; None where it has none.
    """
    if note is None or note.archived_at is None:
        return False
    # Archived again, it keeps the time that is in its rows, and is ended at a later one.
    last = max(note.archived_at, note.ended_at or note.archived_at)
    return stored is None or stored <= last


@dataclass(frozen=True, slots=True)
class Within(RowFilter):
    """Rows of some conversations."""

    conversations: Annotated[tuple[str, ...], On("conversation_id", "in")] = ()


async def last_stored(store: Store, conversations: Collection[str]) -> dict[str, datetime]:
    """When a message was last stored in each of these conversations, UTC.

    Where the session store does not know, it is the time of the newest message. Those without a
    message are left out.

    Raises:
        EngineError: an engine failed.
    """
    if not conversations:
        return {}
    found = await store.sessions.touched(conversations)
    missing = tuple(name for name in conversations if name not in found)
    if missing:
        where = Within(kinds=(MESSAGE,), conversations=missing)
        rows = await store.rows.read(EVERYONE, where, ("conversation_id", "created_at"))
        found.update(_newest(rows))
    return found


async def lies_archived(store: Store, user_id: str, conversation_id: str) -> bool:
    """Whether a user's conversation is archived, and no message was stored in it since.

    Raises:
        EngineError: an engine failed.
    """
    note = await store.sessions.note(user_id, conversation_id)
    if note is None or note.archived_at is None:
        return False
    return is_archived(note, (await last_stored(store, [conversation_id])).get(conversation_id))


async def exists(store: Store, user_id: str, conversation_id: str) -> bool:
    """Whether a user's conversation has a message, a summary, a note, or a session.

    An id stays its owner's where all of that is deleted; the conversation is gone.

    Raises:
        EngineError: an engine failed.
    """
    scope = Scope.user(user_id).within(conversation_id)
    for where in (RowFilter(kinds=(MESSAGE,)), SUMMARIES):
        if await store.rows.count(scope, where):
            return True
    if await store.sessions.note(user_id, conversation_id) is not None:
        return True
    sessions = await store.sessions.sessions(user_id, active=None, limit=None, after=None)
    return any(one.conversation_id == conversation_id for one in sessions)


def _newest(rows: pa.Table) -> Mapping[str, datetime]:
    """The largest ``created_at`` of each conversation."""
    index = rows.schema.get_field_index("created_at")
    micros = rows.set_column(index, "created_at", rows.column(index).cast(pa.int64()))
    grouped = micros.group_by("conversation_id").aggregate([("created_at", "max")])
    return {one["conversation_id"]: utc(one["created_at_max"]) for one in grouped.to_pylist()}


async def with_activity(store: Store, sessions: Iterable[SessionContext]) -> list[SessionContext]:
    """Sessions, each active one with the ``last_activity`` that its conversation's messages give.

    Raises:
        EngineError: an engine failed.
    """
    listed = list(sessions)
    talks = dict.fromkeys(one.conversation_id for one in listed if one.is_active)
    stored = await last_stored(store, talks)
    return [moved(one, stored.get(one.conversation_id)) for one in listed]


async def end(store: Store, session: SessionContext, at: datetime) -> SessionContext:
    """End a session; its ``last_activity`` stays as it is.

    Raises:
        EngineError: it cannot be saved.
    """
    session.is_active = False
    session.ended_at = naive(max(aware(at), aware(session.last_activity)))
    await store.sessions.save_session(session)
    return session


async def end_expired(store: Store) -> list[SessionContext]:
    """End every session in which nothing was stored for too long; upkeep does it.

    Returns:
        Those that were ended.

    Raises:
        EngineError: an engine failed.
    """
    lifetimes, now = Lifetimes.of(store.config), datetime.now(timezone.utc)
    if lifetimes.expires_after is None:
        return []
    active = await store.sessions.sessions(None, active=True, limit=None, after=None)
    ended = []
    for session in await with_activity(store, active):
        at = lifetimes.expired_at(aware(session.last_activity), now)
        if at is not None:
            ended.append(await end(store, session, at))
    return ended
