"""doctor: what is wrong with a store, and that --repair mends what can be mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.record import Footprint
from bruno_memory_vec.upkeep import diagnosis

Run = Callable[..., Any]


@pytest.fixture
def folder(store: list[str]) -> Path:
    return Path(store[1])


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_BETWEEN_LOOKS", 0.0)


def states(done: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in done.json["checks"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        # SQLite's reader keeps its shared memory beside the file.
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def test_a_sound_store(run: Run, store: list[str], folder: Path) -> None:
    before = contents(folder)
    done = run("doctor", "--json", *store)
    assert done.code == 0
    assert set(states(done).values()) == {"ok"}
    assert list(states(done)) == [
        "folder", "lock", "embedder", "rows", "ledger", "indexes", "owners", "lexical",
        "sessions", "disk",
    ]  # fmt: skip
    assert "the store is sound" in run("doctor", *store).out
    assert {name: contents(folder)[name] for name in before} == before


def test_a_writer_is_named_and_does_not_hinder(run: Run, store: list[str], folder: Path) -> None:
    lock = WriterLock(folder)
    try:
        done = run("doctor", "--json", *store)
        assert done.code == 0
        assert states(done)["lock"] == "note"
        repair = run("doctor", "--repair", *store)
        assert repair.code == 1
        assert "is open for writing in this process already" in repair.err
        assert "beside it" in repair.err
        assert run("recall", "guesthouse", "--user", "ana", *store).code == 0
    finally:
        lock.release()


def test_a_holder_left_behind(run: Run, store: list[str], folder: Path) -> None:
    holder = {"pid": 1, "host": "here", "since": "2026-01-01"}
    (folder / "writer.json").write_text(json.dumps(holder))
    done = run("doctor", "--json", *store)
    assert states(done)["lock"] == "ok"
    assert "without closing" in done.out
    (folder / "writer.json").write_text("{")
    assert "another process" in run("doctor", *store).out


def test_words_are_rebuilt(run: Run, store: list[str], folder: Path) -> None:
    shutil.rmtree(folder / "lexical")
    done = run("doctor", "--json", *store)
    assert done.code == 4
    assert states(done)["lexical"] == "problem"
    assert "--repair" in run("doctor", *store).out
    mended = run("doctor", "--repair", *store)
    assert mended.code == 0
    assert "repaired: 4 rows" in mended.out
    assert run("recall", "guesthouse", "--user", "ana", *store).code == 0


def test_words_that_are_behind(run: Run, store: list[str], folder: Path, lines: Run) -> None:
    kept = folder.parent / "kept"
    shutil.copytree(folder / "lexical", kept)
    row = {"conversation_id": "c", "role": "user", "content": "new", "user_id": "ana"}
    run("ingest", str(lines(row)), *store)
    shutil.rmtree(folder / "lexical")
    shutil.copytree(kept, folder / "lexical")
    done = run("doctor", "--json", *store)
    assert done.code == 4
    assert "4 rows of 5" in done.out
    assert run("doctor", "--repair", "--json", *store).json["repaired"] == {"rows": 5, "lexical": 5}


def test_sessions_missing(run: Run, store: list[str], folder: Path) -> None:
    for path in folder.glob("sessions.sqlite*"):
        path.unlink()
    assert states(run("doctor", "--json", *store))["sessions"] == "problem"
    assert run("doctor", "--repair", *store).code == 0


def test_sessions_damaged(run: Run, store: list[str], folder: Path) -> None:
    for path in folder.glob("sessions.sqlite*"):
        path.unlink()
    (folder / "sessions.sqlite").write_text("no database, and long enough to be read as one")
    done = run("doctor", *store)
    assert done.code == 4
    assert "is made anew from the rows" in done.out
    repair = run("doctor", "--repair", "--json", *store)
    assert repair.code == 0
    assert "is kept as" in repair.json["repaired"]["rebuilt"][0]
    assert list(folder.glob("sessions.sqlite.damaged-*"))
    assert run("doctor", *store).code == 0


def test_rows_gone(run: Run, store: list[str], folder: Path) -> None:
    shutil.rmtree(folder / "rows")
    done = run("doctor", "--repair", *store)
    assert done.code == 4
    assert "backup" in done.out
    assert not list(folder.glob("rows/*"))


def test_a_torn_newest_version(run: Run, store: list[str], folder: Path, lines: Run) -> None:
    row = {"conversation_id": "c", "role": "user", "content": "cut short", "user_id": "ana"}
    run("ingest", str(lines(row)), *store)
    versions = folder / "rows" / "rows.lance" / "_versions"
    # LanceDB names them so that the newest comes first.
    newest = min(versions.glob("*.manifest"))
    newest.write_bytes(b"")
    told = run("doctor", *store)
    assert told.code == 4
    assert "doctor --repair --store" in " ".join(told.out.split())
    assert newest.exists()
    done = run("doctor", "--repair", *store)
    assert done.code == 0
    assert f"put aside, kept in {folder / 'rows' / 'set-aside' / '1'}" in done.out
    assert "with 4 rows. With fsync=True, nothing" in done.out
    assert "repaired: 4 rows compacted, 4 in the lexical index" in done.out
    hits = run("recall", "cut short", "--user", "ana", "--json", *store).json["hits"]
    assert "cut short" not in [hit["content"] for hit in hits]
    # Nothing of it happens twice.
    assert "stepped back" not in run("doctor", "--repair", *store).out


def test_a_torn_store_that_is_being_written(
    run: Run, store: list[str], folder: Path, lines: Run
) -> None:
    # A second commit, so that there is one to go back to.
    row = {"conversation_id": "c", "role": "user", "content": "cut short", "user_id": "ana"}
    run("ingest", str(lines(row)), *store)
    versions = folder / "rows" / "rows.lance" / "_versions"
    newest = min(versions.glob("*.manifest"))
    newest.write_bytes(b"")
    lock = WriterLock(folder)
    try:
        done = run("doctor", "--repair", *store)
    finally:
        lock.release()
    assert done.code == 1
    assert "is open for writing in this process already" in done.err
    assert newest.exists()


def test_a_damaged_file_of_the_log_that_is_kept(run: Run, store: list[str], folder: Path) -> None:
    kept = folder / "rows" / "log" / f"{3:020}.log.damaged"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(b"what could not be read")
    done = run("doctor", *store)
    assert done.code == 4
    assert kept.name in "".join(done.out.split())
    # The ledger knows that no row is missed.
    done = run("doctor", "--repair", *store)
    assert done.code == 0
    aside = folder / "rows" / "set-aside" / "1"
    assert str(aside) in "".join(done.out.split())
    assert (aside / kept.name).read_bytes() == b"what could not be read"
    assert not kept.exists()


def test_a_store_that_was_never_finished(run: Run, store: list[str], folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "store.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run("doctor", *store).code == 4
    assert run("doctor", "--repair", *store).code == 0


def test_another_embedder(run: Run, store: list[str]) -> None:
    done = run("doctor", "--json", *store[:2])
    assert done.code == 4
    assert states(done)["embedder"] == "problem"
    assert states(done)["rows"] == "ok"


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda free: monkeypatch.setattr(
        diagnosis.shutil, "disk_usage", lambda _: _Disk(0, 0, free)
    )


def test_little_space(
    run: Run, store: list[str], disk: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(1000)
    done = run("doctor", "--json", *store)
    assert (done.code, states(done)["disk"]) == (4, "problem")
    disk(200 * 2**20)
    monkeypatch.setattr(diagnosis, "footprint", lambda _: Footprint(3, 300 * 2**20, 1))
    assert states(run("doctor", "--json", *store))["disk"] == "note"


def test_a_store_without_a_folder(run: Run) -> None:
    done = run("doctor", "--store", "memory://", "--embedder", "hash", "--json")
    assert states(done) == dict.fromkeys(
        ("embedder", "rows", "ledger", "owners", "sessions", "health"), "ok"
    )


def test_a_newer_store(run: Run, store: list[str], folder: Path) -> None:
    manifest = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**manifest, "schema": 99}))
    done = run("doctor", *store)
    assert done.code == 1
    assert "Upgrade" in done.err
