"""audit: what it shows, how it verifies, and when it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import message

Run = Callable[..., Any]


@pytest.fixture
def audited(tmp_path: Path) -> list[str]:
    async def fill() -> None:
        folder = str(tmp_path / "audited")
        async with open_memory(folder, embedder="hash", audit=True) as memory:
            view = memory.for_user("ana", caller="the desk", purpose="a question of hers")
            await view.store_messages([message("the secret boat"), message("a harbour")], "talk")
            await view.recall("boat")

    asyncio.run(fill())
    return ["--store", str(tmp_path / "audited")]


def test_what_it_shows_fits_sixty_columns(
    run: Run, audited: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = run("audit", *audited)
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 60
    assert "of ana; 2 messages; by the desk" in done.out
    assert "secret" not in done.out


def test_filters_and_json(run: Run, audited: list[str]) -> None:
    found = run("audit", "--json", "--action", "write", "--caller", "the desk", *audited).json
    assert [one["counts"] for one in found["entries"]] == [{"message": 2}]
    assert run("audit", "--user", "ben", *audited).code == 3


def test_verify(run: Run, audited: list[str], tmp_path: Path) -> None:
    done = run("audit", "--verify", "--json", *audited)
    assert done.json["ok"] is True
    heads = tmp_path / "heads.json"
    heads.write_text(done.out)
    assert run("audit", "--verify", "--heads", str(heads), *audited).code == 0
    (path,) = (tmp_path / "audited" / "audit").glob("*.jsonl")
    held = path.read_bytes()
    path.write_bytes(held.replace(b"the desk", b"the lake"))
    done = run("audit", "--verify", *audited)
    assert done.code == 4
    assert "changed" in done.out


def test_refusals(run: Run, audited: list[str], store: list[str], tmp_path: Path) -> None:
    none = run("audit", "--store", store[1])
    assert none.code == 3
    assert "audit=True" in none.err
    assert run("audit", "--action", "look", *audited).code == 2
    assert run("audit", "--heads", "x.json", *audited).code == 2
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"trail-1": 3}))
    assert "audit_head" in run("audit", "--verify", "--heads", str(bad), *audited).err
