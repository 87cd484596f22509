"""The files of users: valid as long as their rows are as they were, and never otherwise."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers import cache as cached
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.indexers.user_files import files as user_files
from bruno_memory_vec.indexers.user_files.files import Store, UserFiles
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing.rows import START, memory, message, table
from tests.amounts import amount
from tests.durability.support import environment
from tests.durability.support import message as said

DIMENSION = 8
ANA, BO = Scope.user("ana"), Scope.user("bo")
ANY = RowFilter()


@pytest.fixture(autouse=True)
def _few_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "FILED_ROWS", 1)
    # Only where a test is about it: else a file may be there again.
    monkeypatch.setattr(cached, "_BEFORE_FILING", 3_600)


@dataclass
class Kept:
    """Rows in an engine, their files in a folder, and the process that has them open."""

    folder: Path
    inner: ReferenceIndex = field(default_factory=lambda: ReferenceIndex(DIMENSION))
    state: str = "as written"
    holder: int = 1
    killed: int | None = None
    about: str = "an embedder"

    async def open(self) -> CachedIndex:
        before = None if self.killed is None else {"pid": self.killed}
        store = Store(
            {"embedder": self.about},
            lambda: self.state,
            analyser("english"),
            {"pid": self.holder},
            before,
        )
        last_seq = await self.inner.last_seq()
        self.files = UserFiles(self.folder, store)
        self.files.open(last_seq)
        self.index = CachedIndex(self.inner, 2**24, files=self.files, last_seq=last_seq)
        return self.index

    async def reopen(self, *, kill: bool = False) -> CachedIndex:
        """Open in another process, after the first one was closed or killed."""
        if kill:
            self.killed = self.holder
        else:
            self.killed = None
            closed = self.index.inner
            self.index.inner = _Open(closed)
            await self.index.close()
        self.holder += 1
        return await self.open()

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.rows"))


class _Open(cached.ForwardingRowIndex):
    """An engine that stays open when its cache is closed, as files on a disk do."""

    async def close(self) -> None:
        return None


def rows(*given: dict[str, Any]) -> Any:
    return table(given, DIMENSION)


async def kept(folder: Path) -> Kept:
    """Two users with 20 rows each, and their files."""
    made = Kept(folder / "users")
    index = await made.open()
    first = [message(seq, f"text {seq % 7} of ana") for seq in range(20)]
    others = [message(seq, f"text {seq % 5} of bo", user_id="bo") for seq in range(20, 40)]
    await index.upsert(rows(*first, *others), all_new=True)
    assert await index.write_user_files() == 2
    return made


async def agrees(made: Kept, *, from_file: int | None = None) -> None:
    """What is held of each user, perhaps from a file, is what the engine has."""
    read = made.files.read
    for scope in (ANA, BO):
        theirs = (await made.inner.read(scope, ANY, LOADED)).sort_by("seq")
        snapshot = await made.index.snapshot(scope)
        if snapshot is None:
            assert theirs.column("archived_at").null_count < theirs.num_rows
            continue
        ours = snapshot.read(scope, ANY, LOADED)
        assert ours.to_pylist() == theirs.to_pylist()
        for name, conversation in snapshot.codes["conversation_id"].items():
            turns = {row: turn for turn, row in snapshot.row_of_turn[conversation].items()}
            for row, turn in turns.items():
                assert snapshot.columns["turn"][row] == turn
                assert snapshot.table.column("conversation_id")[row].as_py() == name
        words = snapshot.words.index
        assert words is None or len(words) <= len(snapshot) + 64
    if from_file is not None:
        assert made.files.read - read == from_file


async def test_a_first_recall_reads_the_file_and_not_the_engine(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    await made.reopen()
    asked: list[str] = []
    real = made.inner.read

    async def read(*arguments: Any, **named: Any) -> Any:
        asked.append("read")
        return await real(*arguments, **named)

    made.inner.read = read  # type: ignore[method-assign]
    snapshot = await made.index.snapshot(ANA)
    assert not asked
    assert made.files.read == 1
    assert snapshot is not None
    assert snapshot.words.index is not None
    assert len(snapshot.words.index) == len(snapshot) == 20
    await agrees(made)


@pytest.mark.parametrize("kill", [False, True])
async def test_what_was_added_since_is_added_to_the_file(tmp_path: Path, kill: bool) -> None:
    made = await kept(tmp_path)
    await made.index.upsert(rows(message(50, "newer"), message(51, "newest")), all_new=True)
    await agrees(made)
    made.index.clear()
    await agrees(made, from_file=2)
    # A new conversation, and an id that is there twice now.
    branch = message(52, "newer", id=str(UUID(int=50)), conversation_id="other", turn=0)
    await made.index.upsert(rows(branch), all_new=True)
    made.index.clear()
    await made.reopen(kill=kill)
    await agrees(made, from_file=2)
    snapshot = await made.index.snapshot(ANA)
    assert snapshot is not None
    assert snapshot.repeated


async def _delete(index: CachedIndex) -> None:
    await index.delete(ANA, RowFilter(), seqs=[3])


async def _delete_of_all(index: CachedIndex) -> None:
    await index.delete(EVERYONE, RowFilter(), seqs=[3])


async def _delete_expired(index: CachedIndex) -> None:
    await index.delete(EVERYONE, RowFilter(until=START + timedelta(minutes=5)))


async def _replace(index: CachedIndex) -> None:
    await index.upsert(rows(message(60, "instead", id=str(UUID(int=3)))), all_new=False)


async def _archive(index: CachedIndex) -> None:
    old = message(61, "text 3 of ana", id=str(UUID(int=3)), archived_at=START)
    await index.upsert(rows(old), all_new=False)


async def _turns(index: CachedIndex) -> None:
    found = (await index.inner.read(ANA, ANY, ["seq", "turn"])).slice(0, 1)
    await index.update(found.set_column(1, "turn", [[999]]))


async def _everything(index: CachedIndex) -> None:
    await index.delete(EVERYONE, RowFilter())


Change = Callable[[CachedIndex], Awaitable[None]]
CHANGES: list[Change] = [
    _delete,
    _delete_of_all,
    _delete_expired,
    _replace,
    _archive,
    _turns,
    _everything,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kill", [False, True])
async def test_a_file_is_gone_before_its_users_rows_change(
    tmp_path: Path, change: Change, kill: bool
) -> None:
    made = await kept(tmp_path)
    path = made.folder / f"{user_files._name('ana')}.rows"
    assert path.exists()
    there: list[bool] = []

    class Watched(cached.ForwardingRowIndex):
        async def upsert(self, *arguments: Any, **named: Any) -> None:
            there.append(path.exists())
            await super().upsert(*arguments, **named)

        async def update(self, *arguments: Any, **named: Any) -> None:
            there.append(path.exists())
            await super().update(*arguments, **named)

        async def delete(self, *arguments: Any, **named: Any) -> Any:
            there.append(path.exists())
            return await super().delete(*arguments, **named)

    made.index.inner = Watched(made.inner)
    await change(made.index)
    assert there == [False]
    made.index.inner = made.inner
    await agrees(made)
    made.index.clear()
    await made.reopen(kill=kill)
    await agrees(made)


@pytest.mark.parametrize("kill", [False, True])
async def test_access_counts_are_kept_beside_the_files(tmp_path: Path, kill: bool) -> None:
    made = await kept(tmp_path)
    for uses in ({3: 2, 21: 1}, {3: 1, 4: 5}):
        await count_uses(made.index, uses, START + timedelta(days=1))
    made.index.clear()
    await agrees(made, from_file=2)
    await made.reopen(kill=kill)
    await agrees(made, from_file=2)
    # Nothing stays of a row that is gone.
    await made.index.delete(ANA, ANY, seqs=[3])
    assert 3 not in made.files._uses["seq"].tolist()
    await agrees(made)


async def test_access_counts_that_were_being_set_count_for_nothing(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    made.files.end_uses = lambda: None  # type: ignore[method-assign]  # killed just before
    await count_uses(made.index, {3: 2}, START)
    await made.reopen(kill=True)
    assert not made.paths()
    await agrees(made, from_file=0)


async def test_access_counts_of_before_do_not_come_back(tmp_path: Path) -> None:
    """Counts that no file needed to know are in the files that are written later."""
    made = await kept(tmp_path)
    await count_uses(made.index, {1: 1}, START)
    for scope, seq in ((ANA, 0), (BO, 20)):
        await made.index.delete(scope, ANY, seqs=[seq])
    assert not made.paths()
    await count_uses(made.index, {1: 1}, START + timedelta(days=1))
    assert await made.index.write_user_files() == 2
    await made.reopen()
    await agrees(made, from_file=2)


async def test_a_number_that_is_given_again_is_in_no_file(tmp_path: Path) -> None:
    """As where the newest row was deleted, and only the rows are left to tell the numbers."""
    made = await kept(tmp_path)
    await made.index.upsert(rows(message(40, "the newest")), all_new=True)
    await made.index.delete(BO, ANY, seqs=[20])
    assert await made.index.write_user_files() == 2  # both up to 40
    await made.index.delete(ANA, ANY, seqs=[40])
    await made.reopen()
    await made.index.upsert(rows(message(40, "of another user", user_id="bo")), all_new=True)
    await agrees(made, from_file=1)


async def test_rows_that_the_store_has_lost_are_in_no_file(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    await made.index.upsert(rows(message(40, "the newest")), all_new=True)
    assert await made.index.write_user_files() == 1
    await made.inner.delete(ANA, ANY, seqs=[40])
    await made.reopen(kill=True)
    await agrees(made, from_file=1)
    assert "rows that the store does not have" in str(made.files.problem)


@pytest.mark.skipif(os.name != "posix", reason="links need rights there")
async def test_nothing_is_read_or_written_through_a_link(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    await made.reopen()
    (tmp_path / "users").rename(tmp_path / "elsewhere")
    (tmp_path / "users").symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()}
    await made.open()
    assert await made.index.write_user_files() == 0
    await agrees(made, from_file=0)
    await made.index.delete(ANA, ANY, seqs=[3])
    await agrees(made, from_file=0)
    assert {path: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()} == before
    assert "is a link" in str(made.files.problem)


async def test_who_has_no_file_is_not_forgotten_where_writing_them_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await kept(tmp_path)
    reading = asyncio.Event()

    async def never(*_: Any, **__: Any) -> int:
        reading.set()
        return await asyncio.Future()

    await made.index.write_user_files(at_rest=True)
    await made.reopen()  # everybody has a file
    await made.index.delete(ANA, ANY, seqs=[1])
    with monkeypatch.context() as patch:
        patch.setattr(made.inner, "count", never)
        task = asyncio.create_task(made.index.write_user_files(at_rest=True))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await made.reopen()
    assert await made.index.write_user_files(at_rest=True) == 1
    assert len(made.paths()) == 2


async def test_a_rest_between_two_files_ends_with_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large user's file takes seconds, and the rest after it ten times as long."""
    made = await kept(tmp_path)
    await made.index.delete(ANA, ANY, seqs=[1])  # so hers is to be written
    monkeypatch.setattr(cached, "_FILING_SHARE", 1e-9)
    real, written = made.index._write_file, asyncio.Event()

    async def write(*given: Any) -> bool:
        done = await real(*given)
        written.set()
        return done

    monkeypatch.setattr(made.index, "_write_file", write)
    task = asyncio.create_task(
        made.index.write_user_files(at_rest=True, goes_on=lambda: not written.is_set())
    )
    await asyncio.wait_for(written.wait(), 20)
    assert await asyncio.wait_for(task, 20) == 1


