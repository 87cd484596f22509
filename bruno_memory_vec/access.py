"""Access control: the caller of a method, and the owners of conversations."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final
from weakref import WeakValueDictionary

from bruno_core.models.message import Message

from bruno_memory_vec.errors import (
    EngineError,
    ForeignUserError,
    InvalidInputError,
    StoreClosedError,
)
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.sessions.protocol import SessionStore

_REMEMBERED_OWNERS = 10_000


class AllUsers(Enum):
    """The type of :data:`ALL_USERS`."""

    ALL_USERS = "all users"


#: Given as ``user_id`` to search every user's rows. It must be named, so that nobody gets it by
#: omission.
ALL_USERS: Final = AllUsers.ALL_USERS


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a method: a view of one user, or the whole memory.

    Attributes:
        user_id: the user of the view; None for the whole memory.
    """

    user_id: str | None = None

    def acting_for(self, user_id: str | None) -> str | None:
        """The user that a call is for: in a view its user, otherwise the given one.

        Raises:
            ForeignUserError: the caller is another user's view.
        """
        if user_id is not None:
            identifier("user_id", user_id)
        if self.user_id is None:
            return user_id
        if user_id is not None and user_id != self.user_id:
            raise ForeignUserError(
                f"this memory serves the user {self.user_id!r} only, not {user_id!r}",
                fix="Use for_user() of the whole memory.",
            )
        return self.user_id

    def acting_for_named(self, user_id: str) -> str:
        """As :meth:`acting_for`, for a call that has to name its user."""
        return self.acting_for(identifier("user_id", user_id)) or user_id

    def whole(self, what: str) -> None:
        """Refuse a call about all users if the caller is a view.

        Raises:
            ForeignUserError: this is a view.
        """
        if self.user_id is not None:
            raise ForeignUserError(
                f"this memory serves the user {self.user_id!r} only, and {what} is about all users",
                fix="Use the whole memory.",
            )

    @property
    def scope(self) -> Scope:
        """The rows that the caller may see: in a view its user's rows, otherwise all."""
        return Scope.all_users() if self.user_id is None else Scope.user(self.user_id)

    def may_see(self, owner: str | None) -> bool:
        """Whether something of this owner exists for the caller."""
        return self.user_id is None or self.user_id == owner

    async def search_scope(
        self,
        owners: Callable[[], Awaitable[Owners]],
        user_id: str | AllUsers | None,
        conversation_id: str | None = None,
    ) -> Scope:
        """The scope of a search.

        Args:
            owners: gives the owners of conversations; called only if needed.
            user_id: whose rows.
            conversation_id: only this conversation, named by its id or by a session's id.

        Raises:
            InvalidInputError: nothing says whose rows to search.
            ForeignUserError: the conversation is another user's.
        """
        if conversation_id is not None:
            identifier("conversation_id", conversation_id)
            conversation_id = await (await owners()).resolve(conversation_id)
        if user_id is ALL_USERS:
            self.whole("a search of all users' rows")
            return Scope.all_users().within(conversation_id)
        user = self.acting_for(user_id)
        if user is None:
            raise InvalidInputError(
                "user_id",
                "is missing, so that it is not clear whose rows to search",
                fix="Give user_id=..., use for_user(), or spell out user_id=ALL_USERS.",
            )
        # In a view, another user's conversation is treated like one that does not exist.
        if (
            conversation_id is not None
            and self.user_id is None
            and not await (await owners()).owned(conversation_id, user)
        ):
            raise foreign_conversation(conversation_id, user)
        return Scope.user(user).within(conversation_id)


