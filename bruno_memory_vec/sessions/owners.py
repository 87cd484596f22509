"""The owners of conversations, and whose a write is that names no user.

A conversation is the user's whose row was the first one committed in it. The writer decides that
within its commit (``writing.ownership``). Nothing is bound before: neither by a write that waits or
fails, nor by asking for a context.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from bruno_core.models.message import Message

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.sessions.protocol import FindsNames, KnowsNames, Named, SessionStore

_REMEMBERED_OWNERS = 10_000
_NOTHING = Named()


class Place(NamedTuple):
    """Where a write goes.

    Attributes:
        conversation_id: the conversation.
        session_user: the user of the session by whose id it was named, if it was one.
        askers: who had asked for the conversation, where it had not begun when the place was
            looked up; None where that is to be asked.
    """

    conversation_id: str
    session_user: str | None
    askers: tuple[str, ...] | None = None


class Whose(NamedTuple):
    """The user of a write.

    ``named`` is False for the default user, where nothing named anybody: if the conversation has
    an owner when the write is committed, the write is that owner's.
    """

    user_id: str
    named: bool


class Owners:
    """The owners of conversations, as the committed rows have decided them.

    Args:
        sessions: stores the owners.
        default_user: whose a conversation is if nothing names a user.
    """

    def __init__(self, sessions: SessionStore, default_user: str) -> None:
        self._sessions = sessions
        self._default_user = default_user
        # An owner never changes, so it can be cached.
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._undisputed: OrderedDict[str, None] = OrderedDict()
        self._names = _NamesTogether(sessions) if isinstance(sessions, FindsNames) else None
        self._knows = sessions if isinstance(sessions, KnowsNames) else None

    async def owner(self, conversation_id: str) -> str | None:
        """The owner of a conversation, None for one that has not begun."""
        known = self._owners.get(conversation_id)
        if known is None and self._is_new(conversation_id):
            return None
        if known is None and self._names is not None:
            known = self._owner_of(conversation_id, await self._names.find(conversation_id))
        elif known is None:
            known = (await self._sessions.owners([conversation_id])).get(conversation_id)
            if known is not None:
                self.remember({conversation_id: known})
        return known

    def _owner_of(self, conversation_id: str, named: Named) -> str | None:
        """The owner of a conversation that was just looked up; it may have begun meanwhile."""
        if named.conversation is not None:
            self.remember({conversation_id: named.conversation.user_id})
        return self._owners.get(conversation_id)

    async def archived_at(self, user_id: str, conversation_id: str) -> int | None:
        """When a conversation was archived, in microseconds; None where it is not."""
        note = await self._sessions.note(user_id, conversation_id)
        return None if note is None or note.archived_at is None else micros(note.archived_at)

    async def of(self, conversations: Collection[str]) -> dict[str, str]:
        """The owner of each conversation that has begun."""
        found = {name: self._owners[name] for name in conversations if name in self._owners}
        missing = [name for name in conversations if name not in found]
        if missing and not self._name_nothing(missing):
            read = await self._sessions.owners(missing)
            self.remember(read)
            found.update(read)
        return found

    async def learn_names(self) -> None:
        """Let new names be told from others without a read, if the sessions can do that.

        Only for a process that writes alone.
        """
        if self._knows is not None:
            await self._knows.learn_names()

    def _name_nothing(self, ids: Sequence[str]) -> bool:
        """Whether it is certain without a read that none of these names anything yet."""
        return self._knows is not None and self._knows.name_nothing(ids)

    def _is_new(self, key: str) -> bool:
        """Whether an id is known without a read to name nothing yet.

        Not while somebody waits for a read: calls go on in the order in which they came.
        """
        waits = self._names is not None and self._names.under_way > 0
        return not waits and self._name_nothing([key])

    def remember(self, owners: Mapping[str, str]) -> None:
        """Keep owners in memory that committed rows have decided."""
        self._owners.update(owners)
        while len(self._owners) > _REMEMBERED_OWNERS:
            self._owners.popitem(last=False)

    def forget(self, user_id: str, conversations: Collection[str]) -> None:
        """Keep nothing in memory of a user who is forgotten, nor of these conversations."""
        theirs = {name for name, owner in self._owners.items() if owner == user_id}
        for name in theirs.union(conversations):
            self._owners.pop(name, None)
            self._undisputed.pop(name, None)

    async def owned(self, conversation_id: str, user_id: str | None) -> bool:
        """Whether a conversation is this user's (anyone's for None), or has not begun."""
        owner = await self.owner(conversation_id)
        return owner is None or user_id is None or owner == user_id

    async def place(self, key: str) -> Place:
        """The conversation of this id, or that of the session of this id.

        A session's id is never a conversation's own: nobody can begin one under it.
        """
        if self._names is not None:
            if key in self._owners:
                return Place(key, None)
            if self._is_new(key):
                return Place(key, None, ())
            named = await self._names.find(key)
            if self._owner_of(key, named) is not None:
                return Place(key, None)
            if named.session is not None:
                return Place(*named.session)
            return Place(key, None, named.askers)
        if await self.owner(key) is None:
            session = await self._sessions.session(key)
            if session is not None:
                return Place(session.conversation_id, session.user_id)
        return Place(key, None)

    async def find(self, key: str, user_id: str | None) -> str:
        """The id of a conversation for a reader, given its id or the id of one of its sessions.

        Args:
            key: the id.
            user_id: who reads, to whom the sessions of others do not exist; None for everybody.
        """
        place = await self.place(key)
        foreign = user_id is not None and place.session_user not in (None, user_id)
        return key if foreign else place.conversation_id

    async def whose(
        self,
        key: str,
        place: Place,
        user_id: str | None,
        asked_for_by: Collection[str] = (),
        messages: Sequence[Message] = (),
    ) -> Whose:
        """Whose a write is. It binds nothing.

        Args:
            key: how the caller has named the conversation. A refusal repeats that, and does not
                tell what conversation another user's session has.
            place: what :meth:`place` found for it.
            user_id: who writes; None where the caller did not say.
            asked_for_by: the users of contexts that were handed out and end with these messages.
            messages: what is about to be written; its metadata may name the user.

        Raises:
            ForeignUserError: the conversation or session is another user's.
            InvalidInputError: nobody is named, and several users may be meant.
        """
        if user_id is None:
            user_id = _the_only(sorted(asked_for_by), "contexts of", key) or place.session_user
        if user_id is None:
            return await self._unnamed(key, place, messages)
        owner = await self._owner_at(place)
        if place.session_user not in (None, user_id) or owner not in (None, user_id):
            raise foreign_conversation(key, user_id)
        return Whose(user_id, named=True)

    async def owner_at(self, place: Place) -> str | None:
        """The owner of a place; None for one that has not begun."""
        return await self._owner_at(place)

    async def _owner_at(self, place: Place) -> str | None:
        """The owner of a place. One that had none when it was looked up is not read again.

        Whoever has begun it meanwhile is in memory, or is found by the commit.
        """
        if place.askers is not None:
            return self._owners.get(place.conversation_id)
        return await self.owner(place.conversation_id)

    async def _unnamed(self, key: str, place: Place, messages: Sequence[Message]) -> Whose:
        """Whose a write is that names no user."""
        conversation_id = place.conversation_id
        owner = await self._owner_at(place)
        if owner is not None:
            if not await self._is_undisputed(conversation_id, owner):
                raise _several("sessions of", key)
            return Whose(owner, named=True)
        known = _named_in(messages)
        if known is None:
            askers: Sequence[str] | None = place.askers
            if askers is None:
                askers = await self._sessions.askers(conversation_id)
            known = _the_only(askers, "sessions of", key)
        return Whose(known or self._default_user, named=known is not None)

    async def _is_undisputed(self, conversation_id: str, owner: str) -> bool:
        """Whether nobody but the owner had asked for a conversation before it began."""
        if conversation_id not in self._undisputed:
            if set(await self._sessions.askers(conversation_id)) - {owner}:
                return False
            # It stays so: whoever asks for it from now on is too late.
            self._undisputed[conversation_id] = None
            if len(self._undisputed) > _REMEMBERED_OWNERS:
                self._undisputed.popitem(last=False)
        return True

    async def leave(self, conversation_id: str, user_id: str) -> None:
        """The user's next context is not this conversation's, in which a write was refused."""
        await self._sessions.leave(conversation_id, user_id)


class _Batch:
    """Ids that are looked up together, and the read of them, which begins a moment later."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.answer: asyncio.Task[dict[str, Named]] | None = None


