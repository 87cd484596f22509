"""backup, restore, export and the way back: what they print, refuse, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_points_from_making_to_pruning(run: Run, store: list[str], tmp_path: Path) -> None:
    place = str(tmp_path / "b")
    done = run("backup", place, *store)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"point 1 of {place}: 4 rows\n")
    done = run("backup", place, *store, "--keep", "5", "--json")
    report = done.json
    assert (report["point"]["number"], report["written"], report["ok"]) == (2, 0, True)
    assert report["pruned"]["removed"] == []
    done = run("backup", place, "--list")
    assert [line.split()[0] for line in done.out.splitlines()] == ["1", "2"]
    assert [point["rows"] for point in run("backup", place, "--list", "--json").json["points"]] == [
        4,
        4,
    ]
    done = run("backup", place, "--verify")
    assert (done.code, done.out.splitlines()[0]) == (0, f"{place}: 2 of 2 points are whole")
    done = run("backup", place, "--prune", "--keep", "1", "--dry-run")
    assert "1 point would go, 1 stay" in done.out
    done = run("backup", place, "--prune", "--keep", "1")
    assert "1 point went, 1 stay" in done.out
    done = run("restore", place, str(tmp_path / "r"), "--at", "2")
    assert (done.code, done.err) == (0, "")
    assert "copied 4 of 4 rows" in done.out
    assert "  ana: 3 messages\n" in done.out
    done = run("restore", place, str(tmp_path / "r2"), "--at", "2020-01-01")
    assert (done.code, "the backup has no point by 2020-01-01" in done.err) == (1, True)


def test_a_damaged_backup_ends_with_4(run: Run, store: list[str], tmp_path: Path) -> None:
    place = tmp_path / "b"
    run("backup", str(place), *store)
    chunk = next((place / "chunks").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    done = run("backup", str(place), "--verify")
    assert done.code == 4
    assert "0 of 1 point is whole" in done.out
    assert f"PROBLEM: chunks/{chunk.name} in {place} is not as it was written" in done.out


def test_what_was_not_typed_right(run: Run, store: list[str], tmp_path: Path) -> None:
    place = str(tmp_path / "b")
    for options, code, said in (
        (["--list", "--verify"], 2, "--list and --verify exclude each other"),
        (["--prune"], 2, "--prune needs --keep N"),
        (["--dry-run"], 2, "--dry-run belongs to --prune"),
        (["--list", "--keep", "2"], 2, "--keep does not belong to --list"),
        (["--verify"], 1, f"there is no backup in {place}"),
    ):
        done = run("backup", place, *options, *store)
        assert (done.code, said in done.err) == (code, True), (options, done)
    done = run("backup", place, "--store", str(tmp_path / "none"))
    assert (done.code, "there is no store" in done.err) == (1, True)
    assert run("restore", place, place, "--merge", "--mirror").code == 2
    assert not Path(place).exists()


def test_out_and_in_again(run: Run, store: list[str], tmp_path: Path) -> None:
    file, there = str(tmp_path / "o.jsonl"), ["--store", str(tmp_path / "c"), "--embedder", "hash"]
    done = run("export", file, *store[:2])
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("4 messages of ")
    done = run("export", file, *store[:2])
    assert (done.code, "is there already" in done.err) == (1, True)
    done = run("export", file, *store[:2], "--overwrite", "--json")
    assert (done.json["messages"], done.json["format"]) == (4, "jsonl")
    done = run("ingest", file, *there)
    assert (done.code, done.err) == (0, "")
    assert "copied 4 of 4 rows" in done.out
    assert run("ingest", file, *there, "--json").json["present"] == 4
    assert run("ingest", file, *there, "--skip-bad").code == 2
    done = run("export", str(tmp_path / "o.md"), *store[:2], "--user", "eve")
    assert (done.code, "there is nothing of the user 'eve'" in done.err) == (3, True)
    done = run("export", str(tmp_path / "o.md"), *store[:2], "--user", "ben", "--kind", "message")
    assert done.out.startswith("1 message of 1 conversation and 0 memories\n")
    Path(file).write_text("\n".join(Path(file).read_text().splitlines()[:-1]) + "\n")
    done = run("ingest", file, "--store", str(tmp_path / "d"), "--embedder", "hash")
    assert (done.code, "was cut: its last line is missing" in done.err) == (1, True)
    assert not (tmp_path / "d").exists()
    assert json.loads(Path(file).read_text().splitlines()[0])["bruno_memory_vec_export"] == 1
