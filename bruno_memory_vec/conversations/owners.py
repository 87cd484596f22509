"""Conversations, their owners and sessions, and the context handed to an assistant."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from uuid import uuid4

import pyarrow.compute as pc
from bruno_core.models.context import ConversationContext, SessionContext, UserContext

from bruno_memory_vec.conversations.context import build_context
from bruno_memory_vec.conversations.listing import Page, not_a_cursor
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotFoundError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE
from bruno_memory_vec.rows import checks as validation
from bruno_memory_vec.rows.models import Row, from_table, to_message
from bruno_memory_vec.sessions.protocol import ContextRecord, HotTurn
from bruno_memory_vec.store.folder import Store

_REMEMBERED_OWNERS = 10_000


class Conversations:
    """Who owns which conversation, and what was said there last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = store.sessions
        # An owner never changes, so it can be remembered.
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def owner(self, conversation_id: str) -> str | None:
        """The owner of a conversation, None for one that has not begun."""
        known = self._owners.get(conversation_id)
        if known is None:
            found = await self._sessions.conversation(conversation_id)
            if found is None:
                return None
            known = self._remember(conversation_id, found.user_id)
        return known

    async def resolve(self, key: str) -> str:
        """The conversation that an id names: itself, or that of the session which has this id."""
        if await self.owner(key) is None:
            session = await self._sessions.session(key)
            if session is not None:
                return str(session.conversation_id)
        return key

    async def claim(
        self, conversation_id: str, user_id: str | None, otherwise: str
    ) -> tuple[str, bool]:
        """The user whose conversation this is, bound now if it was nobody's.

        Args:
            conversation_id: the conversation about to be written.
            user_id: who writes, None where the caller did not say.
            otherwise: who owns it, where the caller did not say and nobody does.

        Returns:
            The owner, and whether this call has bound it.

        Raises:
            ForeignUserError: it belongs to somebody else than ``user_id``.
        """
        owner = await self.owner(conversation_id)
        fresh = owner is None
        if owner is None:
            bound = await self._sessions.bind(conversation_id, user_id or otherwise)
            owner = self._remember(conversation_id, bound)
        if user_id is not None and owner != user_id:
            raise foreign_conversation(conversation_id, user_id)
        return owner, fresh

    async def release(self, conversation_id: str, owner: str) -> None:
        """Take a binding back whose first write failed."""
        await self._sessions.release(conversation_id, owner)
        self._owners.pop(conversation_id, None)

    async def context(self, user_id: str, key: str | None) -> ConversationContext:
        """A user's context in a conversation, named by its id or by a session's.

        Raises:
            ForeignUserError: the conversation or session is another user's.
        """
        limit, writable = self._store.config.max_messages, self._store.writer is not None
        conversation_id = key or await self._sessions.current_conversation(user_id) or str(uuid4())
        record = await self._sessions.context(user_id, conversation_id, limit)
        if record.conversation is None and key is not None:
            conversation_id = await self.resolve(key)
            if conversation_id != key:
                if await self.owner(conversation_id) != user_id:
                    raise foreign_conversation(key, user_id)
                record = await self._sessions.context(user_id, conversation_id, limit)
        if record.conversation is None:
            if writable:
                await self.claim(conversation_id, user_id, user_id)
        elif record.conversation.user_id != user_id:
            raise foreign_conversation(conversation_id, user_id)
        messages = record.messages
        if record.conversation is not None and record.conversation.stale:
            messages = await self._reread(user_id, conversation_id, record)
        session = record.session
        if session is None:
            session = SessionContext(user_id=user_id, conversation_id=conversation_id)
            if writable:
                await self._sessions.save_session(session)
        if writable and record.current != conversation_id:
            await self._sessions.set_current_conversation(user_id, conversation_id)
        user = record.user or UserContext(user_id=user_id)
        return build_context(conversation_id, user, session, messages, limit)

    async def _reread(self, user_id: str, conversation_id: str, record: ContextRecord) -> list[Any]:
        """The last turns from the rows; the hot context is filled with them again."""
        writer, seen = self._store.writer, record.conversation
        if writer is None or seen is None:
            return [to_message(row) for row in await self._last_turns(user_id, conversation_id)]
        # Nothing may be deleted between the reading and the filling, nor the process be killed
        # there and leave what was deleted.
        async with writer.exclusive:
            rows = await self._last_turns(user_id, conversation_id)
            turns = [HotTurn(user_id, conversation_id, row["turn"], row) for row in rows]
            await self._sessions.refill(conversation_id, turns, seen)
        return [to_message(row) for row in rows]

    async def _last_turns(self, user_id: str, conversation_id: str) -> list[Row]:
        found = await self._store.rows.scan(
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
        validation.json_dict("metadata", kept, text_keys=True)
        session = SessionContext(user_id=user_id, metadata=kept)
        await self.claim(session.conversation_id, user_id, user_id)
        await self._sessions.save_session(session)
        await self._sessions.set_current_conversation(user_id, session.conversation_id)
        return session

    async def session(self, session_id: str, user_id: str | None) -> SessionContext | None:
        """A session; None where there is none, or where it is not ``user_id``'s."""
        try:
            session_id = validation.identifier("session_id", str(session_id))
        except InvalidInputError:
            return None  # no session ever had it
        session = await self._sessions.session(session_id)
        if session is None or (user_id is not None and session.user_id != user_id):
            return None
        return session

    async def sessions(
        self, user_id: str | None, active: bool | None, limit: int | None, after: str | None
    ) -> Page[SessionContext]:
        """Sessions of a user, or of everybody, the newest first."""
        before = None
        if after is not None:
            if not (isinstance(after, str) and after.isdecimal() and after.isascii()):
                raise not_a_cursor()
            before = int(after)
        asked = None if limit is None else limit + 1
        found = await self._sessions.sessions(user_id, active=active, limit=asked, before=before)
        shown = found[:limit]
        following = str(shown[-1][0]) if len(found) > len(shown) else None
        return Page((session for _, session in shown), following)

    async def end_session(self, session_id: str, user_id: str | None) -> None:
        """End a session. Ending it twice changes nothing.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        session = await self.session(session_id, user_id)
        if session is None:
            raise NotFoundError(
                f"there is no session {session_id!r}",
                fix="Use the session_id of a session that create_session returned.",
            )
        if session.is_active:
            session.end_session()
            await self._sessions.save_session(session)

    async def user(self, user_id: str) -> UserContext:
        """A user's profile and preferences; empty ones where none were saved."""
        return await self._sessions.user(user_id) or UserContext(user_id=user_id)

    async def save_user(self, user: UserContext) -> None:
        """Keep a user's profile and preferences."""
        for field in ("preferences", "profile", "metadata"):
            validation.json_dict(f"user.{field}", getattr(user, field), text_keys=True)
        await self._sessions.save_user(user)

    async def statistics(self, user_id: str) -> dict[str, Any]:
        """Counted from the rows, which are the truth."""
        rows = self._store.rows
        scope = Scope.user(user_id)
        columns = ("conversation_id", "created_at")
        messages = await rows.scan(scope, RowFilter(kinds=(MESSAGE,)), columns)
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

    def _remember(self, conversation_id: str, owner: str) -> str:
        self._owners[conversation_id] = owner
        if len(self._owners) > _REMEMBERED_OWNERS:
            self._owners.popitem(last=False)
        return owner


def foreign_conversation(conversation_id: str, user_id: str) -> ForeignUserError:
    """The refusal; it does not say whose conversation it is."""
    return ForeignUserError(
        f"the conversation {conversation_id!r} does not belong to the user {user_id!r}",
        fix="Use another conversation id, or its owner's user id.",
    )
