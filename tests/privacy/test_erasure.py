"""A user is forgotten: nothing is left in any file, others are untouched, and a receipt says so."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.cache import CachedEmbedder
from bruno_memory_vec.errors import EngineError, ForeignUserError, InvalidInputError, ReadOnlyError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.privacy.erasure import forgetting
from bruno_memory_vec.privacy.erasure.receipt import hashed, signed
from bruno_memory_vec.testing import HashEmbedder
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


def said(text: str) -> Message:
    return Message(role="user", content=text)


async def fill(memory: VectorMemory, user: str, words: Said, talk: str) -> None:
    """A bit of everything that a store can have of a user."""
    view = memory.for_user(user)
    await view.store_messages([words.message() for _ in range(12)], talk, user_id=user)
    await view.store_memory(
        MemoryEntry(user_id=user, content=words.text(), memory_type=MemoryType.FACT)
    )
    await view.save_user(UserContext(user_id=user, preferences={"p": words.word()}))
    session = await view.create_session(user, {"s": words.word()})
    await view.store_message(words.message(), session.conversation_id)
    await view.get_context(user, talk)
    await view.conversations.rename(talk, f"about {words.word()}")
    await view.recall("what did we talk about", user_id=user)


async def state_of(memory: VectorMemory, user: str) -> str:
    """A checksum of every row, session, note and profile of a user."""
    store = await memory._lazy.get()
    rows = await store.rows.read(Scope.user(user), RowFilter(), (*COLUMNS, "vector"))
    rows = rows.sort_by("seq").drop_columns(["access_count", "last_accessed", "checksum"])
    sessions = await store.sessions.sessions(user, active=None, limit=None, after=None)
    notes = sorted(await store.sessions.notes(user), key=lambda note: note.conversation_id)
    profile = await store.sessions.user(user)
    # What is learned of a user is saved in the background.
    set_ = None if profile is None else profile.preferences
    state = repr((rows.to_pylist(), sessions, notes, set_))
    return hashlib.sha256(state.encode()).hexdigest()


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


async def test_a_dry_run_changes_nothing(store: tuple[Path, Said, Said]) -> None:
    folder, ana, _ = store
    async with open_memory(str(folder), **SETTINGS, read_only=True) as memory:
        before = await state_of(memory, ANA)
        receipt = await memory.forget_user(ANA, dry_run=True)
        assert (receipt.dry_run, receipt.signature, receipt.counts["messages"]) == (True, None, 13)
        assert "would be erased: messages: 13" in str(receipt)
        assert ANA not in receipt.to_json()
        assert await state_of(memory, ANA) == before
        with pytest.raises(ReadOnlyError):
            await memory.forget_user(ANA)
    assert not (folder / "erasure").exists()
    assert set(await found(folder, ana.words)) == set(ana.words)


async def test_a_view_forgets_its_own_user_only(store: tuple[Path, Said, Said]) -> None:
    folder, ana, ben = store
    async with open_memory(str(folder), **SETTINGS) as memory:
        view = memory.for_user(BEN)
        with pytest.raises(ForeignUserError):
            await view.forget_user(ANA)
        with pytest.raises(ForeignUserError):
            await view.remains(ANA)
        for wrong in ("", "a\0b", 3, None):
            with pytest.raises(InvalidInputError) as refused:
                await memory.forget_user(wrong)
            assert refused.value.field == "user_id"
        assert (await view.forget_user(BEN)).ok
        assert (await memory.get_statistics(ANA))["total_messages"] == 13
    assert await found(folder, ben.words) == {}
    assert set(await found(folder, ana.words)) == set(ana.words)


async def test_whoever_comes_back_begins_anew(store: tuple[Path, Said, Said]) -> None:
    folder, *_ = store
    async with open_memory(str(folder), **SETTINGS) as memory:
        await memory.forget_user(ANA)
        await memory.store_message(said("here I am again"), "new", user_id=ANA)
        context = await memory.get_context(ANA, "new")
        assert [one.content for one in context.messages] == ["here I am again"]
        assert [one.content for one in await memory.retrieve_messages("talk of ana")] == []
        # The conversation is nobody's: whoever begins it has it.
        await memory.store_message(said("mine now"), "talk of ana", user_id=BEN)
        assert (await memory.maintain()).ok


async def test_receipts_that_were_tampered_with(store: tuple[Path, Said, Said]) -> None:
    folder, *_ = store
    async with open_memory(str(folder), **SETTINGS) as memory:
        receipt = await memory.forget_user(ANA)
        other = await memory.forget_user(BEN)
        assert await memory.verify_receipt(receipt, ANA)
        assert await memory.verify_receipt(receipt.to_json())
        assert (await memory.verify_receipt(receipt, BEN)).problems == ("it is another user's",)
        given = receipt.to_dict()
        for change in (
            {"counts": {**given["counts"], "messages": 12}},
            {"finished_at": "2020-01-01T00:00:00+00:00"},
            {"not_erased": [{"what": "a", "why": "b", "fix": "c"}]},
            {"user": other.to_dict()["user"]},
            {"check": {**given["check"], "files": 0}},
            {"hash": other.hash},
            {"hash": other.hash, "signature": given["signature"]},
        ):
            assert not await memory.verify_receipt({**given, **change}), change
        # With a hash that fits, the signature does not.
        forged = replace(receipt, counts={"messages": 0})
        refit = replace(hashed(forged), signature=receipt.signature)
        assert "its signature does not fit" in str(await memory.verify_receipt(refit))
        strange = await memory.verify_receipt(signed(forged, b"x" * 32))
        assert strange.problems == ("another key has signed it: it is not of this store",)
        unsigned = await memory.verify_receipt(await memory.forget_user(ANA, dry_run=True))
        assert unsigned.problems == ("it is not signed: it is of a dry run",)
        for wrong in ("{", "[]", "{}", 3, {"format": given["format"]}, {**given, "user": None}):
            with pytest.raises(InvalidInputError) as refused:
                await memory.verify_receipt(wrong)
            assert refused.value.field == "receipt"
    key = folder / "erasure" / "receipts.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_snapshots_are_erased_and_other_copies_named(
    store: tuple[Path, Said, Said], tmp_path: Path
) -> None:
    folder, ana, ben = store
    snapshot, gone = tmp_path / "snapshot", tmp_path / "gone"
    async with open_memory(str(folder), **SETTINGS) as memory:
        for target in (snapshot, gone):
            await memory.snapshot(target)
        gone.rename(tmp_path / "moved")
        planned = await memory.forget_user(ANA, dry_run=True)
        assert planned.counts["snapshots"] == 1
        (snapshot / "store.json").rename(tmp_path / "kept.json")
        receipt = await memory.forget_user(ANA)
        assert not receipt.ok
        assert [one.what for one in receipt.not_erased] == [f"the snapshot in {snapshot}"]
        (tmp_path / "kept.json").rename(snapshot / "store.json")
        assert set(await found(snapshot, ana.words)) == set(ana.words)
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert receipt.counts["snapshots"] == 1
    assert await found(snapshot, ana.words) == {}
    assert set(await found(snapshot, ben.words)) == set(ben.words)
    async with open_memory(str(snapshot), **SETTINGS) as memory:
        assert (await memory.get_statistics(BEN))["total_messages"] == 13


async def test_names_in_records_and_what_lies_about(store: tuple[Path, Said, Said]) -> None:
    folder, ana, _ = store
    lost = {
        "at": "2026-01-01T00:00:00+00:00",
        "lost": [
            {"seq": 3, "conversation_id": "talk of ana", "user_id": ANA, "turn": 3},
            {"seq": 4, "conversation_id": "talk of ben", "user_id": BEN, "turn": 4},
        ],
        "removed": [{"seq": 9, "id": "an id", "kind": "message", "user_id": ANA}],
    }
    (folder / "losses.jsonl").write_text(f"{json.dumps(lost)}\nnot JSON\n")
    report = json.loads((folder / "maintenance.json").read_text())
    found_wrong = f"1 row is not as stored: the message 1 of '{ANA}' in 'talk of ana' (seq 3)"
    report["problems"] = [{"part": "rows", "found": found_wrong, "fix": "Mend it."}]
    report["background"] = {"erase what was deleted": "the disk is full near 'talk of ana'"}
    (folder / "maintenance.json").write_text(json.dumps(report))
    aside = folder / "rows" / "set-aside" / "1"
    aside.mkdir(parents=True)
    (aside / "old.lance").write_text(ana.words[0])
    (folder / "sessions.sqlite.damaged-1").write_text(ana.words[1])
    # What a killed process was writing.
    (folder / "maintenance.json.new").write_text(f"{ANA} {ana.words[2]}")
    async with open_memory(str(folder), **SETTINGS) as memory:
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert receipt.counts["set_aside_files"] == 2
        assert receipt.counts["record_entries"] >= 4
        assert not (folder / "maintenance.json.new").exists()
    kept = (folder / "losses.jsonl").read_text()
    assert ANA not in kept
    assert "talk of ana" not in kept
    assert '"seq": 3' in kept
    assert "talk of ben" in kept
    assert "not JSON" in kept
    assert ANA not in (folder / "maintenance.json").read_text()
    assert "talk of ana" not in (folder / "maintenance.json").read_text()


async def test_what_remains_is_found(store: tuple[Path, Said, Said]) -> None:
    folder, *_ = store
    async with open_memory(str(folder), **SETTINGS) as memory:
        before = await memory.remains(ANA)
        assert not before.ok
        places = " ".join(one.where for one in before.found)
        assert all(part in places for part in ("lancedb", "tantivy", "sessions", "rows: version"))
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        (folder / "notes.txt").write_text(f"somebody wrote {ANA} here")
        (folder / "left.bin").write_bytes(b"\0\1we talked about zqa000 and more\2")
        left = await memory.remains(ANA, ["we talked about zqa000 and more"])
        assert {(one.where, one.what) for one in left.found} == {
            ("notes.txt", "the user's id"),
            ("left.bin", "a text"),
        }
        assert "notes.txt: the user's id" in str(left)


async def test_what_others_said_is_no_remain(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    text = "the bakery in the Rua Augusta closes at six"
    async with open_memory(str(folder), **SETTINGS) as memory:
        await memory.store_message(said(text), "a", user_id="ana")
        await memory.store_message(said(f"ana says {text}"), "b", user_id=BEN)
        receipt = await memory.forget_user("ana")
        assert receipt.ok, receipt
        assert receipt.check["others"] > 0
        (folder / "x.json").write_text('{"user": "ana-maria", "banana": 1}')
        assert (await memory.remains("ana")).ok


async def test_a_shared_conversation_goes_on_as_the_other_ones(tmp_path: Path) -> None:
    """Rows of two users in one conversation, as a repair or another program leaves them."""
    folder = tmp_path / "store"
    async with open_memory(str(folder), **SETTINGS) as memory:
        await memory.store_message(said("ana begins"), "both", user_id="ana")
        await memory.store_message(said("ben alone"), "bens", user_id=BEN)
        store = await memory._lazy.get()
        (theirs,) = await memory.retrieve_messages("bens")
        moved = await memory._lazy.writer()
        rows = await store.rows.read(Scope.user(BEN), RowFilter(), (*COLUMNS, "vector"))
        place = rows.schema.get_field_index("conversation_id")
        table = rows.set_column(place, rows.schema.field(place), pa.array(["both"], pa.string()))
        place = rows.schema.get_field_index("turn")
        table = table.set_column(place, rows.schema.field(place), pa.array([1], pa.int64()))
        await moved.write_copies(table)
        receipt = await memory.forget_user("ana")
        assert receipt.ok, receipt
        assert [one.content for one in await memory.retrieve_messages("both")] == [theirs.content]
        context = await memory.get_context(BEN, "both")
        assert [one.content for one in context.messages] == [theirs.content]
        await memory.store_message(said("more"), "both", user_id=BEN)
        assert (await memory.maintain()).ok


async def test_the_cache_of_vectors_is_cleared(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    embedder = CachedEmbedder(HashEmbedder(), cache)
    async with open_memory(
        str(tmp_path / "store"), embedder=embedder, embedding_cache=str(cache)
    ) as memory:
        text = "the ferry to Cacilhas leaves at nine"
        await memory.store_message(said(text), "a", user_id="ana")
        vector = HashEmbedder().embed([text])[0].astype("<f4").tobytes()
        held = lambda: vector in b"".join(p.read_bytes() for p in cache.iterdir())  # noqa: E731
        assert held()
        receipt = await memory.forget_user("ana")
        assert receipt.ok, receipt
        assert receipt.counts["cached_vectors"] >= 1
        assert not held()


async def test_an_encrypted_store(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    folder, ana = tmp_path / "store", Said("a")
    settings = {**SETTINGS, "key": b"k" * 32}
    async with open_memory(str(folder), **settings) as memory:
        await fill(memory, ANA, ana, "talk of ana")
        await fill(memory, BEN, Said("b"), "talk of ben")
        await memory.snapshot(tmp_path / "snapshot")
        untouched = await state_of(memory, BEN)
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert any("key" in step for step in receipt.erased)
        assert await memory.verify_receipt(receipt, ANA)
        assert await state_of(memory, BEN) == untouched
        assert (await memory.remains(ANA)).ok
        assert (await memory.maintain()).ok
    for path in (folder / "erasure").iterdir():
        assert receipt.id.encode() not in path.read_bytes()


async def test_the_audit_trail_is_named(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), **SETTINGS, audit=True) as memory:
        await memory.store_message(said("hello"), "a", user_id=ANA)
        receipt = await memory.forget_user(ANA)
        assert [one.what for one in receipt.not_erased] == ["the audit trail"]
        assert not receipt.check["found"]


async def test_what_was_said_in_groups_and_spaces_goes(tmp_path: Path) -> None:
    folder, words = tmp_path / "store", Said("a")
    async with open_memory(str(folder), **SETTINGS) as memory:
        ana, ben = memory.for_user(ANA, spaces={"team": "write"}), memory.for_user(BEN)
        group = await ben.conversations.create([ANA], title="The boat")
        talk = group.conversation_id
        await ana.store_message(said(words.text()), talk)
        await ben.store_message(said("ben in the group"), talk)
        await ana.store_message(said(words.text()), "team talk", user_id="space:team")
        assert (await memory.forget_user(ANA, dry_run=True)).counts["messages_in_spaces"] == 2
        receipt = await memory.forget_user(ANA)
        assert receipt.ok, receipt
        assert (receipt.counts["messages_in_spaces"], receipt.counts["groups"]) == (2, 1)
        left = await ben.retrieve_messages(talk)
        assert [one.content for one in left] == ["ben in the group"]
        assert [one.user_id for one in await ben.conversations.members(talk)] == [BEN]
        assert (await memory.maintain()).ok
    assert await found(folder, [*words.words, ANA.partition(".")[2]]) == {}


async def test_what_was_broken_off_is_ended_by_the_next_call(
    store: tuple[Path, Said, Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = store
    inner = forgetting.remains

    async def fails(*_: Any) -> Any:
        raise EngineError("lancedb", "look", "the disk is away", fix="Bring it back.")

    async with open_memory(str(folder), **SETTINGS) as memory:
        monkeypatch.setattr(forgetting, "remains", fails)
        with pytest.raises(EngineError, match="the disk is away"):
            await memory.forget_user(ANA)
        assert (folder / "erasure" / "under-way.json").exists()
        monkeypatch.setattr(forgetting, "remains", inner)
        assert (await memory.maintain()).ok
        assert not (folder / "erasure" / "under-way.json").exists()
        (receipt,) = await memory.erasure_receipts()
        assert (receipt.ok, receipt.resumed, receipt.counts["messages"]) == (True, 1, 13)


async def test_readers_and_writers_beside_it(store: tuple[Path, Said, Said]) -> None:
    folder, ana, _ = store
    async with (
        open_memory(str(folder), **SETTINGS) as memory,
        open_memory(str(folder), **SETTINGS, read_only=True) as reader,
    ):
        assert await reader.recall(ana.words[0], user_id=ANA)
        stop = asyncio.Event()

        async def write() -> int:
            count = 0
            while not stop.is_set():
                await memory.store_message(said(f"ben {count}"), "more of ben", user_id=BEN)
                await reader.recall("ben", user_id=BEN)
                count += 1
            return count

        writing = asyncio.create_task(write())
        receipt = await memory.forget_user(ANA)
        stop.set()
        count = await writing
        assert receipt.ok, receipt
        assert not await reader.recall(ana.words[0], user_id=ANA)
        assert not await reader.retrieve_messages("talk of ana")
        assert len(await memory.retrieve_messages("more of ben")) == count
    assert await found(folder, ana.words) == {}


async def test_odd_names(tmp_path: Path) -> None:
    names = ["o'hara", 'a "b" %_', "ünï/../cødé", "日本", "a.b+c@example.org", "x", "b*[a-z]?"]
    async with open_memory(str(tmp_path / "store"), **SETTINGS) as memory:
        for name in names:
            await memory.store_message(said(f"it is {name} here"), f"of {name}", user_id=name)
        for number, name in enumerate(names):
            receipt = await memory.forget_user(name)
            assert receipt.ok, (name, receipt)
            assert receipt.counts["messages"] == 1, name
            assert receipt.is_of(name)
            assert len(await memory.list_users()) == len(names) - number - 1
