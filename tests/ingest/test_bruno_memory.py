"""The SQLite file of bruno-memory: everything in it is stored, once, and by either command."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryType
from bruno_core.models.message import MessageRole

from bruno_memory_vec import copy_store, open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError, InvalidInputError
from tests.cli.support import Done, as_found, run_here
from tests.durability.support import message, rows_of

#: Made by bruno-memory itself: tests/ingest/bruno_memory/make.py.
MADE = Path(__file__).with_name("bruno_memory") / "bruno-memory-0.1.5.sqlite.gz"
BEGAN = datetime(2025, 10, 3, 18, 50, 0, 250_000)  # bruno-core's times are naive


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memory.db"
    path.write_bytes(gzip.decompress(MADE.read_bytes()))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Done]]:
    for _ in as_found(monkeypatch):
        yield run_here


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def shorten(file: Path, path: Path) -> None:
    path.write_bytes(file.read_bytes()[:5000])


async def test_all_of_it_is_stored_once(file: Path, tmp_path: Path) -> None:
    source, target = f"bruno-memory:{file}", tmp_path / "store"
    report = await copy_store(source, target, embedder="hash", dry_run=True)
    assert (report.copied, report.verified, target.exists()) == (13, 0, False)
    report = await copy_store(source, target, embedder="hash")
    assert report.ok, report
    assert (report.rows, report.copied, report.present, report.verified) == (13, 13, 0, 13)
    assert (report.conversations, report.sessions, report.users) == (3, 2, 1)
    assert report.rows_by_user == {
        "ana": {"message": 5, "memory": 3},
        "ben": {"message": 1, "memory": 3},
        "default": {"message": 1},
    }
    async with open_memory(target, embedder="hash") as memory:
        before = await rows_of(memory)
        turns = await memory.read_turns("trip")
        assert [turn.turn for turn in turns] == [0, 1, 2, 3, 4]
        assert [turn.message.role for turn in turns] == [
            MessageRole.SYSTEM,
            MessageRole.USER,
            MessageRole.ASSISTANT,
            MessageRole.USER,
            MessageRole.TOOL,
        ]
        said = turns[1].message
        assert said.id == UUID(int=2)
        assert said.content == "We found a guesthouse in Alfama — it has a terrace 🌞"
        assert said.timestamp == BEGAN + timedelta(minutes=1)
        assert said.metadata == {"n": 1, "nested": {"a": [1, None]}}
        assert said.parent_id == UUID(int=1)
        assert said.conversation_id == "trip"
        # Whose they are: the conversation's own record, its session, the default user.
        for talk, owner in (("trip", "ana"), ("teeth", "ben"), ("bruno-memory", "default")):
            assert await memory.conversation_owner(talk) == owner
        (dentist,) = await memory.retrieve_messages("teeth")
        india = timezone(timedelta(hours=5, minutes=30))
        assert dentist.timestamp == datetime(2026, 5, 9, 8, 0, tzinfo=india)
        assert dentist.timestamp.utcoffset() == timedelta(hours=5, minutes=30)
        (nobody,) = await memory.retrieve_messages("bruno-memory")
        assert nobody.conversation_id is None
        entry = await memory.get_memory(UUID(int=102))
        assert entry is not None
        assert (entry.user_id, entry.memory_type) == ("ben", MemoryType.EPISODIC)
        assert entry.metadata.importance == 0.2
        assert entry.metadata.confidence == 0.5
        assert entry.metadata.access_count == 2
        assert entry.metadata.tags == ["travel", "episodic"]
        assert entry.metadata.category == "trips"
        assert entry.metadata.source == "import"
        assert entry.metadata.custom_fields == {"number": 2}
        assert entry.created_at == BEGAN
        assert entry.updated_at == BEGAN + timedelta(days=1)
        assert entry.last_accessed == BEGAN + timedelta(days=2)
        assert entry.expires_at == BEGAN + timedelta(days=40_000)
        about = await memory.get_memory(UUID(int=101))
        assert about is not None
        assert about.conversation_id == "trip"
        (session,) = await memory.list_sessions(user_id="ben")
        assert session.conversation_id == "teeth"
        assert not session.is_active
        assert session.ended_at is not None
        assert (await memory.get_user("ana")).created_at.year == 2026
        hits = await memory.recall("where is the dentist?", user_id="ben")
        assert hits[0].content == "The dentist moved to Gloucester Road"
    report = await copy_store(source, target, embedder="hash")
    assert (report.copied, report.present, report.verified, report.ok) == (0, 13, 13, True)
    async with open_memory(target, embedder="hash") as memory:
        kept = {row["id"]: row for row in await rows_of(memory)}
        assert [kept[row["id"]]["seq"] for row in before] == [row["seq"] for row in before]


async def test_what_is_new_in_the_file_comes_along(file: Path, tmp_path: Path) -> None:
    source, target = f"bruno-memory:{file}", tmp_path / "store"
    await copy_store(source, target, embedder="hash", user_id="ana")
    async with open_memory(target, embedder="hash") as memory:
        assert {user.user_id for user in await memory.list_users()} == {"ana"}
    change(file, "UPDATE messages SET content = 'changed' WHERE role = 'tool'")
    report = await copy_store(source, target, embedder="hash", dry_run=True)
    assert (report.copied, report.present) == (6, 7)
    report = await copy_store(source, target, embedder="hash")
    assert (report.copied, report.verified, report.ok) == (6, 13, True)
    async with open_memory(target, embedder="hash") as memory:
        turns = await memory.read_turns("trip")
        assert (turns[-1].turn, turns[-1].message.content) == (4, "changed")


async def test_a_conversation_of_another_user_is_refused(file: Path, tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        await memory.store_message(message("mine"), "trip", user_id="eve")
    with pytest.raises(ForeignUserError, match=r"'trip'.*'eve'"):
        await copy_store(f"bruno-memory:{file}", tmp_path / "store", embedder="hash")
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        assert len(await rows_of(memory)) == 1


async def test_what_cannot_be_stored_is_named_before_anything_is(
    file: Path, tmp_path: Path
) -> None:
    change(file, "UPDATE messages SET role = 'nobody' WHERE role = 'tool'")
    change(file, "UPDATE messages SET timestamp = 'today' WHERE role = 'system'")
    change(file, "UPDATE memory_entries SET content = ' ' WHERE memory_type = 'fact'")
    change(file, "UPDATE memory_entries SET metadata = '[]' WHERE memory_type = 'semantic'")
    change(file, "UPDATE memory_entries SET user_id = 'eve' WHERE conversation_id = 'trip'")
    change(file, "UPDATE session_contexts SET state = '{' WHERE user_id = 'ben'")
    source, target = f"bruno-memory:{file}", tmp_path / "store"
    with pytest.raises(InvalidInputError, match="6 entries that cannot be stored") as error:
        await copy_store(source, target, embedder="hash")
    for said in (
        "messages[00000000-0000-0000-0000-000000000005].row: 'nobody'",
        "messages[00000000-0000-0000-0000-000000000001].timestamp: expected ISO 8601",
        "memory_entries[00000000-0000-0000-0000-000000000069].content",
        "memory_entries[00000000-0000-0000-0000-000000000067].metadata: is no JSON object",
        "memory_entries[00000000-0000-0000-0000-000000000065].conversation_id: the conversation",
        ".state: is no JSON",
    ):
        assert said in str(error.value), said
    assert not target.exists()
    report = await copy_store(source, target, embedder="hash", skip_bad=True)
    assert (report.rows, report.copied, report.verified, report.sessions) == (8, 8, 8, 1)
    assert len(report.problems) == 6


async def test_what_is_no_such_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    change(other, "CREATE TABLE x (y)")
    text, cut = tmp_path / "text.db", tmp_path / "cut.db"
    text.write_text("no database", encoding="utf-8")
    shorten(file, cut)
    for path, refused in (
        (tmp_path / "none.db", InvalidInputError),
        (text, InvalidInputError),
        (other, InvalidInputError),
        (cut, BackendUnavailable),
    ):
        with pytest.raises(refused, match=path.name):
            await copy_store(f"bruno-memory:{path}", tmp_path / "store", embedder="hash")
    with pytest.raises(InvalidInputError, match="others"):
        await copy_store(f"bruno-memory:{file}", tmp_path / "store", others="remove")
    assert not (tmp_path / "store").exists()


def test_ingest_knows_it_by_itself(run: Callable[..., Done], file: Path, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "store"), "--embedder", "hash"]
    done = run("ingest", str(file), "--user", "cleo", *store)
    assert (done.code, done.err) == (0, "")
    assert f"copied 13 of 13 rows from {file}" in done.out
    assert "  cleo: 1 message" in done.out
    done = run("ingest", str(file), "--user", "cleo", "--json", *store)
    assert (done.json["copied"], done.json["present"], done.json["ok"]) == (0, 13, True)
    change(file, "UPDATE memory_entries SET content = ' ' WHERE memory_type = 'fact'")
    done = run("ingest", str(file), "--user", "cleo", *store)
    assert done.code == 1
    assert "--skip-bad" in done.err
    done = run("ingest", str(file), "--user", "cleo", "--skip-bad", *store)
    assert done.code == 0
    assert "left out, because it cannot be stored: memory_entries[" in done.out