class _NamesTogether:
    """Looks up what ids name, those of all calls that come meanwhile in one read.

    A thousand calls that each begin a conversation would else be a thousand reads, one after the
    other.
    """

    def __init__(self, sessions: FindsNames) -> None:
        self._sessions = sessions
        self._gathering: _Batch | None = None
        self._reading = LoopLock()
        #: How many callers wait for a read, or have not gone on after it.
        self.under_way = 0

    async def find(self, key: str) -> Named:
        """What an id names.

        Raises:
            EngineError: the sessions cannot be read.
        """
        batch = self._gathering
        loop = asyncio.get_running_loop()
        if (
            batch is None
            or batch.answer is None
            or batch.answer.done()  # cancelled before it began
            or batch.answer.get_loop() is not loop
        ):
            batch = self._gathering = _Batch()
            batch.answer = loop.create_task(self._read(batch))
            # Where every caller was cancelled, nobody else looks at a failure.
            batch.answer.add_done_callback(_looked_at)
        batch.ids.add(key)
        self.under_way += 1
        try:
            # Others may wait for the same read, so a cancelled caller does not cancel it.
            return (await asyncio.shield(batch.answer)).get(key, _NOTHING)
        finally:
            self.under_way -= 1

    async def _read(self, batch: _Batch) -> dict[str, Named]:
        async with self._reading:
            # Whoever comes from now on has to see what is stored meanwhile.
            if self._gathering is batch:
                self._gathering = None
            return await self._sessions.named(batch.ids)


def _looked_at(task: asyncio.Task[dict[str, Named]]) -> None:
    if not task.cancelled():
        task.exception()


def foreign_conversation(conversation_id: str, user_id: str) -> ForeignUserError:
    """The error for another user's conversation; it does not name the owner."""
    return ForeignUserError(
        f"the conversation {conversation_id!r} does not belong to the user {user_id!r}",
        fix="Use another conversation id, or its owner's user id.",
    )


def _the_only(users: Sequence[str], what: str, key: str) -> str | None:
    """The one user that is meant, None where nobody is."""
    if len(users) > 1:
        raise _several(what, key)
    return users[0] if users else None


def _several(what: str, key: str) -> InvalidInputError:
    return InvalidInputError(
        "user_id",
        f"is missing, and {what} several users are there for the conversation {key!r}",
        fix="Give user_id=..., or use for_user().",
    )


def _named_in(messages: Sequence[Message]) -> str | None:
    """The user named in the metadata of messages; None where none is."""
    named = [message.metadata.get("user_id") for message in messages]
    users = sorted({one for one in named if isinstance(one, str) and one.strip()})
    field = 'message.metadata["user_id"]'
    if len(users) > 1:
        raise InvalidInputError(
            field,
            f"names {users[0]!r} and {users[1]!r} in one conversation",
            fix="Give user_id=..., or store each user's messages by themselves.",
        )
    return identifier(field, users[0]) if users else None