async def test_too_many_access_counts_void_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_files, "MOST_USES", 3)
    made = await kept(tmp_path)
    await count_uses(made.index, dict.fromkeys(range(4), 1), START)
    assert not made.paths()
    await agrees(made)


async def test_who_was_read_from_the_engine_gets_a_file_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "_BEFORE_FILING", 0)
    made = await kept(tmp_path)
    await made.index.delete(ANA, ANY, seqs=[3])
    assert len(made.paths()) == 1
    made.index.clear()
    await agrees(made, from_file=1)
    assert made.index._filing is not None
    await made.index._filing
    assert len(made.paths()) == 2
    made.index.clear()
    await agrees(made, from_file=2)


async def test_another_users_file_is_refused(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    bo = made.folder / f"{user_files._name('bo')}.rows"
    (made.folder / f"{user_files._name('ana')}.rows").write_bytes(bo.read_bytes())
    await made.reopen()
    await agrees(made, from_file=1)
    assert "user is another one" in (await made.index.health())["user_files"]["problem"]


async def test_a_damaged_file_is_told_and_made_anew(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    path = made.folder / f"{user_files._name('ana')}.rows"
    whole = path.read_bytes()
    changed = [whole[: len(whole) // 2], whole[:10], b"", whole + b"x"]
    for at in (0, 9, 13, 20, 45, len(whole) // 2, len(whole) - 1):
        changed.append(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    for data in changed:
        path.write_bytes(data)
        made.index.clear()
        await agrees(made, from_file=1)
        assert path.name in (await made.index.health())["user_files"]["problem"]
        assert not path.exists()
        assert await made.index.write_user_files() == 1
        assert path.read_bytes()
        assert (await made.index.health())["user_files"]["problem"] is None


@pytest.mark.parametrize("gone", ["boot", "holder", "rows", "embedder", "state", "before"])
async def test_files_that_may_be_of_other_rows_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    made = await kept(tmp_path)
    kill = gone in ("boot", "holder", "before")
    if not kill:
        await made.reopen()
        assert made.paths()
    if gone == "boot":
        monkeypatch.setattr(user_files, "_boot", lambda: "another")
    elif gone == "rows":
        await made.index.close()
        made.inner = ReferenceIndex(DIMENSION)
        made.state, made.holder = "another", made.holder + 1
        await made.open()
        assert not made.paths()
        return
    elif gone == "embedder":
        made.about = "another"
    elif gone == "state":
        (made.folder / "state.json").write_text("{")
        made.files._ended = True
    if gone == "holder":
        made.holder += 5  # another process wrote, and was killed, too
    await made.reopen(kill=kill)
    if gone == "before":
        assert made.paths()  # nobody wrote in between
        made.killed, made.holder = None, made.holder + 1
        await made.open()  # somebody wrote, and closed the store
    assert not made.paths()
    await agrees(made, from_file=0)


async def test_a_file_that_is_being_written_is_void_too(tmp_path: Path) -> None:
    """A change that comes while a thread writes a file leaves neither it nor what it wrote."""
    made = await kept(tmp_path)
    await agrees(made)
    held = made.index._users["ana"]
    assert made.files.begin_save("ana")
    assert not made.files.begin_save("ana")
    parts, fresh = held.parts(), made.folder / f"{user_files._name('ana')}.new"
    fresh.write_bytes(b"half of it")
    await made.index.delete(ANA, ANY, seqs=[3])
    assert not fresh.exists()
    assert not made.files.save("ana", parts, 39)
    assert not fresh.exists()
    assert len(made.paths()) == 1
    await agrees(made)


async def test_what_a_killed_process_was_writing_is_swept(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    half = made.folder / f"{user_files._name('ana')}.new"
    half.write_bytes(b"half of it")
    await made.reopen(kill=True)
    assert not half.exists()
    assert len(made.paths()) == 2


async def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recalls go on without files; a change is refused where an outdated file would stay valid."""
    made = await kept(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(user_files, "_write", full)
        await made.index.delete(ANA, ANY, seqs=[3])
        assert await made.index.write_user_files() == 0
        assert "No space left" in (await made.index.health())["user_files"]["problem"]
        await agrees(made)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", full)
        with pytest.raises(BackendUnavailable, match="may be written"):
            await made.index.delete(BO, ANY, seqs=[22])
    assert await made.inner.count(BO, ANY) == 20


async def test_a_change_that_fails_leaves_no_file_that_may_be_wrong(tmp_path: Path) -> None:
    made = await kept(tmp_path)

    class Failing(cached.ForwardingRowIndex):
        async def upsert(self, rows: Any, *, all_new: bool) -> None:
            await super().upsert(rows, all_new=all_new)
            raise OSError("after it was stored")

    made.index.inner = Failing(made.inner)
    with pytest.raises(OSError, match="after it was stored"):
        await made.index.upsert(rows(message(70, "stored all the same")), all_new=True)
    made.index.inner = made.inner
    await agrees(made, from_file=2)
    await made.reopen()
    await agrees(made, from_file=2)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "memory", "replace", "archive", "delete", "use", "write", "open"]),
        st.sampled_from(["ana", "bo"]),
        st.integers(0, 30),
    ),
    max_size=12,
)


@settings(
    max_examples=amount(25, 400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(OPERATIONS, st.booleans())
def test_whatever_happens_rows_from_files_are_those_of_the_engine(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, int]], kill: bool
) -> None:
    async def run() -> None:
        made = await kept(tmp_path_factory.mktemp("store"))
        seq = 100
        for name, user, number in operations:
            index, seq = made.index, seq + 1
            one = {"user_id": user, "conversation_id": f"of {user}"}
            known = str(UUID(int=number if user == "ana" else number + 20))
            if name == "add":
                await index.upsert(rows(message(seq, f"new {number}", **one)), all_new=True)
            elif name == "memory":
                await index.upsert(rows(memory(seq, f"fact {number}", user_id=user)), all_new=True)
            elif name in ("replace", "archive"):
                at = START if name == "archive" else None
                again = message(seq, "again", user_id=user, id=known, archived_at=at)
                await index.upsert(rows(again), all_new=False)
            elif name == "delete":
                await index.delete(Scope.user(user), RowFilter(ids=(known,)))
            elif name == "use":
                await count_uses(index, {number: 1, number + 15: 2}, START)
            elif name == "write":
                await index.write_user_files(at_rest=number % 2 == 0)
            else:
                await made.reopen(kill=kill)
            made.index.clear()
            await agrees(made)

    asyncio.run(run())


# Whole stores


async def _told(memory: Any) -> list[tuple[str, float]]:
    hits = await memory.recall("the plan for the garden", user_id="ana", k=8)
    return [(hit.record.content, round(hit.score, 3)) for hit in hits]


async def _filled(folder: Path) -> None:
    async with await open_memory(folder, embedder="hash") as memory:
        texts = [f"the plan {n} for the garden of number {n % 9}" for n in range(120)]
        messages = [said(text) for text in texts]
        await memory.store_messages(messages, "talk", user_id="ana")
        await memory.maintain()


async def test_a_store_recalls_the_same_from_files(tmp_path: Path) -> None:
    await _filled(tmp_path / "store")
    found = []
    for with_files in (True, False):
        folder = tmp_path / f"copy {with_files}"
        shutil.copytree(tmp_path / "store", folder)
        async with await open_memory(folder, embedder="hash", user_files=with_files) as memory:
            found.append(await _told(memory))
            index = capability((await memory._lazy.get()).rows, CachedIndex)
            assert index is not None
            assert (None if index._files is None else index._files.read) == (with_files or None)
            assert (folder / "users").exists() == with_files
    assert found[0] == found[1]
    assert len(found[0]) == 8


async def test_what_was_added_in_this_process_is_not_read_again(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    asked: list[int] = []
    real = made.inner.after

    def after(seq: int, *arguments: Any, **named: Any) -> Any:
        asked.append(seq)
        return real(seq, *arguments, **named)

    made.inner.after = after  # type: ignore[method-assign]
    await made.index.upsert(rows(message(50, "newer"), message(51, user_id="bo")), all_new=True)
    await made.index.upsert(rows(message(52, "newest")), all_new=True)
    made.index.clear()
    for scope, last in ((ANA, 52), (BO, 51)):
        snapshot = await made.index.snapshot(scope)
        assert snapshot is not None
        assert snapshot.columns["seq"][-1] == last
        assert len(snapshot) == 20 + (2 if scope == ANA else 1)
    assert not asked
    await agrees(made)
    # Their uses are no longer those that they were added with.
    await count_uses(made.index, {50: 2}, START)
    made.index.clear()
    snapshot = await made.index.snapshot(ANA)
    assert asked
    assert snapshot is not None
    assert snapshot.columns["access_count"][snapshot.columns["seq"] == 50].tolist() == [2]
    await agrees(made)


async def test_after_a_failed_write_the_engine_says_what_was_added(tmp_path: Path) -> None:
    made = await kept(tmp_path)
    await made.index.upsert(rows(message(50, "newer")), all_new=True)
    real = made.inner.upsert

    async def stored_and_failed(*arguments: Any, **named: Any) -> None:
        await real(*arguments, **named)
        raise OSError("it went away")

    made.inner.upsert = stored_and_failed  # type: ignore[method-assign]
    with pytest.raises(OSError, match="went away"):
        await made.index.upsert(rows(message(51, "lost sight of")), all_new=True)
    made.inner.upsert = real  # type: ignore[method-assign]
    await made.index.upsert(rows(message(52, "newest")), all_new=True)
    made.index.clear()
    snapshot = await made.index.snapshot(ANA)
    assert snapshot is not None
    assert snapshot.columns["seq"][-3:].tolist() == [50, 51, 52]
    await agrees(made)


async def test_what_is_deleted_is_in_no_file_and_in_no_snapshot(tmp_path: Path) -> None:
    await _filled(tmp_path / "store")
    users = tmp_path / "store" / "users"
    assert any(b"plan 7 for" in path.read_bytes() for path in users.iterdir())
    if os.name == "posix":
        assert {oct(path.stat().st_mode & 0o777) for path in users.iterdir()} == {"0o600"}
    async with await open_memory(tmp_path / "store", embedder="hash") as memory:
        await memory.snapshot(tmp_path / "copy")
        await memory.clear_conversation("ana", "talk")
        assert not any(b"plan" in path.read_bytes() for path in users.iterdir())
        assert not await memory.recall("the plan for the garden", user_id="ana")
    assert not (tmp_path / "copy" / "users").exists()
    assert not any(b"plan" in path.read_bytes() for path in users.iterdir())


async def test_a_copy_of_an_open_store_has_no_file_of_another_moment(tmp_path: Path) -> None:
    """Its files were copied, then a row was deleted, and then the rows were copied."""
    store, copy = tmp_path / "store", tmp_path / "copy"
    await _filled(store)
    async with await open_memory(store, embedder="hash") as memory:
        shutil.copytree(store / "users", copy / "users")
        assert list((copy / "users").glob("*.rows"))
        (gone,) = await memory.recall("plan 7 for the garden", user_id="ana", k=1)
        await memory.delete_messages([gone.record.id], "talk")
        shutil.copytree(store, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("users"))
    async with await open_memory(copy, embedder="hash") as memory:
        hits = await memory.recall("the plan for the garden", user_id="ana", k=200)
        assert len(hits) == 119
        assert gone.record.content not in [hit.record.content for hit in hits]


CHILD = """
import asyncio, os, signal, sys
from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.user_files.files import UserFiles

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(folder, point):
    memory = await open_memory(folder, embedder="hash")
    found = await memory.recall("the plan for the garden", user_id="ana", k=8)
    if point == "after voiding":
        void = UserFiles.void
        UserFiles.void = lambda self, users: (void(self, users), die())
    await memory.clear_conversation("ana", "talk")
    await memory.maintain()
    die()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("point", ["after voiding", "after the change"])
async def test_a_killed_process_leaves_no_file_of_other_rows(tmp_path: Path, point: str) -> None:
    await _filled(tmp_path / "store")
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, str(tmp_path / "store"), point],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert child.returncode == -9, child.stderr.decode()
    async with await open_memory(tmp_path / "store", embedder="hash") as memory:
        found = await _told(memory)
        assert len(found) == (8 if point == "after voiding" else 0)
        assert [hit for hit in found if "plan" not in hit[0]] == []
