"""Conversations of several members: who is in one, and what that lets somebody see.

A group conversation is owned by a space of its own, a user id that no person has. Its messages are
rows of that space, so they are nobody's private rows, and each says in ``metadata["author"]`` who
spoke. Who is a member is saved as a profile, which SQLite and Redis both keep; in which groups
somebody is, as another one, so that a recall need not look through all of them. The first one
decides: the second one may be behind after a kill, and is compared with it. No user and no space
has these profiles, so nothing that is learned of anybody is saved there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from bruno_core.models.context import UserContext
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.access import AUTHOR, SPACE
from bruno_memory_vec.sessions.protocol import ChangesUsers, ForgetsUsers
from bruno_memory_vec.store.store import Store

#: The user ids of groups' spaces begin so.
GROUP: Final = f"{SPACE}group:"
#: In the profile of a user id that begins so it is noted who is in a group.
MEMBERS_OF: Final = f"{SPACE}members of:"
_GROUPS_OF: Final = f"{SPACE}groups of:"
_MEMBERS: Final = "bruno_memory_vec.members"
_GROUPS: Final = "bruno_memory_vec.groups"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is or was in a group.

    Attributes:
        user_id: who.
        owner: whether they may add and remove others, and delete the conversation.
        joined_at: when they were added last.
        left_at: when they left; None for one who is in it.
        left_turn: the turns before this one are what they may still read; None for one who is in
            it.
    """

    user_id: str
    owner: bool
    joined_at: datetime
    left_at: datetime | None = None
    left_turn: int | None = None

    @property
    def is_in(self) -> bool:
        """Whether they are in it now."""
        return self.left_turn is None


@dataclass(frozen=True, slots=True)
class Group:
    """A conversation of several members.

    Attributes:
        conversation_id: the conversation.
        space: the user id that owns its messages.
        members: who is in it, those who left among them.
    """

    conversation_id: str
    space: str
    members: tuple[Member, ...]

    def member(self, user_id: str) -> Member | None:
        """Somebody who is or was in it; None for others."""
        return next((one for one in self.members if one.user_id == user_id), None)

    @property
    def present(self) -> tuple[str, ...]:
        """Who is in it now."""
        return tuple(one.user_id for one in self.members if one.is_in)


def is_group(owner: str | None) -> bool:
    """Whether the owner of a conversation is a group's space."""
    return owner is not None and owner.startswith(GROUP)


def new_space() -> str:
    """The user id of a new group's space; nobody can guess it."""
    return f"{GROUP}{uuid4()}"


def by(message: Any, author: str) -> Any:
    """A message as it is kept in a group: one of a person says who spoke, whatever it said.

    One of an assistant or a tool is nobody's, so that none is taken for what a member said.
    """
    if not isinstance(message, Message):
        return message
    if message.role is not MessageRole.USER:
        others = {name: value for name, value in message.metadata.items() if name != AUTHOR}
        return message.model_copy(update={"metadata": others})
    return message.model_copy(update={"metadata": {**message.metadata, AUTHOR: author}})


