"""Access control: the caller of a method, what it may do, and what it may see.

A new public method declares what it does, and everything else follows::

    @acts("read")          # open, read, write, delete, export, erase or administer
    async def something(self, ..., user_id: str | None = None): ...

That is all for the permission and for the audit trail: :func:`.acts.acts` asks
:meth:`Caller.permit` before the method runs. It finds the caller by ``self._handle``, which the
memory and each of its managers has. In the method, as ever, ask the caller whose rows it is about
(:meth:`Caller.acting_for`, :meth:`Caller.search_scope`, :attr:`Caller.scope`): that is where a view
is kept within its own rows and its spaces, and where the audit trail learns whose rows they were.
``tests/access/test_every_method.py`` finds every public method, and fails for one that declares
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Literal, cast, get_args

from bruno_memory_vec.acts import EVERY_USER, Action, current_act, current_action
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, NotPermittedError
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.rows.checks import identifier, shown
from bruno_memory_vec.sessions.owners import Owners, foreign_conversation


class AllUsers(Enum):
    """The type of :data:`ALL_USERS`."""

    ALL_USERS = "all users"


#: Given as ``user_id`` to search every user's rows. It must be named, so that nobody gets it by
#: omission.
ALL_USERS: Final = AllUsers.ALL_USERS

#: What a view may do. A reader reads; a member does everything with its own rows; an administrator
#: does everything with everybody's, and has to name whose.
Role = Literal["reader", "member", "admin"]
#: What a view may do with a space.
Access = Literal["read", "write"]

GRANTS: Final[Mapping[str, frozenset[Action]]] = {
    "reader": frozenset({"open", "read"}),
    "member": frozenset({"open", "read", "write", "delete", "export", "erase"}),
    "admin": frozenset(get_args(Action)),
}
_SPACE_GRANTS: Final[Mapping[str, frozenset[Action]]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write", "delete"}),
}
#: User ids that begin so are the library's own: of spaces, which no user has.
SPACE: Final = "space:"
# Names of spaces that begin so are those of conversations of several members, and of who is in them
# (conversations/groups.py): whoever names a space does not get into one of these.
_OF_GROUPS: Final = tuple(f"{SPACE}{name}" for name in ("group:", "groups of:", "members of:"))


#: Where a message in a space says who of its members spoke.
AUTHOR: Final = "author"


def author_of(owner: str | None, metadata: Mapping[str, Any]) -> str | None:
    """Who spoke, of a message in a space; None in an ordinary conversation, and where none is said.

    Args:
        owner: whose row it is.
        metadata: of the message.
    """
    author = metadata.get(AUTHOR) if owner is not None and owner.startswith(SPACE) else None
    return author if isinstance(author, str) and author else None


def space_id(name: str) -> str:
    """The user id of a space, given its name or that id."""
    named = identifier("spaces", name)
    return named if named.startswith(SPACE) else f"{SPACE}{named}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a method: a view of one user, or the whole memory.

    Attributes:
        user_id: the user that the call is kept to; None for the whole memory, and for an
            administrator.
        role: what it may do.
        spaces: the user ids of spaces that it may use, each with its access.
        name: who calls, for the audit trail; such as a service.
        purpose: what for, for the audit trail.
        me: the user of the view, an administrator's too; None for the whole memory.
    """

    user_id: str | None = None
    role: Role = "member"
    spaces: tuple[tuple[str, Access], ...] = ()
    name: str | None = None
    purpose: str | None = None
    me: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole memory, and no view."""
        return self.user_id is None and self.me is None

    def view(
        self,
        user_id: str,
        role: Any = None,
        spaces: Any = None,
        name: Any = None,
        purpose: Any = None,
    ) -> Caller:
        """The caller of a view. A view gives out none that may do more than itself.

        Raises:
            InvalidInputError: an argument is not usable.
            ForeignUserError: this is another user's view.
            NotPermittedError: this view may do less.
        """
        identifier("user_id", user_id)
        if user_id.startswith(SPACE):
            raise InvalidInputError(
                "user_id",
                f"is {shown(user_id)}, and what begins with {SPACE!r} is a space, not a user",
                fix='Give the user, and spaces={"name": "read"}.',
            )
        user = self.acting_for(user_id) or user_id
        grants_all = self.user_id is None
        chosen: Role = _role(role, "member" if grants_all else self.role)
        if not grants_all and not GRANTS[chosen] <= GRANTS[self.role]:
            raise NotPermittedError(
                f"a view of the role {self.role!r} gives out none of the role {chosen!r}",
                fix="Use for_user() of the whole memory.",
            )
        granted = self.spaces if spaces is None else _spaces(spaces)
        if not grants_all:
            mine = dict(self.spaces)
            for space, access in granted:
                if access not in ("read", mine.get(space)) or space not in mine:
                    raise NotPermittedError(
                        f"this view has no {access} access to {space!r} to give out",
                        fix="Use for_user() of the whole memory.",
                    )
        return Caller(
            None if chosen == "admin" else user,
            chosen,
            granted,
            self.name if name is None else _word("caller", name),
            self.purpose if purpose is None else _word("purpose", purpose),
            user,
        )

    def may(self, action: Action) -> bool:
        """Whether the role grants an action."""
        return self.is_whole or action in GRANTS[self.role]

    def permit(self, action: Action, call: str = "") -> None:
        """Refuse what the role does not grant.

        Raises:
            NotPermittedError: it is not granted.
        """
        if self.may(action):
            return
        if action == "administer":
            raise NotPermittedError(
                f"this memory serves the user {self.me!r} only, and {call or 'this'} is about all "
                "users",
                fix="Use the whole memory.",
            )
        raise NotPermittedError(
            f"a {self.role} may not {action}{f' ({call})' if call else ''}",
            fix='Use a view with another role, such as for_user(..., role="member").',
        )

    def acting_for(self, user_id: str | None) -> str | None:
        """The user that a call is for: in a view its user or a space, otherwise the given one.

        Raises:
            ForeignUserError: the caller is another user's view.
            NotPermittedError: the view may not do this in the space.
        """
        if user_id is not None:
            identifier("user_id", user_id)
        if self.user_id is None:
            return note_user(self.me if user_id is None else user_id)
        if user_id is not None and user_id != self.user_id:
            return note_user(self._granted(user_id))
        return note_user(self.user_id)

    def _granted(self, user_id: str) -> str:
        access = dict(self.spaces).get(user_id)
        if access is None:
            raise ForeignUserError(
                f"this memory serves the user {self.user_id!r} only, not {user_id!r}",
                fix="Use for_user() of the whole memory.",
            )
        action = current_action()
        if action not in _SPACE_GRANTS[access]:
            raise NotPermittedError(
                f"with {access!r} access to {user_id!r} a view may not {action or 'do this'} there",
                fix=f"Use for_user() of the whole memory, with spaces={{{user_id!r}: 'write'}}."
                if action in _SPACE_GRANTS["write"]
                else "Use the whole memory.",
            )
        return user_id

    def acting_for_named(self, user_id: str) -> str:
        """As :meth:`acting_for`, for a call that has to name its user."""
        return self.acting_for(identifier("user_id", user_id)) or user_id

    def whole(self, what: str) -> None:
        """Refuse a call about all users if the caller is a view, and no administrator's.

        Raises:
            ForeignUserError: this is a view.
        """
        if self.user_id is not None:
            raise ForeignUserError(
                f"this memory serves the user {self.user_id!r} only, and {what} is about all users",
                fix="Use the whole memory.",
            )
        note_user(EVERY_USER)

    @property
    def scope(self) -> Scope:
        """The rows that the caller may see: in a view its user's rows, otherwise all."""
        if self.user_id is None:
            note_user(EVERY_USER)
            return Scope.all_users()
        note_user(self.user_id)
        return Scope.user(self.user_id)

    def may_see(self, owner: str | None) -> bool:
        """Whether something of this owner exists for the caller."""
        if self.user_id is None or self.user_id == owner:
            note_user(owner)
            return True
        return self.may_use(owner)

    def may_use(self, owner: str | None) -> bool:
        """Whether this owner is a space in which the caller may do what it is about to do."""
        access = dict(self.spaces).get(owner or "")
        granted = access is not None and current_action() in _SPACE_GRANTS[access]
        if granted:
            note_user(owner)
        return granted

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
            about_talk(conversation_id)
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
        if conversation_id is not None and user_id is None and self.spaces:
            # A conversation of a space is named by its id alone.
            owner = await (await owners()).owner(conversation_id)
            if owner != user and self.may_use(owner) and owner is not None:
                user = owner
        # In a view, another user's conversation is treated like one that does not exist.
        if (
            conversation_id is not None
            and self.user_id is None
            and not await (await owners()).owned(conversation_id, user)
        ):
            raise foreign_conversation(conversation_id, user)
        return Scope.user(user).within(conversation_id)

    def with_spaces(self, scope: Scope, spaces: Any) -> Scope:
        """The scope with the rows of some spaces.

        Raises:
            InvalidInputError: they are no names, or the scope is that of all users.
            ForeignUserError: the view was not given one of them.
        """
        if spaces is None:
            return scope
        if scope.user_id is None:
            raise InvalidInputError(
                "spaces", "are given beside ALL_USERS, who have them", fix="Give one of the two."
            )
        users = [self.acting_for_named(space) for space in _names(spaces)]
        return replace(scope, also=tuple(dict.fromkeys(u for u in users if u != scope.user_id)))


