"""bruno-core's contexts in and out: a ``ConversationContext`` stored, and one made of a store."""

from __future__ import annotations

from typing import Any, Final

from bruno_core.models.context import ConversationContext, SessionContext, UserContext

from bruno_memory_vec.conversations.activity import last_of, moved
from bruno_memory_vec.conversations.context import to_store
from bruno_memory_vec.conversations.overview import ConversationInfo
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
from bruno_memory_vec.rows.models import Row, from_table, message_row, read_all, rows_of, to_message
from bruno_memory_vec.sessions.owners import Owners
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.writer import Writer

#: bruno-core's largest ``ConversationContext.max_messages``.
MOST_MESSAGES: Final = 1_000
# What a message is, besides where and when it was stored.
_SAME: Final = ("role", "message_type", "content", "metadata", "extra", "parent_id", "created_at")
_DICTS: Final = ("preferences", "profile", "metadata")
_PROFILE: Final = ("name", *_DICTS)


async def store_messages_of(
    store: Store, writer: Writer, owners: Owners, context: ConversationContext, user_id: str
) -> tuple[str, int]:
    """Store the messages of a context that are not stored as they are; what the memory put into it
    is left out.

    Returns:
        The conversation's id, and how many messages were stored.

    Raises:
        InvalidInputError: a message cannot be kept. Nothing was written.
        ForeignUserError: the conversation is another user's. Nothing was written.
    """
    bounds, key = store.config.bounds, context.conversation_id
    place = await owners.place(key)
    await owners.whose(key, place, user_id)
    talk = place.conversation_id
    rows = await rows_of(
        "context.messages",
        await to_store(list(context.messages)),
        lambda message: message_row(message, user_id, talk, bounds),
        bounds,
    )
    if not rows:
        return talk, 0
    where = RowFilter(kinds=(MESSAGE,), ids=tuple({row["id"] for row in rows}))
    found = await store.rows.read(Scope.user(user_id).within(talk), where, ("id", *_SAME))
    stored = {row["id"]: row for row in from_table(found)}
    fresh = [row for row in rows if not _is_same(row, stored.get(row["id"]))]
    if fresh:
        await writer.write(fresh)
    return talk, len(fresh)


def _is_same(row: Row, stored: Row | None) -> bool:
    return stored is not None and all(row[name] == stored[name] for name in _SAME)


async def checked_session(
    store: Store, session: SessionContext, user_id: str
) -> SessionContext | None:
    """The stored session of this id, None for none.

    Raises:
        InvalidInputError: the session is not of the context's user.
        ForeignUserError: it is stored as another user's.
    """
    if session.user_id != user_id:
        raise InvalidInputError(
            "context.session.user_id",
            f"is {session.user_id!r}, and the context's user is {user_id!r}",
            fix="Give a context whose session is its user's.",
        )
    stored = await store.sessions.session(session.session_id)
    if stored is not None and stored.user_id != user_id:
        raise ForeignUserError(
            f"the session {session.session_id!r} does not belong to the user {user_id!r}",
            fix="Use another session id.",
        )
    return stored


def merged(given: UserContext, stored: UserContext) -> UserContext | None:
    """The profile to save: what was given, and else what is stored. None where nothing is given."""
    said: dict[str, Any] = {name: held for name in _PROFILE if (held := getattr(given, name))}
    if not said:
        return None
    for name in _DICTS:
        if name in said:
            said[name] = {**getattr(stored, name), **said[name]}
    return stored.model_copy(update=said)


async def context_of(
    store: Store, info: ConversationInfo, user_context: UserContext, max_messages: int | None
) -> ConversationContext:
    """A conversation as bruno-core's context. It changes nothing.

    Args:
        store: the open store.
        info: which conversation.
        user_context: its user.
        max_messages: how many of its last messages, 1,000 at most; None for as many.
    """
    most = MOST_MESSAGES if max_messages is None else max_messages
    talk, user = info.conversation_id, info.user_id
    found = await store.rows.read(
        Scope.user(user).within(talk),
        RowFilter(kinds=(MESSAGE,)),
        COLUMNS,
        order_by="turn",
        limit=most,
    )
    messages = (await read_all(found.sort_by("turn"), to_message))[-most:]
    session = (await store.sessions.context(user, talk, 1)).session
    if session is None:
        session = SessionContext(user_id=user, conversation_id=talk, is_active=False)
        session.ended_at = session.started_at
    return ConversationContext(
        conversation_id=talk,
        user=user_context,
        session=moved(session, last_of(info.last_activity, messages)),
        messages=messages,
        max_messages=most,
        metadata={"title": info.title, "status": info.status},
    )