class Owners:
    """The owners of conversations.

    Args:
        sessions: stores the owners.
        rows: say whether a write that failed has stored something all the same.
        default_user: the owner of a conversation if no user is named.
    """

    def __init__(self, sessions: SessionStore, rows: RowIndex, default_user: str) -> None:
        self._sessions = sessions
        self._rows = rows
        self._default_user = default_user
        # An owner never changes, so it can be cached.
        self._owners: OrderedDict[str, str] = OrderedDict()
        # How many writes are under way in each conversation, and those that one of them has bound
        # while none has succeeded yet.
        self._under_way: Counter[str] = Counter()
        self._unproven: dict[str, str] = {}
        # One lock for each conversation that is bound or freed just now: a shared one would let
        # the first writes of many conversations wait for each other.
        self._locks: WeakValueDictionary[str, LoopLock] = WeakValueDictionary()

    def switch(self, rows: RowIndex) -> None:
        """Ask another index from now on."""
        self._rows = rows

    async def owner(self, conversation_id: str) -> str | None:
        """The owner of a conversation, None for one that has not begun."""
        known = self._owners.get(conversation_id)
        if known is None:
            found = await self._sessions.conversation(conversation_id)
            if found is None:
                return None
            known = self._remember(conversation_id, found.user_id)
        return known

    async def owned(self, conversation_id: str, user_id: str | None) -> bool:
        """Whether a conversation is this user's (anyone's for None), or has not begun."""
        owner = await self.owner(conversation_id)
        return owner is None or user_id is None or owner == user_id

    async def resolve(self, key: str) -> str:
        """The id of a conversation, given its own id or the id of one of its sessions."""
        if await self.owner(key) is None:
            session = await self._sessions.session(key)
            if session is not None:
                return str(session.conversation_id)
        return key

    async def claim(
        self,
        conversation_id: str,
        user_id: str | None,
        messages: Sequence[Message] = (),
        *,
        named: str | None = None,
    ) -> str:
        """The owner of a conversation; if it has none, the writer becomes its owner.

        Args:
            conversation_id: the conversation about to be written.
            user_id: who writes; None where the caller did not say. Then ``messages`` may name
                the user in their metadata, and otherwise it is the default user's.
            messages: what is about to be written.
            named: how the caller has named it, where that is a session's id: a refusal does not
                tell what conversation another user's session has.

        Raises:
            ForeignUserError: the conversation belongs to another user than ``user_id``.
            InvalidInputError: the messages name several users.
        """
        owner = self._owners.get(conversation_id)
        if owner is None:
            async with self._binding(conversation_id):
                owner = await self.owner(conversation_id)
                if owner is None:
                    claimed_by = user_id or _named_in(messages) or self._default_user
                    bound = await self._sessions.bind(conversation_id, claimed_by)
                    owner = self._remember(conversation_id, bound)
                    if conversation_id in self._under_way:
                        self._unproven[conversation_id] = owner
        if user_id is not None and owner != user_id:
            raise foreign_conversation(named or conversation_id, user_id)
        return owner

    @asynccontextmanager
    async def claimed(self, owners: Mapping[str, str]) -> AsyncIterator[None]:
        """Bind conversations to their owners; what was free is free again if the write fails."""
        async with self.writing(owners):
            for conversation_id, owner in owners.items():
                await self.claim(conversation_id, owner)
            yield

    @asynccontextmanager
    async def writing(self, conversations: Iterable[str]) -> AsyncIterator[None]:
        """A write is under way in conversations, which are claimed within.

        What it binds is nobody's again where it fails, for nothing was said: but only when no
        other write is under way there, which counts on the owner that it found, and when nothing
        of the conversation is stored, for a commit may have been made before it failed.
        """
        within = tuple(conversations)
        self._under_way.update(within)
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._prove(within)  # a write whose caller is cancelled may be stored all the same
            raise
        else:
            self._prove(within)
        finally:
            self._under_way.subtract(within)
            for conversation_id in within:
                if not self._under_way[conversation_id]:
                    del self._under_way[conversation_id]
            for conversation_id in within:
                await self._free(conversation_id)

    async def _has_rows(self, conversation_id: str) -> bool:
        """Whether something of a conversation is stored; True where that cannot be read."""
        scope = Scope.all_users().within(conversation_id)
        try:
            return await self._rows.count(scope, RowFilter()) > 0
        except (EngineError, StoreClosedError):
            return True

    def _binding(self, conversation_id: str) -> LoopLock:
        return self._locks.setdefault(conversation_id, LoopLock())

    def _prove(self, conversations: Iterable[str]) -> None:
        for conversation_id in conversations:
            self._unproven.pop(conversation_id, None)

    async def _free(self, conversation_id: str) -> None:
        """Make a conversation nobody's in which every write has failed."""
        if conversation_id not in self._unproven or conversation_id in self._under_way:
            return
        async with self._binding(conversation_id):
            if conversation_id in self._under_way:
                return  # it came just now, and answers for it
            owner = self._unproven.pop(conversation_id, None)
            if owner is not None and not await self._has_rows(conversation_id):
                self._owners.pop(conversation_id, None)
                await self._sessions.release(conversation_id, owner)

    async def collect(self, owners: dict[str, str], conversation_id: str, user_id: str) -> None:
        """Add a conversation's future owner to ``owners``, for :meth:`claimed`.

        Raises:
            ForeignUserError: the conversation has another owner, in the store or in ``owners``.
        """
        if owners.setdefault(conversation_id, user_id) != user_id or not await self.owned(
            conversation_id, user_id
        ):
            raise foreign_conversation(conversation_id, user_id)

    def _remember(self, conversation_id: str, owner: str) -> str:
        self._owners[conversation_id] = owner
        if len(self._owners) > _REMEMBERED_OWNERS:
            self._owners.popitem(last=False)
        return owner


def foreign_conversation(conversation_id: str, user_id: str) -> ForeignUserError:
    """The error for another user's conversation; it does not name the owner."""
    return ForeignUserError(
        f"the conversation {conversation_id!r} does not belong to the user {user_id!r}",
        fix="Use another conversation id, or its owner's user id.",
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
