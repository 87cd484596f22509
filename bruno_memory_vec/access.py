"""Who may see and write what: the caller of a method, and the owners of conversations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bruno_core.models.message import Message

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.sessions.protocol import SessionStore

_REMEMBERED_OWNERS = 10_000


class AllUsers(Enum):
    """The type of :data:`ALL_USERS`."""

    ALL_USERS = "all users"


#: Given as ``user_id`` to search every user's rows. Spelled out, so that it is never an oversight.
ALL_USERS: Final = AllUsers.ALL_USERS


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is.

    Attributes:
        user_id: the user of a view, which serves nobody else; None for the whole memory.
    """

    user_id: str | None = None

    def acting_for(self, user_id: str | None) -> str | None:
        """Who a call is for: a view's user, else the one named, if any.

        Raises:
            ForeignUserError: a view is asked to act for another user.
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
        """The same, for a call that has to name its user."""
        return self.acting_for(identifier("user_id", user_id)) or user_id

    def whole(self, what: str) -> None:
        """Refuse a view something that is about every user.

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
        """What the caller may see: a view its user's rows, the whole memory all."""
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
            owners: gives the owners of conversations, where they have to be asked.
            user_id: whose rows.
            conversation_id: only this conversation, named by its id or by a session's.

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
        # In a view, another user's conversation is as if it had never been.
        if (
            conversation_id is not None
            and self.user_id is None
            and not await (await owners()).owned(conversation_id, user)
        ):
            raise foreign_conversation(conversation_id, user)
        return Scope.user(user).within(conversation_id)


class Owners:
    """Who owns which conversation.

    Args:
        sessions: where it is kept.
        default_user: who owns a conversation that nobody claims.
    """

    def __init__(self, sessions: SessionStore, default_user: str) -> None:
        self._sessions = sessions
        self._default_user = default_user
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

    async def owned(self, conversation_id: str, user_id: str | None) -> bool:
        """Whether a conversation is this user's (anyone's for None), or has not begun."""
        owner = await self.owner(conversation_id)
        return owner is None or user_id is None or owner == user_id

    async def resolve(self, key: str) -> str:
        """The conversation that an id names: itself, or that of the session which has this id."""
        if await self.owner(key) is None:
            session = await self._sessions.session(key)
            if session is not None:
                return str(session.conversation_id)
        return key

    async def claim(
        self, conversation_id: str, user_id: str | None, messages: Sequence[Message] = ()
    ) -> tuple[str, bool]:
        """The user whose conversation this is, bound now if it was nobody's.

        Args:
            conversation_id: the conversation about to be written.
            user_id: who writes; None where the caller did not say. Then ``messages`` may name
                the user in their metadata, and otherwise it is the default user's.
            messages: what is about to be written.

        Returns:
            The owner, and whether this call has bound it.

        Raises:
            ForeignUserError: it belongs to somebody else than ``user_id``.
            InvalidInputError: the messages name several users.
        """
        owner = await self.owner(conversation_id)
        fresh = owner is None
        if owner is None:
            claimed_by = user_id or _named_in(messages) or self._default_user
            bound = await self._sessions.bind(conversation_id, claimed_by)
            owner = self._remember(conversation_id, bound)
        if user_id is not None and owner != user_id:
            raise foreign_conversation(conversation_id, user_id)
        return owner, fresh

    @asynccontextmanager
    async def claimed(self, owners: Mapping[str, str]) -> AsyncIterator[None]:
        """Bind conversations to their owners; what was free is free again if the write fails."""
        fresh: list[tuple[str, str]] = []
        async with self.freed_on_failure(fresh):
            for conversation_id, owner in owners.items():
                if (await self.claim(conversation_id, owner))[1]:
                    fresh.append((conversation_id, owner))
            yield

    @asynccontextmanager
    async def freed_on_failure(self, bound: Iterable[tuple[str, str]]) -> AsyncIterator[None]:
        """Take bindings back whose first write fails: nothing was said, so they are nobody's."""
        try:
            yield
        except Exception:
            for conversation_id, owner in bound:
                await self._sessions.release(conversation_id, owner)
                self._owners.pop(conversation_id, None)
            raise

    async def collect(self, owners: dict[str, str], conversation_id: str, user_id: str) -> None:
        """Note who will own a conversation, as :meth:`claimed` takes it.

        Raises:
            ForeignUserError: it is another user's, or will be.
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
    """The refusal; it does not say whose conversation it is."""
    return ForeignUserError(
        f"the conversation {conversation_id!r} does not belong to the user {user_id!r}",
        fix="Use another conversation id, or its owner's user id.",
    )


def _named_in(messages: Sequence[Message]) -> str | None:
    """The user whom messages name in their metadata; None where none does."""
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
