"""Access control: the caller of a method, and what it may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.sessions.owners import Owners, foreign_conversation


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
            conversation_id = await (await owners()).find(conversation_id, self.user_id)
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
