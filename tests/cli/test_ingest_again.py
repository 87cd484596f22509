"""ingest: several files, a second time, what is told, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import said

Run = Callable[..., Any]
HASH = ["--embedder", "hash"]


def test_a_second_ingest_tells_what_changed(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    rows = [said(f"What was said as number {at}", timestamp=f"2025-03-0{at}") for at in range(1, 5)]
    first = run("ingest", str(lines(*rows)), *store, *HASH)
    assert "stored 4 messages of 1 conversation and 1 user" in first.out
    assert "from 2025-03-01 00:00 to 2025-03-04 00:00 UTC" in first.out
    assert "on disk" in first.out
    rows[0]["content"] = "What was said instead"
    again = run("ingest", str(lines(rows[0], *rows[2:], said("and more"))), *store, *HASH)
    for part in ("stored 1 message ", "2 were there", "1 was edited", "1 is gone", "1 has no time"):
        assert part in again.out


def test_several_files_and_a_folder(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "b.jsonl").write_text(json.dumps(said("in a folder", "b", "ben")) + "\n")
    done = run("ingest", str(lines(said("one"))), str(folder), "--json", *store, *HASH)
    assert (done.json["messages"], done.json["conversations"], done.json["users"]) == (2, 2, 2)
    assert done.json["user_names"] == ["ana", "ben"]


def test_a_dry_run(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    file = str(lines(said("one"), said("two")))
    assert "would store 2 messages" in run("ingest", file, "--dry-run", *store, *HASH).out
    assert not (tmp_path / "s").exists()
    run("ingest", file, *store, *HASH)
    assert "2 were there" in run("ingest", file, "--dry-run", *store, *HASH).out


def test_nothing_but_bad_lines_is_no_success(run: Run, lines: Run, tmp_path: Path) -> None:
    file = str(lines(said(""), said("")))
    done = run("ingest", file, "--skip-bad", "--store", str(tmp_path / "s"), *HASH)
    assert done.code == 1
    assert "nothing was stored" in done.out
    assert not (tmp_path / "s").exists()


def test_a_user_who_is_another_one(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    file = str(lines(said("one", user="anna@example.org")))
    done = run("ingest", file, "--user", "ana", *store, *HASH)
    assert done.code == 1
    assert "anna@example.org" in done.err
    assert "--replace-user" in done.err
    done = run("ingest", file, "--user", "ana", "--replace-user", "--json", *store, *HASH)
    assert done.json["user_names"] == ["ana"]


def test_it_is_readable_in_a_narrow_window(
    run: Run, lines: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    store = ["--store", str(tmp_path / "s")]
    rows = [said("one two three", f"talk {at}", f"somebody{at}@example.org") for at in range(9)]
    done = run("ingest", str(lines(*rows)), *store, *HASH)
    assert max(map(len, done.out.splitlines())) <= 60
    assert "and 4 more" in done.out
