"""Which rows a call reaches: a caller's own, those of its spaces, those of the groups it is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from bruno_core.models.context import ConversationContext, SessionContext, UserContext

from bruno_memory_vec.access import ALL_USERS, SPACE, AllUsers, note_user
from bruno_memory_vec.acts import current_action
from bruno_memory_vec.conversations.context import build_context
from bruno_memory_vec.conversations.groups import Groups, by, is_group
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import read_all, to_message
from bruno_memory_vec.sessions.owners import Place
from bruno_memory_vec.store.handle import Handle

_log = get_logger(__name__)


async def scope_in(handle: Handle, conversation_id: str) -> Scope:
    """The rows of a conversation, named by its id or a session's, that the caller may use.

    In a view, of another user's conversation there are none.
    """
    checks.identifier("conversation_id", conversation_id)
    caller = handle.caller
    talk = await handle.find(conversation_id)
    if caller.user_id is None:
        note_user(await (await handle.owners()).owner(talk))
        return Scope.all_users().within(talk)
    owner = await (await handle.owners()).owner(talk)
    if owner not in (None, caller.user_id):
        if caller.may_use(owner):
            return Scope(owner, talk)
        found = await _in_group(handle, owner, caller.user_id, talk)
        if found is not None:
            return found
    return caller.scope.within(talk)


async def search_scope(
    handle: Handle, user_id: str | AllUsers | None, conversation_id: str | None
) -> Scope:
    """As :meth:`.Caller.search_scope`, of a group's conversation, too, for its members.

    Raises:
        InvalidInputError: nothing says whose rows to search.
        ForeignUserError: the conversation is another user's.
    """
    caller = handle.caller
    if conversation_id is not None and user_id is not ALL_USERS:
        checks.identifier("conversation_id", conversation_id)
        user = caller.acting_for(user_id)
        talk = await handle.find(conversation_id)
        owner = await (await handle.owners()).owner(talk)
        if user is not None and owner is not None and owner != user:
            found = await _in_group(handle, owner, user, talk)
            if found is not None:
                return found
    return await caller.search_scope(handle.owners, user_id, conversation_id)


async def with_groups(handle: Handle, scope: Scope) -> Scope:
    """A user's scope with the groups that the user is in; that of a conversation as it is."""
    if scope.user_id is None or scope.conversation_id is not None:
        return scope
    try:
        spaces = await Groups(await handle.store()).current(scope.user_id)
    except EngineError as error:
        # Without its sessions a recall goes on with the user's own rows.
        _log.warning("recalled_without_groups", error=str(error))
        return scope
    if not spaces:
        return scope
    for space in spaces:
        note_user(space)
    return replace(scope, also=tuple(dict.fromkeys((*scope.also, *spaces))))


async def sees(handle: Handle, owner: str | None) -> bool:
    """Whether something of this owner exists for the caller: it is theirs, or they are in it."""
    caller = handle.caller
    if caller.may_see(owner):
        return True
    return caller.user_id is not None and await _member_now(handle, owner, caller.user_id)


async def follows(handle: Handle, scope: Scope) -> bool:
    """Whether the caller may still see what comes in a conversation (:func:`scope_in`)."""
    user, owner = handle.caller.user_id, scope.user_id
    if scope.before_turn is not None:
        return False
    return user is None or not is_group(owner) or await _member_now(handle, owner, user)


class Spoken(NamedTuple):
    """What is stored in a conversation of a space.

    Attributes:
        user_id: the space, whose rows they become.
        messages: with who spoke; what is no list of messages as it was given, to be refused.
    """

    user_id: str
    messages: Any


async def spoken(
    handle: Handle,
    place: Place,
    user: str | None,
    messages: Any,
    asked_for_by: Callable[[], set[str]],
) -> Spoken | None:
    """What is stored, if the conversation is of a space or a group that the user may write to.

    Args:
        handle: whose call it is.
        place: the conversation.
        user: who writes, or the space that a view has named; None where nobody was named.
        messages: what was given.
        asked_for_by: the users of the contexts that were handed out for these messages.

    Returns:
        None where it is an ordinary conversation, or one that the user may not write to.
    """
    owner = await handle.lazy.owners.owner_at(place)
    caller = handle.caller
    space = user if owner is None else owner
    if space is None or not space.startswith(SPACE):
        return None
    speaker: str | None = caller.me if user == space else user
    if user not in (None, space):
        allowed = caller.may_use(owner) or await _member_now(handle, owner, user)
        if not allowed:
            return None
    elif user is None and messages:
        askers = sorted(asked_for_by() - {space})
        speaker = askers[0] if len(askers) == 1 else None
        if len(askers) > 1 or (speaker and not await _member_now(handle, owner, speaker)):
            return None
    note_user(space)
    if speaker is None or not isinstance(messages, list):
        return Spoken(space, messages)
    return Spoken(space, [by(one, speaker) for one in messages])


async def group_context(
    handle: Handle, user_id: str, conversation_id: str
) -> ConversationContext | None:
    """The context of a group's conversation for somebody who is or was in it; None of any other.

    It begins no session: the group has its own.
    """
    owners = await handle.owners()
    talk = await owners.find(conversation_id, None)
    owner = await owners.owner(talk)
    if owner == user_id or not is_group(owner):
        return None
    scope = await _in_group(handle, owner, user_id, talk)
    if scope is None:
        return None
    store, config = await handle.store(), handle.config
    where = RowFilter(kinds=(MESSAGE,))
    found = await store.rows.read(scope, where, COLUMNS, order_by="turn", limit=config.max_messages)
    messages = (await read_all(found, to_message))[::-1]
    user = await store.sessions.user(user_id) or UserContext(user_id=user_id)
    session = SessionContext(session_id=talk, user_id=user_id, conversation_id=talk)
    return build_context(talk, user, session, messages, config)


async def _in_group(handle: Handle, owner: str | None, user: str, talk: str) -> Scope | None:
    """The rows of a group's conversation for somebody who is or was in it."""
    if owner is None or not is_group(owner):
        return None
    group = await Groups(await handle.store()).of(owner)
    member = None if group is None else group.member(user)
    if group is None or member is None:
        return None
    action = current_action()
    if member.is_in:
        if action not in ("read", "write") and not (action == "delete" and member.owner):
            return None
        note_user(owner)
        return Scope(owner, talk)
    # A branch of it may have other turns under the same numbers.
    if action != "read" or talk != group.conversation_id:
        return None
    note_user(owner)
    return Scope(owner, talk, before_turn=member.left_turn)


async def _member_now(handle: Handle, owner: str | None, user: str | None) -> bool:
    if owner is None or user is None or not is_group(owner):
        return False
    group = await Groups(await handle.store()).of(owner)
    member = None if group is None else group.member(user)
    return member is not None and member.is_in
