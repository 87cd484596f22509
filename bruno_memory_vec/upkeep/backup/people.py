"""Sessions, profiles, owners and notes as the bytes of pieces, and back into a session store."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.sessions.payloads import from_texts, note_from_text, note_to_text, to_text
from bruno_memory_vec.sessions.protocol import ConversationNote, SessionStore
from bruno_memory_vec.upkeep.backup.chunks import Part, packed, unpacked
from bruno_memory_vec.upkeep.backup.repository import Repository, damaged
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.copying.people import People

# A piece holds some hundred users: what has not changed of most of them is not written again.
_USERS_A_PIECE = 256
_PAGE = 500


@dataclass(slots=True)
class Person:
    """What is kept of one user besides rows.

    Attributes:
        user_id: whose.
        conversations: each with its next turn, and when it was touched last.
        sessions: each with its place in the order of their making.
        profile: what is known of the user; None for nothing.
        current: the conversation of the last turn.
        notes: of conversations.
    """

    user_id: str
    conversations: list[tuple[str, int, datetime | None]] = field(default_factory=list)
    sessions: list[tuple[int, SessionContext]] = field(default_factory=list)
    profile: UserContext | None = None
    current: str | None = None
    notes: list[ConversationNote] = field(default_factory=list)

    async def to_dict(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "user_id": self.user_id,
            "conversations": [
                [talk, turn, None if at is None else at.isoformat()]
                for talk, turn, at in sorted(self.conversations)
            ],
            "sessions": [[place, json.loads(await to_text(one))] for place, one in self.sessions],
            "profile": None if self.profile is None else json.loads(await to_text(self.profile)),
            "current": self.current,
            "notes": [
                json.loads(note_to_text(note))
                for note in sorted(self.notes, key=lambda one: one.conversation_id)
            ],
        }

    @classmethod
    async def from_dict(cls, held: Mapping[str, Any]) -> Person:
        """What :meth:`to_dict` gave."""
        profile = held["profile"]
        return cls(
            held["user_id"],
            [
                (talk, turn, None if at is None else datetime.fromisoformat(at))
                for talk, turn, at in held["conversations"]
            ],
            [
                (place, (await from_texts(SessionContext, [json.dumps(one)]))[0])
                for place, one in held["sessions"]
            ],
            None if profile is None else (await from_texts(UserContext, [json.dumps(profile)]))[0],
            held["current"],
            [note_from_text(json.dumps(note)) for note in held["notes"]],
        )


async def persons(sessions: SessionStore, people: People) -> dict[str, Person]:
    """What a session store keeps, by user.

    Args:
        sessions: the store.
        people: whom and what, as :func:`.copying.people.people_of` tells.

    Raises:
        EngineError: it cannot be read.
    """
    found: dict[str, Person] = {}

    def of(user_id: str) -> Person:
        return found.setdefault(user_id, Person(user_id))

    for start in range(0, len(people.conversations), _PAGE):
        page = people.conversations[start : start + _PAGE]
        times = await sessions.touched([talk for talk, _, _ in page])
        for talk, owner, turn in page:
            of(owner).conversations.append((talk, turn, times.get(talk)))
    for place, session_id in enumerate(people.sessions):
        session = await sessions.session(session_id)
        if session is not None:
            of(session.user_id).sessions.append((place, session))
    for user_id in people.users:
        person = of(user_id)
        person.profile = await sessions.user(user_id)
        person.current = await sessions.current_conversation(user_id)
        person.notes = await sessions.notes(user_id)
    return found


async def people_to_pieces(sealing: Sealing, found: Mapping[str, Person]) -> list[bytes]:
    """Persons as pieces; what has not changed since gives the same pieces again."""
    groups: dict[int, list[str]] = {}
    number = 1
    while number * _USERS_A_PIECE < len(found):
        number *= 2
    for user_id in sorted(found):
        digest = hashlib.sha256(user_id.encode()).digest()
        groups.setdefault(int.from_bytes(digest[:4], "little") % number, []).append(user_id)
    pieces = []
    for _, users in sorted(groups.items()):
        said = [(user, _line(await found[user].to_dict())) for user in users]
        if sealing.by_user:
            parts = [Part(1, sealing.seal(zlib.compress(line), user)) for user, line in said]
        else:
            lines = b"\n".join(line for _, line in said)
            parts = [Part(len(said), sealing.seal(zlib.compress(lines), None))]
        pieces.append(packed(parts))
    return pieces


async def read_people(
    repository: Repository, sealing: Sealing, names: Iterable[str]
) -> tuple[list[Person], int]:
    """Persons of pieces, and how many there are whose key was destroyed.

    Raises:
        EngineError: a piece is damaged.
        StoreError: the key is another one.
    """
    found, erased = [], 0
    for name in names:
        for part in unpacked(repository.read(name), name):
            data = sealing.open(part.sealed)
            if data is None:
                erased += part.count
                continue
            for line in _lines(data, name):
                found.append(await Person.from_dict(line))
    return found, erased


async def into_sessions(sessions: SessionStore, found: Iterable[Person]) -> None:
    """Fill an empty session store."""
    everybody = list(found)
    begun = [(talk, one.user_id, turn) for one in everybody for talk, turn, _ in one.conversations]
    for start in range(0, len(begun), _PAGE):
        page = begun[start : start + _PAGE]
        await sessions.apply([], -1, {talk: owner for talk, owner, _ in page})
        await sessions.restore(page, -1)
    ordered = sorted((entry for one in everybody for entry in one.sessions), key=lambda at: at[0])
    for _, session in ordered:
        await sessions.save_session(session)
    for one in everybody:
        if one.profile is not None:
            await sessions.save_user(one.profile)
        for note in one.notes:
            await sessions.save_note(note)
        times = {talk: at for talk, _, at in one.conversations if at is not None}
        if times:
            await sessions.touch(times)
        if one.current is not None:
            await sessions.set_current_conversation(one.user_id, one.current)


def _line(value: Mapping[str, Any]) -> bytes:
    """A value whose parts are tagged JSON already, as one line."""
    return json.dumps(value, separators=(",", ":")).encode()


def _lines(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    try:
        for line in zlib.decompress(data).split(b"\n"):
            yield json.loads(line)
    except (zlib.error, ValueError) as error:
        raise damaged(f"{name} cannot be read: {error}", error) from error