class Groups:
    """The groups of an open store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        writer = store.writer
        # Where nobody else changes them, what was read once is known.
        self._known = store.groups if writer is not None and writer.writes_alone else None

    async def of(self, space: str) -> Group | None:
        """The group that owns a space; None where there is none."""
        return _group(space, await self._saved(f"{MEMBERS_OF}{space}"))

    async def current(self, user_id: str) -> tuple[str, ...]:
        """The spaces of the groups that somebody is in now."""
        if user_id.startswith(SPACE):
            return ()
        named = (await self._saved(groups_of(user_id))).get(_GROUPS, ())
        found = []
        for space in named:
            group = await self.of(str(space))
            member = None if group is None else group.member(user_id)
            if member is not None and member.is_in:
                found.append(str(space))
        return tuple(found)

    async def change(self, space: str, change: Callable[[Group | None], Group]) -> Group:
        """Change who is in a group, whoever else does so at the same time."""

        key = f"{MEMBERS_OF}{space}"

        def changed(saved: UserContext | None) -> UserContext:
            now = change(_group(space, {} if saved is None else saved.metadata))
            return UserContext(user_id=key, metadata={_MEMBERS: _to_json(now)})

        after = _group(space, await self._change(key, changed))
        assert after is not None
        for member in after.members:
            await self._note(member.user_id, space, present=member.is_in)
        return after

    async def forget(self, user_id: str) -> None:
        """Take somebody out of all groups, as if they had never been there. Messages stay."""
        own = groups_of(user_id)
        named = (await self._saved(own)).get(_GROUPS, ())
        for space in named:
            key = f"{MEMBERS_OF}{space}"

            def without(
                saved: UserContext | None, space: str = str(space), key: str = key
            ) -> UserContext:
                group = _group(space, {} if saved is None else saved.metadata)
                if group is None:
                    return UserContext(user_id=key)
                left = tuple(one for one in group.members if one.user_id != user_id)
                now = replace(group, members=left)
                return UserContext(user_id=key, metadata={_MEMBERS: _to_json(now)})

            await self._change(key, without)
        for key in [own] if named else []:
            await self._drop(key)
        if is_group(user_id):
            await self._drop(f"{MEMBERS_OF}{user_id}")

    async def _drop(self, key: str) -> None:
        sessions = self._store.sessions
        if isinstance(sessions, ForgetsUsers):
            await sessions.forget_user(key, (), {})
        else:
            await sessions.save_user(UserContext(user_id=key))
        if self._known is not None:
            self._known.pop(key, None)

    async def _note(self, user_id: str, space: str, *, present: bool) -> None:
        key = groups_of(user_id)
        named = (await self._saved(key)).get(_GROUPS, ())
        # Who has left stays noted, so that forgetting finds the group.
        if space in named:
            return

        def noted(saved: UserContext | None) -> UserContext:
            before = [] if saved is None else saved.metadata.get(_GROUPS, [])
            return UserContext(user_id=key, metadata={_GROUPS: [*before, space]})

        if present:
            await self._change(key, noted)

    async def _saved(self, key: str) -> Mapping[str, Any]:
        known = self._known
        if known is not None and key in known:
            return known[key]
        saved = await self._store.sessions.user(key)
        found: dict[str, Any] = {} if saved is None else dict(saved.metadata)
        if known is not None:
            if len(known) > _MOST_KNOWN:
                known.clear()
            known[key] = found
        return found

    async def _change(
        self, key: str, change: Callable[[UserContext | None], UserContext]
    ) -> Mapping[str, Any]:
        sessions = self._store.sessions
        async with self._store.notes_lock:
            if self._known is not None:
                self._known.pop(key, None)
            if isinstance(sessions, ChangesUsers):
                saved = await sessions.change_user(key, change)
            else:
                saved = change(await sessions.user(key))
                await sessions.save_user(saved)
            if self._known is not None:
                self._known.pop(key, None)
        return {} if saved is None else dict(saved.metadata)


_MOST_KNOWN: Final = 10_000


def groups_of(user_id: str) -> str:
    """The user id under which it is saved in which groups somebody is."""
    # Hashed, so that of somebody who was forgotten no name stays in an old page of a file.
    return f"{_GROUPS_OF}{sha256(user_id.encode()).hexdigest()[:32]}"


def without_member(saved: Mapping[str, Any], user_id: str) -> dict[str, Any] | None:
    """What is saved of a group's members, without one; None where they are not among these."""
    held = saved.get(_MEMBERS)
    if not isinstance(held, Mapping):
        return None
    left = [one for one in held["members"] if one["user_id"] != user_id]
    if len(left) == len(held["members"]):
        return None
    return {**saved, _MEMBERS: {**held, "members": left}}


def new_group(conversation_id: str, space: str, owner: str, others: Sequence[str]) -> Group:
    """A group that begins now."""
    now = datetime.now(timezone.utc)
    members = [Member(owner, True, now)]
    members += [Member(one, False, now) for one in dict.fromkeys(others) if one != owner]
    return Group(conversation_id, space, tuple(members))


def joined(group: Group, user_id: str) -> Group:
    """The group with somebody in it, who sees all of it from now on."""
    known = group.member(user_id)
    if known is not None and known.is_in:
        return group
    fresh = Member(user_id, known is not None and known.owner, datetime.now(timezone.utc))
    others = tuple(one for one in group.members if one.user_id != user_id)
    return replace(group, members=(*others, fresh))


def left(group: Group, user_id: str, turn: int) -> Group:
    """The group without somebody, who sees no turn from this one on."""
    now = datetime.now(timezone.utc)
    members = tuple(
        replace(one, left_at=now, left_turn=turn) if one.user_id == user_id and one.is_in else one
        for one in group.members
    )
    return replace(group, members=members)


def _to_json(group: Group) -> dict[str, Any]:
    return {
        "conversation_id": group.conversation_id,
        "members": [
            {
                "user_id": one.user_id,
                "owner": one.owner,
                "joined_at": one.joined_at.isoformat(),
                "left_at": None if one.left_at is None else one.left_at.isoformat(),
                "left_turn": one.left_turn,
            }
            for one in group.members
        ],
    }


def _group(space: str, saved: Mapping[str, Any]) -> Group | None:
    held = saved.get(_MEMBERS)
    if not isinstance(held, Mapping):
        return None
    members = tuple(
        Member(
            str(one["user_id"]),
            bool(one["owner"]),
            datetime.fromisoformat(one["joined_at"]),
            None if one["left_at"] is None else datetime.fromisoformat(one["left_at"]),
            one["left_turn"],
        )
        for one in held["members"]
    )
    return Group(str(held["conversation_id"]), space, members)
