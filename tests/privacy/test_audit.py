"""The audit trail: all that is done is in it, and what is done to it is found."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, copy_store, open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.privacy.audit.reading import AuditFilter, entries_in, verify_trails
from bruno_memory_vec.store.trail.entry import AuditEntry, Chain
from tests.durability.support import ROOT, environment, message

KEY = "a secret of the auditors"


def opened(folder: Path, **settings: Any) -> Any:
    return open_memory(str(folder), embedder="hash", audit=True, **settings)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[VectorMemory]:
    async with opened(tmp_path / "store") as one:
        yield one


async def last(memory: VectorMemory, **where: Any) -> AuditEntry:
    return (await memory.audit(**where, limit=1))[0]


def lines(folder: Path, trail: str = "trail-1") -> tuple[Path, list[bytes]]:
    (path,) = (folder / "store" / "audit").glob(f"{trail}.*.jsonl")
    return path, path.read_bytes().splitlines(keepends=True)


# What is in it


async def test_a_write_says_who_what_for_and_how_many(memory: VectorMemory) -> None:
    view = memory.for_user("ana", caller="the desk", purpose="support")
    await view.store_messages([message("a boat"), message("a harbour")], "talk")
    noted = await last(memory, action="write")
    assert (noted.caller, noted.purpose, noted.view) == ("the desk", "support", "ana")
    assert (noted.call, noted.users, noted.counts) == ("store_messages", ("ana",), {"message": 2})
    assert noted.conversations == ("talk",)


async def test_a_read_is_noted_with_what_it_gave_out(memory: VectorMemory) -> None:
    await memory.store_message(message("a boat in the harbour"), "talk", user_id="ana")
    await memory.recall("boat", user_id="ana")
    noted = await last(memory, action="read")
    assert (noted.call, noted.users, noted.counts) == ("recall", ("ana",), {"message": 1})


async def test_a_method_that_calls_others_is_noted_once(memory: VectorMemory) -> None:
    before = (await memory.audit_head())["trail-1"]["count"]
    await memory.retrieve_context("ana", "boat")
    assert (await memory.audit_head())["trail-1"]["count"] == before + 2  # audit_head's own, too


async def test_managers_are_noted(memory: VectorMemory) -> None:
    await memory.users.set_preference("tone", "dry", user_id="ana")
    assert (await last(memory, action="write")).call == "set_preference"


async def test_a_deletion_is_noted(memory: VectorMemory) -> None:
    await memory.store_message(message("a boat"), "talk", user_id="ana")
    await memory.clear_history("talk", keep_system_messages=False)
    noted = await last(memory, action="delete")
    assert (noted.users, noted.counts) == (("ana",), {"message": 1})


async def test_a_follower_is_noted_when_it_begins(memory: VectorMemory) -> None:
    following = memory.for_user("ana").follow("talk")
    waiting = asyncio.ensure_future(following.__anext__())
    for _ in range(200):
        # It hears of what is stored once it listens, which is a moment after it is noted.
        await memory.store_message(message("a boat"), "talk", user_id="ana")
        await asyncio.sleep(0.01)
        if waiting.done():
            break
    assert waiting.done()
    await following.aclose()
    ended = [one for one in await memory.audit(action="read") if one.call == "follow"]
    assert [(one.outcome, one.counts) for one in ended] == [
        ("done", {"message": 1}),
        ("begun", {}),
    ]


async def test_what_is_refused_is_noted(memory: VectorMemory) -> None:
    with pytest.raises(ForeignUserError):
        await memory.for_user("ana").recall("boat", user_id="ben")
    noted = await last(memory)
    assert (noted.view, noted.outcome, noted.error) == ("ana", "refused", "ForeignUserError")


async def test_what_the_library_does_by_itself_is_its_own(memory: VectorMemory) -> None:
    note = MemoryEntry(content="a boat", memory_type=MemoryType.FACT, user_id="ana")
    await memory.store_memory(note)
    writer = await memory._lazy.writer()
    await writer.rewrite(Scope.user("ana"), RowFilter(), lambda row: {"importance": 0.9})
    noted = await last(memory, action="write")
    assert (noted.caller, noted.users, noted.counts) == ("library", ("ana",), {"memory": 1})


async def test_many_calls_of_one_commit_have_an_entry_each(memory: VectorMemory) -> None:
    await asyncio.gather(
        *(
            memory.for_user(f"user {n}", caller=f"desk {n}").store_message(
                message("a boat"), f"{n}"
            )
            for n in range(8)
        )
    )
    noted = {(one.caller, one.users) for one in await memory.audit(action="write")}
    assert noted == {(f"desk {n}", (f"user {n}",)) for n in range(8)}


async def test_no_content_is_in_it(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.store_message(message("the secret boat"), "talk", user_id="ana")
    await memory.recall("secret boat", user_id="ana")
    assert b"secret" not in lines(tmp_path)[0].read_bytes()


async def test_ids_may_be_hashed(tmp_path: Path) -> None:
    async with opened(tmp_path / "store", audit_ids="hashed", audit_key=KEY) as memory:
        await memory.for_user("ana").store_message(message("a boat"), "talk")
        assert b"ana" not in lines(tmp_path)[0].read_bytes()
        assert (await last(memory, user_id="ana", action="write")).counts == {"message": 1}
        assert not await memory.audit("ben")


async def test_a_view_sees_only_what_names_its_user(memory: VectorMemory) -> None:
    await memory.store_message(message("a boat"), "one", user_id="ana")
    await memory.store_message(message("a boat"), "two", user_id="ben")
    seen = await memory.for_user("ana").audit()
    assert {user for one in seen for user in one.users} == {"ana"}
    with pytest.raises(ForeignUserError):
        await memory.for_user("ana").audit("ben")


async def test_filters(memory: VectorMemory) -> None:
    await memory.for_user("ana", caller="desk").store_message(message("a boat"), "one")
    first = await last(memory, action="write")
    assert [one.number for one in await memory.audit(caller="desk", until=first.at)] == []
    assert [one.caller for one in await memory.audit(caller="desk", since=first.at)] == ["desk"]
    with pytest.raises(InvalidInputError, match="action"):
        await memory.audit(action="look")  # type: ignore[arg-type]


async def test_what_opens_a_store_without_a_memory_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "store") as memory:
        await memory.store_message(message("a boat"), "talk", user_id="ana")
    monkeypatch.setenv("BRUNO_MEMORY_AUDIT", "1")
    monkeypatch.setenv("BRUNO_MEMORY_AUDIT_FOLDER", str(tmp_path / "trails"))
    await copy_store(str(tmp_path / "store"), str(tmp_path / "copy"))
    found = entries_in(tmp_path / "trails", AuditFilter(), Chain(None), 100)
    assert ("export", "copying", ("*",)) in {(one.action, one.call, one.users) for one in found}


async def test_stores_may_share_a_folder_of_trails(tmp_path: Path) -> None:
    where = {"embedder": "hash", "audit": True, "audit_folder": tmp_path}
    async with open_memory("memory://", **where) as one, open_memory("memory://", **where) as two:
        for number, memory in enumerate([one, two, one, two]):
            await memory.store_message(message("a"), f"{number}", user_id=f"user {number}")
        users = [entry.users[0] for entry in await one.audit(action="write")]
        assert users == [f"user {number}" for number in (3, 2, 1, 0)]
        assert set((await two.verify_audit()).entries) == {"trail-1", "trail-2"}


# What is done to it


async def grown(folder: Path, **settings: Any) -> dict[str, Any]:
    """A trail of some entries; returns its head."""
    async with opened(folder / "store", **settings) as memory:
        for number in range(4):
            await memory.store_message(message(f"text {number}"), "talk", user_id="ana")
        return await memory.audit_head()


def changed(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join([*held[:2], held[2].replace(b'"ana"', b'"eve"'), *held[3:]]))


def removed(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join([*held[:2], *held[3:]]))


def reordered(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join([*held[:2], held[3], held[2], *held[4:]]))


def inserted(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join([*held[:3], held[2], *held[3:]]))


def cut(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join(held[:-1]))


def torn(path: Path, held: list[bytes]) -> None:
    path.write_bytes(b"".join(held)[:-9])


@pytest.mark.parametrize("harm", [changed, removed, reordered, inserted, cut, torn])
async def test_harm_is_found(tmp_path: Path, harm: Callable[[Path, list[bytes]], None]) -> None:
    await grown(tmp_path)
    async with opened(tmp_path / "store") as memory:
        assert (await memory.verify_audit()).ok
    harm(*lines(tmp_path))
    async with opened(tmp_path / "store") as memory:
        report = await memory.verify_audit()
        assert not report.ok
        assert "PROBLEM" in str(report)
        # It stays so: what comes later does not hide it.
        await memory.store_message(message("later"), "talk", user_id="ana")
        assert not (await memory.verify_audit()).ok


async def test_a_cut_tail_is_told_by_the_next_opening(tmp_path: Path) -> None:
    await grown(tmp_path)
    cut(*lines(tmp_path))
    torn(*lines(tmp_path))
    async with opened(tmp_path / "store") as memory:
        told = await last(memory, action="trail")
        assert told.about["lost_entries"] == 2
        assert told.about["torn_bytes"] > 0
    assert list((tmp_path / "store" / "audit").glob("*.torn"))


@pytest.mark.parametrize(
    "left", [None, b'{"count": 1e999, "hash": "x"}', b"[" * 100_000], ids=["none", "odd", "deep"]
)
async def test_a_head_that_was_lost_is_told_after_the_next_opening(
    tmp_path: Path, left: bytes | None
) -> None:
    folder = tmp_path / "store"
    async with opened(folder) as memory:
        await memory.store_message(message("a boat"), "talk", user_id="ana")
    head = folder / "audit" / "trail-1.head"
    head.unlink() if left is None else head.write_bytes(left)

    async with opened(folder) as memory:
        report = await memory.verify_audit()

    assert [one.found.partition(":")[0] for one in report.problems] == ["the head was missing here"]


async def test_a_line_that_no_reader_can_take_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as memory:
        path, held = lines(tmp_path)
        path.write_bytes(b"".join([*held, b"[" * 100_000 + b"\n"]))

        assert "is no entry" in str(await memory.verify_audit())


async def test_a_head_that_was_handed_out_finds_what_its_writer_forged(tmp_path: Path) -> None:
    head = await grown(tmp_path)
    for path in (tmp_path / "store" / "audit").iterdir():
        path.unlink()
    await grown(tmp_path)
    async with opened(tmp_path / "store") as memory:
        assert (await memory.verify_audit()).ok
        assert not (await memory.verify_audit(head)).ok


async def test_with_a_key_nobody_else_can_make_the_chain(tmp_path: Path) -> None:
    await grown(tmp_path, audit_key="another secret of theirs")
    async with opened(tmp_path / "store", audit_key=KEY) as memory:
        assert not (await memory.verify_audit()).ok


async def test_the_chain_goes_on_in_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bruno_memory_vec.store.trail.trail._MIB", 1_000)
    await grown(tmp_path, audit_file_mb=1)
    await grown(tmp_path, audit_file_mb=1)
    files = sorted((tmp_path / "store" / "audit").glob("*.jsonl"))
    assert len(files) > 2
    async with opened(tmp_path / "store") as memory:
        assert (await memory.verify_audit()).ok
        assert len(await memory.audit(action="write")) == 8
    files[1].unlink()
    async with opened(tmp_path / "store") as memory:
        assert not (await memory.verify_audit()).ok


async def test_a_kill_before_the_first_entry_of_a_file_is_no_loss(tmp_path: Path) -> None:
    await grown(tmp_path)
    path, _ = lines(tmp_path)
    (path.parent / "trail-1.000002.jsonl").touch(mode=0o600)
    await grown(tmp_path)
    async with opened(tmp_path / "store") as memory:
        assert (await memory.verify_audit()).ok
        told = await memory.audit(action="trail")
        assert all(set(one.about) == {"opened_by"} for one in told)


async def test_a_last_entry_that_was_changed_beyond_reading_is_told(tmp_path: Path) -> None:
    await grown(tmp_path)
    path, held = lines(tmp_path)
    path.write_bytes(b"".join(held[:-1]) + b"{nothing}\n")
    async with opened(tmp_path / "store") as memory:
        assert (await last(memory, action="trail")).about["end_damaged"] is True
        assert not (await memory.verify_audit()).ok


# Its processes

_KILLED = """
import asyncio, os, sys
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory

