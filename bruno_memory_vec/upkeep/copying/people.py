"""What a copy carries besides the rows: conversations with owners and notes, sessions, users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import ForeignUserError
from bruno_memory_vec.knowledge.users.record import KEY
from bruno_memory_vec.sessions.protocol import ConversationNote, Enumerates, SessionStore

if TYPE_CHECKING:
    from bruno_memory_vec.store.store import Store

_A_PAGE = 500

#: A conversation: its id, its owner and the turn of its next message.
Begun = tuple[str, str, int]


@dataclass(slots=True)
class People:
    """What is to be carried, or was.

    Attributes:
        conversations: each with its owner and next turn.
        sessions: the ids of the sessions, the one that was created first first.
        users: whose profiles and current conversations.
        profiles: how many profiles there are among them.
    """

    conversations: list[Begun] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    profiles: int = 0


async def people_of(
    sessions: SessionStore,
    talks: Mapping[str, tuple[str, int]],
    users: Sequence[str],
    user_id: str | None,
) -> People:
    """What a session store keeps, and what the rows say.

    Args:
        sessions: the source's.
        talks: the conversations that have rows, with their owner and last turn.
        users: who has rows.
        user_id: only this user's; None for everybody's.

    Raises:
        EngineError: it cannot be read.
    """
    kept = sessions if isinstance(sessions, Enumerates) else None
    found = People()
    talking: dict[str, tuple[str, int]] = {}
    everybody = dict.fromkeys(users)
    if kept is not None:
        async for talk, owner, next_turn in kept.conversations():
            talking[talk] = (owner, next_turn)
    async for session in _sessions(sessions, user_id):
        found.sessions.append(session.session_id)
        everybody[session.user_id] = None
        if kept is None and session.conversation_id not in talking:
            begun = await sessions.conversation(session.conversation_id)
            if begun is not None:
                talking[session.conversation_id] = (begun.user_id, begun.next_turn)
    # They come newest first, and are to be saved in the order in which they were created.
    found.sessions.reverse()
    for talk, (owner, last) in talks.items():
        if talk not in talking:
            begun = await sessions.conversation(talk) if kept is None else None
            known = (owner, 0) if begun is None else (begun.user_id, begun.next_turn)
            talking[talk] = (known[0], max(known[1], last + 1))
        elif talking[talk][1] <= last:
            talking[talk] = (talking[talk][0], last + 1)
    found.conversations = [
        (talk, owner, next_turn)
        for talk, (owner, next_turn) in talking.items()
        if user_id in (None, owner)
    ]
    if kept is not None:
        async for name in kept.users():
            everybody[name] = None
    # Who has only a conversation that nothing is stored in yet may have a note of it.
    everybody.update(dict.fromkeys(owner for _, owner, _ in found.conversations))
    found.users = [name for name in everybody if user_id in (None, name)]
    for name in found.users:
        found.profiles += await sessions.user(name) is not None
    return found


async def refuse_foreign(target: SessionStore, people: People) -> None:
    """Refuse a target in which a conversation or a session is another user's.

    Raises:
        ForeignUserError: naming it.
        EngineError: the target cannot be read.
    """
    for page in _pages(people.conversations):
        owners = await target.owners([talk for talk, _, _ in page])
        for talk, owner, _ in page:
            if owners.get(talk, owner) != owner:
                raise ForeignUserError(
                    f"the conversation {talk!r} is the user {owner!r}'s in the source, and "
                    f"{owners[talk]!r}'s in the target",
                    fix="Copy into another store, or delete the conversation in one of the two.",
                )


async def begin(target: Store, conversations: Sequence[Begun]) -> None:
    """Give conversations their owners and next turns in the target, before their rows come.

    Raises:
        ForeignUserError: one of them has become another user's.
        EngineError: the target cannot be written.
    """
    assert target.writer is not None
    assert target.lease is not None
    for page in _pages(conversations):
        async with target.writer.exclusive:
            # Begun by the first call, it is not taken for one of which numbers may be lost.
            await target.sessions.apply([], -1, {talk: owner for talk, owner, _ in page})
            await target.sessions.restore(page, -1)
            target.lease.forget_turns()
        await refuse_foreign(target.sessions, People(page))


async def carry(source: SessionStore, target: SessionStore, people: People) -> None:
    """Save sessions, profiles, current conversations and notes in the target.

    Raises:
        ForeignUserError: the target has another user's session of one of these ids.
        EngineError: one of the two stores failed.
    """
    for session_id in people.sessions:
        session = await source.session(session_id)
        if session is None:
            continue
        stored = await target.session(session_id)
        if stored is not None and stored.user_id != session.user_id:
            raise ForeignUserError(
                f"the session {session_id!r} is the user {session.user_id!r}'s in the source, and "
                f"{stored.user_id!r}'s in the target",
                fix="Copy into another store.",
            )
        if not _is_same(session, stored):
            await target.save_session(session)
    for user_id in people.users:
        user = await source.user(user_id)
        if user is not None and user != await target.user(user_id):
            await target.save_user(user)
        current = await source.current_conversation(user_id)
        if current is not None:
            await target.set_current_conversation(user_id, current)
        for note in await _differing_notes(source, target, user_id):
            await target.save_note(note)
    for page in _pages(people.conversations):
        # Else a conversation of long ago would count as going on in the copy.
        times = await source.touched([talk for talk, _, _ in page])
        if times:
            await target.touch(times)


async def drop_others(
    source: SessionStore, target: SessionStore, people: People, user_id: str | None
) -> None:
    """Drop the notes of conversations in the target that the source has not, with their titles.

    Args:
        source: what is copied.
        target: its copy.
        people: whose are carried.
        user_id: only this user's; None for everybody's.

    Raises:
        EngineError: one of the two stores failed.
    """
    there = await people_of(target, {}, (), user_id)
    for name in dict.fromkeys([*people.users, *there.users]):
        theirs = await target.notes(name)
        kept = {note.conversation_id for note in await source.notes(name)} if theirs else set()
        for note in theirs:
            if note.conversation_id not in kept:
                await target.drop_note(name, note.conversation_id)


async def differing(source: SessionStore, target: SessionStore, people: People) -> list[str]:
    """What of these is not in the target as it is in the source, each in words."""
    wrong = []
    for page in _pages(people.conversations):
        owners = await target.owners([talk for talk, _, _ in page])
        wrong += [f"conversation {talk!r}" for talk, owner, _ in page if owners.get(talk) != owner]
    for session_id in people.sessions:
        session = await source.session(session_id)
        if session is not None and not _is_same(session, await target.session(session_id)):
            wrong.append(f"session {session_id!r}")
    for user_id in people.users:
        mine, theirs = await source.user(user_id), await target.user(user_id)
        current = await source.current_conversation(user_id)
        moved = current is not None and current != await target.current_conversation(user_id)
        # What is learned from the rows follows them in both, each in its own time.
        mine, theirs = _set(mine), _set(theirs)
        if (mine is not None and mine != theirs) or moved:
            wrong.append(f"user {user_id!r}")
        notes = await _differing_notes(source, target, user_id)
        wrong += [f"the note of conversation {note.conversation_id!r}" for note in notes]
    return wrong


async def _differing_notes(
    source: SessionStore, target: SessionStore, user_id: str
) -> list[ConversationNote]:
    """A user's notes that are not in the target as they are in the source."""
    mine = await source.notes(user_id)
    stored = set(await target.notes(user_id)) if mine else set()
    return [note for note in mine if note not in stored]


def _set(user: UserContext | None) -> UserContext | None:
    """What somebody has set of a user, without what was learned; None where that was all."""
    if user is None or KEY not in user.metadata:
        return user
    metadata = {name: value for name, value in user.metadata.items() if name != KEY}
    if user.name is None and not (user.preferences or user.profile or metadata):
        return None
    return user.model_copy(update={"metadata": metadata})


def _is_same(session: SessionContext, stored: SessionContext | None) -> bool:
    """Whether a session is stored as it is. The target may have ended one that was idle."""
    if stored is not None and session.is_active and not stored.is_active:
        now = {"is_active": stored.is_active, "ended_at": stored.ended_at}
        return bool(session.model_copy(update=now) == stored)
    return bool(session == stored)


async def _sessions(sessions: SessionStore, user_id: str | None) -> AsyncIterator[SessionContext]:
    after = None
    while page := await sessions.sessions(user_id, active=None, limit=_A_PAGE, after=after):
        for session in page:
            yield session
        after = page[-1].session_id


def _pages(items: Sequence[Begun]) -> list[list[Begun]]:
    left = iter(items)
    pages = []
    while page := list(islice(left, _A_PAGE)):
        pages.append(page)
    return pages
