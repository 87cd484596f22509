"""A user is forgotten: nothing is left in any file, others are untouched, and a receipt says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from tests.durability.on_disk import found

ANA, BEN = "ana.zqbbbbbbbbbbbbbb", "ben"
SETTINGS: dict[str, Any] = {"embedder": "hash"}


class Said:
    """Texts of a user with words that are nowhere else, as ``tests.durability.on_disk`` finds."""

    def __init__(self, beginning: str) -> None:
        self._beginning, self.words = beginning, list[str]()

    def word(self) -> str:
        word = f"zq{self._beginning}{len(self.words):03}".ljust(16, "x")
        self.words.append(word)
        return word

    def text(self) -> str:
        return f"we talked about {self.word()} and then about {self.word()}"

    def message(self, role: str = "user") -> Message:
        return Message(role=role, content=self.text(), metadata={"k": self.word()})


async def fill(memory: VectorMemory, user: str, said: Said, talk: str) -> None:
    """A bit of everything that a store can have of a user."""
    view = memory.for_user(user)
    await view.store_messages([said.message() for _ in range(12)], talk, user_id=user)
    await view.store_memory(
        MemoryEntry(user_id=user, content=said.text(), memory_type=MemoryType.FACT)
    )
    await view.save_user(UserContext(user_id=user, preferences={"p": said.word()}))
    session = await view.create_session(user, {"s": said.word()})
    await view.store_message(said.message(), session.conversation_id)
    await view.get_context(user, talk)
    await view.conversations.rename(talk, f"about {said.word()}")
    await view.recall("what did we talk about", user_id=user)


async def state_of(memory: VectorMemory, user: str) -> str:
    """A checksum of every row, session, note and profile of a user."""
    store = await memory._lazy.get()
    rows = await store.rows.read(Scope.user(user), RowFilter(), (*COLUMNS, "vector"))
    rows = rows.sort_by("seq").drop_columns(["access_count", "last_accessed", "checksum"])
    sessions = await store.sessions.sessions(user, active=None, limit=None, after=None)
    notes = sorted(await store.sessions.notes(user), key=lambda note: note.conversation_id)
    said = repr((rows.to_pylist(), sessions, notes, await store.sessions.user(user)))
    return hashlib.sha256(said.encode()).hexdigest()


@pytest.fixture
async def store(tmp_path: Path) -> tuple[Path, Said, Said]:
    """A closed store of two users, with an embedding cache in its folder's neighbour."""
    folder, ana, ben = tmp_path / "store", Said("a"), Said("b")
    async with open_memory(str(folder), **SETTINGS) as memory:
        await fill(memory, ANA, ana, "talk of ana")
        await fill(memory, BEN, ben, "talk of ben")
        await memory.maintain()
    return folder, ana, ben


async def test_nothing_is_left_and_others_are_untouched(store: tuple[Path, Said, Said]) -> None:
    folder, ana, ben = store
    id_word = ANA.partition(".")[2]
    before = await found(folder, [*ana.words, id_word])
    assert set(before) == {*ana.words, id_word}
    async with open_memory(str(folder), **SETTINGS) as memory:
        untouched = await state_of(memory, BEN)
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert (receipt.counts["messages"], receipt.counts["memories"]) == (13, 1)
        assert (receipt.counts["profiles"], receipt.counts["sessions"]) == (1, 2)
        assert receipt.check["looked_for"]["texts"] == 8
        assert receipt.check["looked_for"]["vectors"] == 4
        assert await state_of(memory, BEN) == untouched
        assert not await memory.recall("what did we talk about", user_id=ANA)
        assert await memory.get_statistics(ANA) == {
            **await memory.get_statistics("nobody"),
        }
        assert await found(folder, [*ana.words, id_word]) == {}
        assert ANA not in json.dumps(await memory.health(), default=str)
    assert await found(folder, [*ana.words, id_word]) == {}
    assert ANA.encode() not in b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    assert set(await found(folder, ben.words)) == set(ben.words)
    async with open_memory(str(folder), **SETTINGS) as memory:
        assert await state_of(memory, BEN) == untouched
        assert (await memory.maintain()).ok
        assert (await memory.remains(ANA, ["we talked about nothing in particular"])).ok
        assert [one.id for one in await memory.erasure_receipts()] == [receipt.id]
