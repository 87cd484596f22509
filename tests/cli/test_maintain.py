"""maintain: what it prints, what doctor says of it, and when it refuses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.record import FILE
from bruno_memory_vec.upkeep import diagnosis

Run = Callable[..., Any]


@pytest.fixture
def folder(store: list[str]) -> Path:
    return Path(store[1])


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_BETWEEN_LOOKS", 0.0)


def upkeep(run: Run, store: list[str]) -> dict[str, Any] | None:
    checks = run("doctor", "--json", *store).json["checks"]
    return next((check for check in checks if check["name"] == "upkeep"), None)


def forget_a_turn(folder: Path) -> None:
    (folder / "sessions.sqlite.checksum").unlink(missing_ok=True)  # or it counts as damaged
    database = sqlite3.connect(folder / "sessions.sqlite")
    with database:
        database.execute("UPDATE conversations SET next_turn = 1 WHERE conversation_id = 'trip'")
    database.close()


def test_what_it_prints(run: Run, store: list[str]) -> None:
    # Without the embedder's name: nothing is embedded.
    done = run("maintain", *store[:2])
    assert done.code == 0, done.err
    assert "4 rows maintained" in done.out
    assert "files: " in done.out
    assert "verified" in done.out
    assert done.err == ""


def test_json(run: Run, store: list[str]) -> None:
    report = run("maintain", "--json", *store[:2]).json
    assert report["store"] == store[1]
    assert report["ok"] is True
    assert report["verified"] is True
    assert report["problems"] == []
    assert report["after"]["rows"] == report["after"]["lexical"] == 4
    assert report["before"]["files"] > 0
    assert set(report["seconds"]) == {
        "count accesses",
        "remove expired memories",
        "remove left summaries",
        "end expired sessions",
        "commit lexical index",
        "compact rows",
        "verify",
    }


def test_doctor_tells_of_it(run: Run, store: list[str]) -> None:
    assert upkeep(run, store) is None
    assert run("maintain", *store[:2]).code == 0
    check = upkeep(run, store)
    assert check is not None
    assert check["state"] == "ok"
    assert "last maintained 2" in check["found"]
    assert "files became" in check["found"]


def test_a_problem_is_told_by_the_exit_code_and_by_doctor(
    run: Run, store: list[str], folder: Path
) -> None:
    forget_a_turn(folder)
    done = run("maintain", *store[:2])
    assert done.code == 1
    assert "PROBLEM in sessions" in done.out
    assert "move its sessions.sqlite away" in done.words
    assert run("maintain", "--json", *store[:2]).json["ok"] is False
    check = upkeep(run, store)
    assert check is not None
    assert check["state"] == "problem"
    assert "bruno-memory-vec maintain --store" in check["fix"]
    assert run("doctor", *store).code == 4
    # Mended as it says, and maintained again.
    for path in folder.glob("sessions.sqlite*"):
        path.unlink()
    assert run("maintain", *store[:2]).code == 0
    assert run("doctor", *store).code == 0


def test_doctor_warns_of_many_files(
    run: Run, store: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "MANY_FILES", 3)
    check = upkeep(run, store)
    assert check is not None
    assert check["state"] == "note"
    assert "which are many" in check["found"]
    assert "bruno-memory-vec maintain" in check["fix"]


def test_a_damaged_record_does_not_hinder(run: Run, store: list[str], folder: Path) -> None:
    (folder / FILE).write_text("{")
    assert upkeep(run, store) is None
    assert run("maintain", *store[:2]).code == 0
    assert json.loads((folder / FILE).read_text())["ok"] is True


def test_it_waits_for_no_writer(run: Run, store: list[str], folder: Path) -> None:
    lock = WriterLock(folder)
    try:
        done = run("maintain", *store[:2])
        assert done.code == 1
        assert "is open for writing in this process" in done.err
        assert "beside it" in done.err
        assert not (folder / FILE).exists()
    finally:
        lock.release()


def test_where_there_is_no_store(run: Run, tmp_path: Path) -> None:
    done = run("maintain", "--store", str(tmp_path / "none"))
    assert done.code == 1
    assert "there is no store" in done.err
    assert not (tmp_path / "none").exists()
    assert run("maintain", "--store", "memory://").code == 2


def test_in_a_process_of_its_own(spawn: Run, store: list[str]) -> None:
    done = spawn("maintain", *store[:2])
    assert done.code == 0
    assert "4 rows maintained" in done.out
    assert done.err == ""
