"""What the tests of copying share: a store with everything in it, and what a copy has to have."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.knowledge.users.record import KEY
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.verification import verify
from tests.durability.support import message
from tests.reembed.support import rows_and_vectors

USERS = ("ana", "ben")
LONG_AGO = datetime(
    2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))
)


async def store_of(memory: VectorMemory) -> Store:
    return await memory._lazy.get()


async def fill(memory: VectorMemory, messages: int = 12) -> None:
    """Everything that a copy has to carry: two users, gaps in turns, uses, sessions, profiles."""
    for user in USERS:
        session = await memory.create_session(user, {"from": "a test"})
        talk = session.conversation_id
        said = [
            message(
                f"{user} says number {n} about the harbour",
                "user" if n % 2 else "assistant",
                timestamp=LONG_AGO + timedelta(minutes=n),
                metadata={"n": n, "deep": {"at": LONG_AGO}},
            )
            for n in range(messages)
        ]
        await memory.store_messages(said, talk, user_id=user)
        # A gap, and a next turn that no row shows: the last one is gone.
        await memory.delete_messages([said[3].id, said[-1].id], talk)
        await memory.store_message(said[1].model_copy(update={"content": "said anew"}), talk)
        await memory.store_memory(
            MemoryEntry(
                content=f"{user} likes the violin",
                memory_type=MemoryType.FACT,
                user_id=user,
                conversation_id=talk,
                metadata=MemoryMetadata(
                    importance=0.75, tags=["music"], custom_fields={"a": 1}, access_count=3
                ),
                created_at=LONG_AGO,
            )
        )
        await memory.save_user(UserContext(user_id=user, name=user.title(), profile={"lives": 1}))
        sessions = (await store_of(memory)).sessions
        await sessions.save_note(
            ConversationNote(talk, user, LONG_AGO, f"{user} at the harbour", "given", "root", 3)
        )
        await sessions.touch({talk: LONG_AGO.replace(microsecond=123_000)})
        await memory.end_session(session.session_id)
        await memory.recall("the violin", user_id=user, k=2)
    # Neither has a row: a user with a profile alone, and a conversation that waits.
    await memory.save_user(UserContext(user_id="cleo", name="Cleo"))
    await memory.create_session("dan")


def _as_set(user: UserContext | None) -> UserContext | None:
    """Without what each store learns by itself from its rows; None where that was all."""
    if user is None or user.metadata.pop(KEY, None) is None:
        return user
    return user if user.name is not None or user.profile or user.preferences else None


async def assert_same(
    source: VectorMemory, target: VectorMemory, *users: str, vectors: bool = True
) -> None:
    """The target has the source's rows in their order, its sessions and its users, and is sound."""
    mine, my_vectors = await rows_and_vectors(source)
    theirs, their_vectors = await rows_and_vectors(target)
    kept = [n for n, row in enumerate(mine) if not users or row["user_id"] in users]
    assert [plain(mine[n]) for n in kept] == [plain(row) for row in theirs]
    if vectors:
        np.testing.assert_array_equal(my_vectors[kept], their_vectors)
    a, b = await store_of(source), await store_of(target)
    assert await verify(b) == []
    for user in users or (*USERS, "cleo", "dan"):
        page = await source.list_sessions(user_id=user)
        assert (await target.list_sessions(user_id=user)) == page
        was_set = [_as_set(await store.sessions.user(user)) for store in (a, b)]
        assert was_set[0] == was_set[1]
        current = await a.sessions.current_conversation(user)
        assert await b.sessions.current_conversation(user) == current
        assert current is not None or user == "cleo"
        notes = await a.sessions.notes(user)
        assert await b.sessions.notes(user) == notes
        assert len(notes) == (user in USERS)
        talks = [note.conversation_id for note in notes]
        assert await b.sessions.touched(talks) == await a.sessions.touched(talks)
        for session in page:
            talk = session.conversation_id
            here = await a.sessions.conversation(talk)
            there = await b.sessions.conversation(talk)
            assert here is not None
            assert there is not None
            assert (there.user_id, there.next_turn) == (here.user_id, here.next_turn)
            assert [turn.message for turn in await target.read_turns(talk)] == [
                turn.message for turn in await source.read_turns(talk)
            ]
            context = await target.get_context(user, talk)
            assert context.messages == (await source.get_context(user, talk)).messages
    for user in users or USERS:
        found = await target.recall("who likes the violin?", user_id=user)
        assert found[0].content == f"{user} likes the violin"


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what is the store's own."""
    return {name: value for name, value in row.items() if name != "seq"}


async def made(folder: Path, **settings: Any) -> str:
    """A closed store with everything in it; its uses are counted."""
    async with open_memory(folder, embedder="hash", **settings) as memory:
        await fill(memory)
    return str(folder)