async def main():
    memory = await open_memory(sys.argv[1], embedder="hash", audit=True)
    for number in range(5):
        await memory.store_message(Message(role="user", content="a"), "talk", user_id="ana")
        await memory.recall("a", user_id="ana")
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_a_kill_loses_no_entry(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _KILLED, str(tmp_path / "store")],
        env=environment(),
        cwd=ROOT,
        check=False,
        timeout=120,
    )
    folder, chain = tmp_path / "store" / "audit", Chain(None)
    calls = [one.call for one in entries_in(folder, AuditFilter(), chain, 100)]
    assert (calls.count("store_messages"), calls.count("recall")) == (0, 5)
    assert calls.count("store_message") == 5
    assert verify_trails(folder, chain).ok


async def test_a_reader_beside_the_writer_has_a_trail_of_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as writer:
        await writer.store_message(message("a boat"), "talk", user_id="ana")
        async with opened(tmp_path / "store", read_only=True) as reader:
            await reader.for_user("ana", caller="reader").recall("boat")
            both = await writer.audit()
            assert {one.trail for one in both} == {"trail-1", "trail-2"}
            assert (await last(writer, caller="reader")).call == "recall"
            assert (await writer.verify_audit()).ok


async def test_what_cannot_be_noted_is_not_done(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as memory:
        trail: Any = memory._lazy.trail
        handle, trail._file._data = trail._file._data, -1
        with pytest.raises(BackendUnavailable, match="audit"):
            await memory.store_message(message("a boat"), "talk", user_id="ana")
        with pytest.raises(BackendUnavailable, match="audit"):
            await memory.recall("boat", user_id="ana")
        trail._file._data = handle
        assert not await memory.retrieve_messages("talk")


async def test_without_the_setting_there_is_none(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        await memory.store_message(message("a boat"), "talk", user_id="ana")
        with pytest.raises(InvalidInputError, match="audit=True"):
            await memory.audit()
    assert not (tmp_path / "store" / "audit").exists()


async def test_a_store_without_a_folder_has_to_be_given_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="audit_folder"):
        await open_memory("memory://", embedder="hash", audit=True)
    where = tmp_path / "trail"
    async with open_memory("memory://", embedder="hash", audit=True, audit_folder=where) as memory:
        assert (await memory.audit_head())["trail-1"]["count"] == 1


def test_an_encrypted_store_hashes_its_users() -> None:
    with pytest.raises(InvalidInputError, match="audit_ids"):
        VectorMemory("memory://", audit=True, key="a passphrase of many letters")


async def test_its_files_are_the_owners_alone(tmp_path: Path) -> None:
    await grown(tmp_path)
    for path in (tmp_path / "store" / "audit").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert json.loads((tmp_path / "store" / "audit" / "trail-1.head").read_text())["count"] >= 5