def _names(given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidInputError("spaces", f"is {shown(given)}", fix='Give ["name", "another"].')
    return tuple(map(space_id, given))


def about_talk(conversation_id: str) -> str:
    """Note on the call under way which conversation it is about."""
    act = current_act()
    if act is not None:
        act.about_talk(conversation_id)
    return conversation_id


def note_user(user: str | None) -> str | None:
    """Note on the call under way whose rows it is about."""
    act = current_act()
    if act is not None and user is not None:
        act.about((user,))
    return user


def _role(given: Any, default: Role) -> Role:
    if given is None:
        return default
    if not isinstance(given, str) or given not in GRANTS:
        raise InvalidInputError(
            "role", f"is {shown(given)}", fix="Give one of " + ", ".join(map(repr, GRANTS)) + "."
        )
    return cast(Role, given)


def _spaces(given: Any) -> tuple[tuple[str, Access], ...]:
    if not isinstance(given, Mapping):
        raise InvalidInputError(
            "spaces", f"is {shown(given)}", fix='Give {"name": "read"} or {"name": "write"}.'
        )
    for access in given.values():
        if not isinstance(access, str) or access not in _SPACE_GRANTS:
            raise InvalidInputError(
                "spaces", f"grants {shown(access)}", fix='Grant "read" or "write".'
            )
    granted = tuple(sorted((space_id(name), access) for name, access in given.items()))
    for space, _ in granted:
        if space.startswith(_OF_GROUPS) or not space.removeprefix(SPACE).strip():
            raise InvalidInputError(
                "spaces",
                f"names {shown(space)}, which is none to be given",
                fix="Give another name; members are added with conversations.add_member().",
            )
    return granted


def _word(field: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > 200:
        raise InvalidInputError(
            field, f"is {shown(given)}", fix="Give a short text, 200 characters at most."
        )
    return given
