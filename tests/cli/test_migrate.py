"""migrate: what it prints, and when it refuses."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.stores import FIXTURES, format_of

Run = Callable[..., Any]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "older"
    with tarfile.open(FIXTURES / "format-4.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_forward(run: Run, older: Path) -> None:
    refused = run("recall", "Ruth", "--store", str(older))
    assert refused.code == 1
    assert f"bruno-memory-vec migrate {older}" in refused.err
    would = run("migrate", str(older), "--dry-run")
    assert (would.code, would.err) == (0, "")
    assert "would go from format 4 to 6" in would.out
    assert format_of(older) == 4
    done = run("migrate", str(older))
    assert (done.code, done.err) == (0, "")
    assert "went from format 4 to 6" in done.out
    hits = run("recall", "Ruth", "--store", str(older), "--embedder", "hash", "--user", "ana")
    assert "Lisbon" in hits.out
    again = run("migrate", str(older))
    assert "has the format 6 already" in again.out


def test_back_is_refused_where_something_is_lost(run: Run, older: Path) -> None:
    run("migrate", str(older))
    lost = run("migrate", str(older), "--to", "9")
    assert (lost.code, "Name one from 1 to 6" in lost.err) == (1, True)
    report = run("migrate", str(older), "--to", "5", "--json").json
    assert (report["before"], report["after"], report["losses"]) == (6, 5, {})


def test_the_list(run: Run, older: Path) -> None:
    lines = run("migrate", str(older), "--list").out.splitlines()
    assert [line[0] for line in lines] == list("123456")
    assert lines[3].endswith("<- the store's")
    assert lines[5].endswith("<- this version's")
    formats = run("migrate", "--list", "--json").json["formats"]
    assert [one["format"] for one in formats if one["read"]] == [6]


def test_nothing_there(run: Run, tmp_path: Path) -> None:
    done = run("migrate", str(tmp_path / "none"))
    assert (done.code, done.out) == (1, "")
    assert "there is no store" in done.err
