"""Sessions, users, and the context of an assistant."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

import pyarrow.compute as pc
from bruno_core.models.context import ConversationContext, SessionContext, UserContext
from bruno_core.models.message import Message

from bruno_memory_vec.conversations.activity import (
    Lifetimes,
    aware,
    end,
    last_of,
    lies_archived,
    moved,
    with_activity,
)
from bruno_memory_vec.conversations.branches import detach
from bruno_memory_vec.conversations.context import build_context
from bruno_memory_vec.conversations.listing import Page, not_a_cursor
from bruno_memory_vec.conversations.summaries import SUMMARIES
from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.events import Events
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import FollowsLog
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE
from bruno_memory_vec.rows import checks as validation
from bruno_memory_vec.rows.bounds import Bounds
from bruno_memory_vec.rows.models import Row, from_table, to_message
from bruno_memory_vec.rows.weight import in_thread_if, is_heavy
from bruno_memory_vec.sessions.owners import Owners, foreign_conversation
from bruno_memory_vec.sessions.protocol import ContextRecord, ConversationNote, HotTurn
from bruno_memory_vec.store.notes import change_note
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.projections.sessions import SessionsProjection

_KEEPING = "keep what get_context has begun"


class Conversations:
    """The sessions of an open store, and the contexts of its conversations.

    Args:
        store: the open store.
        owners: who owns which conversation.
        events: told of each session that begins or ends.
    """

    def __init__(self, store: Store, owners: Owners, events: Events) -> None:
        self._store = store
        self._events = events
        self._sessions = store.sessions
        self._owners = owners
        #: After which time sessions are idle, and end.
        self.lifetimes = Lifetimes.of(store.config)

    async def context(
        self, user_id: str, key: str | None, *, in_view: bool, keeps: bool = True
    ) -> ConversationContext:
        """A user's context in a conversation, named by its id or by a session's.

        It binds nothing: a conversation that has not begun stays anybody's. Only a conversation
        that is made here, because the user has none, is the user's at once.

        Args:
            user_id: whose.
            key: the id; None for the user's current conversation, or one that is made here where
                there is none, or it is archived.
            in_view: whether another user's conversation or session is like one that does not exist.
            keeps: whether a session that begins here, and which conversation is the user's current
                one, is saved; not for who may only read.

        Raises:
            ForeignUserError: the conversation or session is another user's.
        """
        limit = self._store.config.max_messages
        writable = keeps and self._store.writer is not None
        current = None if key else await self._sessions.current_conversation(user_id)
        if current is not None and await lies_archived(self._store, user_id, current):
            current = None
        conversation_id = key or current or str(uuid4())
        behind = self._store.writer is None and await self._lacks_logged()
        made_here = conversation_id not in (key, current)
        record = await self._sessions.context(user_id, conversation_id, limit)
        if record.conversation is None and key is not None:
            place = await self._owners.place(key)
            if place.session_user not in (None, user_id) and not in_view:
                raise foreign_conversation(key, user_id)
            if place.session_user == user_id:
                conversation_id = place.conversation_id
                record = await self._sessions.context(user_id, conversation_id, limit)
        if not (in_view or _is_theirs(record, user_id)):
            if key is not None:
                raise foreign_conversation(key, user_id)
            # The user only asked for it, and another one was the first to speak there.
            conversation_id, made_here = str(uuid4()), True
            record = await self._sessions.context(user_id, conversation_id, limit)
        messages, known = record.messages, record.conversation
        writer = self._store.writer
        if behind or (writer is not None and writer.is_behind(SessionsProjection.name)):
            messages = await _messages(await self._last_turns(user_id, conversation_id))
        elif known is not None and known.user_id == user_id and known.stale:
            messages = await self._reread(user_id, conversation_id, record)
        session = await self._going_on(record, messages, keeps=keeps)
        if session is None:
            session = SessionContext(user_id=user_id, conversation_id=conversation_id)
            if writable and made_here:
                await self._keep(self._begun(self._sessions.begin_session(session), session))
            elif writable:
                await self._keep(self._begun(self._sessions.save_session(session), session))
        if writable and not made_here and record.current != conversation_id:
            await self._keep(self._sessions.set_current_conversation(user_id, conversation_id))
        user = record.user or UserContext(user_id=user_id)
        return build_context(conversation_id, user, session, messages, self._store.config)

    async def _lacks_logged(self) -> bool:
        """Whether the sessions of a reader lack rows that the log of the writing process has.

        They do for a moment after each commit; then messages are read from the rows.
        """
        log = capability(self._store.rows, FollowsLog)
        if log is None:
            return False
        # In this order: what the log has now, sessions that are read later have, or lack.
        logged = await log.newest_logged()
        return logged > await self._sessions.last_seq()

    async def _going_on(
        self, record: ContextRecord, messages: Sequence[Message], *, keeps: bool
    ) -> SessionContext | None:
        """The session that goes on; None for none. One that has expired is ended."""
        session, lifetimes = record.session, self.lifetimes
        while session is not None:
            moved(session, last_of(record.touched, messages))
            ended_at = lifetimes.expired_at(
                aware(session.last_activity), datetime.now(timezone.utc)
            )
            if ended_at is None or self._store.writer is None or not keeps:
                return None if ended_at is not None else session
            await self._keep(self._expired(session, ended_at))
            talk, user = session.conversation_id, session.user_id
            left = (await self._sessions.context(user, talk, 1)).session
            # Where it could not be saved, it is still there.
            session = None if left is None or left.session_id == session.session_id else left
        return None

    async def _expired(self, session: SessionContext, at: datetime) -> None:
        await end(self._store, session, at)
        self._events.session_ended(session)

    async def _reread(
        self, user_id: str, conversation_id: str, record: ContextRecord
    ) -> list[Message]:
        """The last turns, read from the rows and stored as the hot context."""
        writer, seen = self._store.writer, record.conversation
        if writer is None or seen is None:
            return await _messages(await self._last_turns(user_id, conversation_id))
        # Under the lock, so that no message is deleted between the read and the refill; it would
        # stay in the hot context.
        async with writer.exclusive:
            rows = await self._last_turns(user_id, conversation_id)
            turns = [HotTurn(user_id, conversation_id, row["turn"], row) for row in rows]
            await self._keep(self._sessions.refill(conversation_id, turns, seen))
        return await _messages(rows)

    async def _keep(self, change: Awaitable[Any]) -> None:
        """Write what reading has begun. It goes on where that fails, as on a full disk."""
        assert self._store.writer is not None
        with self._store.writer.tolerating(_KEEPING):
            await change

    async def _begun(self, change: Awaitable[None], session: SessionContext) -> None:
        await change
        self._events.session_started(session)

    async def _last_turns(self, user_id: str, conversation_id: str) -> list[Row]:
        found = await self._store.rows.read(
            Scope.user(user_id).within(conversation_id),
            RowFilter(kinds=(MESSAGE,)),
            COLUMNS,
            order_by="turn",
            limit=self._store.config.max_messages,
        )
        return sorted(from_table(found), key=lambda row: row["turn"])

    async def create_session(self, user_id: str, metadata: dict[str, Any] | None) -> SessionContext:
        """Begin a session, with a conversation of its own that becomes the user's current one."""
        kept = {} if metadata is None else metadata
        await check_dicts({"metadata": kept}, self._store.config.bounds)
        session = SessionContext(user_id=user_id, metadata=kept)
        await self._begun(self._sessions.begin_session(session), session)
        return session

    async def session(self, session_id: Any, user_id: str | None) -> SessionContext | None:
        """A session; None where there is none, or where it is not ``user_id``'s."""
        try:
            named = str(session_id) if isinstance(session_id, UUID) else session_id
            session_id = validation.identifier("session_id", named)
        except InvalidInputError:
            return None  # not a valid id
        session = await self._sessions.session(session_id)
        if session is None or (user_id is not None and session.user_id != user_id):
            return None
        return (await with_activity(self._store, [session]))[0]

    async def sessions(
        self, user_id: str | None, active: bool | None, limit: int | None, after: str | None
    ) -> Page[SessionContext]:
        """Sessions of a user, or of everybody, the newest first."""
        if after is not None:
            # An id and not a number, which would tell how many sessions others have.
            ended_at = await self.session(after, user_id) if isinstance(after, str) else None
            if ended_at is None:
                raise not_a_cursor()
        asked = None if limit is None else limit + 1
        found = await self._sessions.sessions(user_id, active=active, limit=asked, after=after)
        shown = await with_activity(self._store, found[:limit])
        return Page(shown, shown[-1].session_id if len(found) > len(shown) else None)

    async def end_session(self, session_id: str, user_id: str | None) -> None:
        """End a session, and its conversation where no other session of it is active.

        Ending it twice changes nothing.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        session = await self.session(session_id, user_id)
        if session is None:
            raise NotFoundError(
                f"there is no session {validation.shown(session_id)}",
                fix="Use the session_id of a session that create_session returned.",
            )
        if session.is_active:
            now = datetime.now(timezone.utc)
            await end(self._store, session, now)
            self._events.session_ended(session)
            talk, user = session.conversation_id, session.user_id
            begun = await self._owners.owner(talk) == user
            if begun and (await self._sessions.context(user, talk, 1)).session is None:
                await self.note_of(user, talk, ended_at=now)

    async def note_of(self, user_id: str, conversation_id: str, **changes: Any) -> ConversationNote:
        """Change what is noted of a user's conversation; returns the note as it is now."""
        return await change_note(self._store, user_id, conversation_id, **changes)

    async def forget(self, conversation_id: str) -> None:
        """Forget what is left of a conversation whose messages are deleted: summaries and note.

        Its branches stay, and have no parent any more. A summary that the memory has made is made
        of their text. What somebody stored as a memory stays.
        """
        owner = await self._owners.owner(conversation_id)
        if owner is None:
            return
        assert self._store.writer is not None
        await detach(self._store, owner, conversation_id)
        await self._store.writer.delete(Scope.user(owner).within(conversation_id), SUMMARIES)
        await self._sessions.drop_note(owner, conversation_id)

    async def check_session(self, session: SessionContext) -> None:
        """Refuse a session that cannot be stored, before anything is written."""
        await check_dicts(
            {f"session.{name}": getattr(session, name) for name in ("state", "metadata")},
            self._store.config.bounds,
        )

    async def statistics(self, user_id: str) -> dict[str, Any]:
        """A user's statistics, counted from the rows."""
        rows = self._store.rows
        scope = Scope.user(user_id)
        columns = ("conversation_id", "created_at")
        messages = await rows.read(scope, RowFilter(kinds=(MESSAGE,)), columns)
        first = last = None
        if messages.num_rows:
            span = pc.min_max(messages.column("created_at")).as_py()
            first, last = span["min"].replace(tzinfo=None), span["max"].replace(tzinfo=None)
        return {
            "total_messages": messages.num_rows,
            "conversations": len(pc.unique(messages.column("conversation_id"))),
            "memories": await rows.count(scope, RowFilter(kinds=(MEMORY,))),
            "first_message_at": first,
            "last_message_at": last,
        }


async def check_dicts(dicts: Mapping[str, Any], bounds: Bounds) -> None:
    """Refuse what cannot be stored, or is too large, before anything is written.

    Args:
        dicts: by the name of its field, each with text keys.
        bounds: how large one may be.

    Raises:
        InvalidInputError: one cannot be kept; the error names it.
    """

    def check() -> None:
        for field, value in dicts.items():
            text = validation.json_dict(field, value, text_keys=True)
            bounds.metadata(field, len(text))

    await in_thread_if(is_heavy(*dicts.values()), check)


def _is_theirs(record: ContextRecord, user_id: str) -> bool:
    """Whether a conversation is the user's, or has not begun."""
    return record.conversation is None or record.conversation.user_id == user_id


async def _messages(rows: list[Row]) -> list[Message]:
    heavy = is_heavy(*(value for row in rows for value in row.values()))
    return await in_thread_if(heavy, lambda: [to_message(row) for row in rows])
