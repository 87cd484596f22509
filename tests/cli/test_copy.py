"""copy: what it prints, what it refuses, and that --dry-run, --merge and --mirror are heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bruno_memory_vec.store.lock import WriterLock

Run = Callable[..., Any]


def test_a_copy_beside_a_writer(run: Run, store: list[str], tmp_path: Path) -> None:
    target = str(tmp_path / "copy")
    lock = WriterLock(Path(store[1]))
    try:
        done = run("copy", store[1], target, "--dry-run")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"would copy 4 of 4 rows from {store[1]} to {target}\n")
        assert "  ana: 3 messages\n  ben: 1 message\n" in done.out
        assert not Path(target).exists()
        # Without the embedder's name: nothing is embedded.
        done = run("copy", store[1], target)
    finally:
        lock.release()
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"copied 4 of 4 rows from {store[1]} to {target}\n")
    assert "4 rows verified by their checksums" in done.out
    there = ["--store", target, "--embedder", "hash"]
    hits = run("recall", "guesthouse", "--user", "ana", "--json", *there).json["hits"]
    assert hits[0]["content"] == "We found a guesthouse in Alfama"
    report = run("copy", store[1], target, "--json", "--user", "ben").json
    del report["seconds"]
    assert report == {
        "source": store[1], "target": target, "dry_run": False, "rows": 1,
        "rows_by_user": {"ben": {"message": 1}}, "present": 1, "copied": 0, "embedded": 0,
        "others": 0, "removed": 0, "verified": 1, "conversations": 1, "sessions": 0, "users": 0,
        "problems": [], "ok": True,
    }  # fmt: skip


def test_other_rows_and_other_vectors(
    run: Run, store: list[str], lines: Callable[..., Path], tmp_path: Path
) -> None:
    row = {"conversation_id": "x", "role": "user", "content": "a stranger", "user_id": "eve"}
    file = lines(row, name="more.jsonl")
    target = ["--store", str(tmp_path / "copy"), "--embedder", "hash"]
    assert run("ingest", str(file), *target).code == 0
    done = run("copy", store[1], target[1])
    assert done.code == 1
    assert "1 row that the source does not have" in done.err
    assert "--merge keeps them, --mirror removes them" in done.err
    assert run("copy", store[1], target[1], "--merge", "--mirror").code == 2
    assert (
        "1 row of the target is not in the source"
        in run("copy", store[1], target[1], "--merge").out
    )
    done = run("copy", store[1], target[1], "--mirror")
    assert "1 row of the target that the source lacks was removed" in done.out
    done = run("copy", store[1], str(tmp_path / "static"), "--embedder", "static")
    assert "4 of them embedded anew" in done.out
    done = run("copy", store[1], str(tmp_path / "static"))
    assert done.code == 1
    assert "--embedder NAME" in done.err
    done = run("copy", str(tmp_path / "none"), target[1])
    assert done.code == 1
    assert "there is no store" in done.err
