"""snapshot: what it prints, that the copy is a store of its own, and when it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bruno_memory_vec.store.lock import WriterLock

Run = Callable[..., Any]


def test_a_copy_beside_a_writer(run: Run, store: list[str], tmp_path: Path) -> None:
    lock = WriterLock(Path(store[1]))
    try:
        # Without the embedder's name: nothing is embedded.
        done = run("snapshot", str(tmp_path / "copy"), *store[:2])
    finally:
        lock.release()
    assert (done.code, done.err) == (0, "")
    assert f"4 rows in {tmp_path / 'copy'}" in done.out
    assert "verified" in done.out
    copy = ["--store", str(tmp_path / "copy"), "--embedder", "hash"]
    assert run("doctor", *copy).code == 0
    hits = run("recall", "guesthouse", "--user", "ana", "--json", *copy).json["hits"]
    assert hits[0]["content"] == "We found a guesthouse in Alfama"
    assert run("maintain", *copy[:2]).code == 0


def test_json(run: Run, store: list[str], tmp_path: Path) -> None:
    report = run("snapshot", str(tmp_path / "copy"), "--json", *store[:2]).json
    assert report["bytes"] > 0
    del report["bytes"]
    assert report == {
        "store": store[1], "folder": str(tmp_path / "copy"), "rows": 4, "ok": True, "problems": [],
    }  # fmt: skip


def test_what_is_refused(run: Run, store: list[str], tmp_path: Path) -> None:
    before = sorted(os.listdir(tmp_path))
    for target in (store[1], str(Path(store[1]) / "inside"), str(tmp_path)):
        done = run("snapshot", target, *store[:2])
        assert (done.code, done.out) == (1, "")
        assert "Name a" in done.err
    done = run("snapshot", str(tmp_path / "copy"), "--store", str(tmp_path / "none"))
    assert done.code == 1
    assert "none" in done.err
    assert sorted(os.listdir(tmp_path)) == before
