"""``forget``: asks, erases, and gives a receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Done


def test_it_says_what_it_would_erase(run: Callable[..., Done], store: list[str]) -> None:
    place = store[:2]
    planned = run("forget", "ana", *place, "--dry-run")
    assert planned.code == 0
    assert planned.out.startswith("would be erased: messages: 3")
    assert run("forget", "nobody", *place, "--dry-run").code == 3


def test_it_asks_first(run: Callable[..., Done], store: list[str]) -> None:
    refused = run("forget", "ana", *store[:2])
    assert refused.code == 2
    assert "nothing was erased" in refused.err
    assert "--yes" in refused.err
    assert run("forget", *store[:2], "--yes").code == 2
    assert run("forget", "ana", *store[:2], "--dry-run").code == 0


def test_it_forgets_and_the_receipt_is_verified(
    run: Callable[..., Done], store: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    place, file = store[:2], tmp_path / "receipt.json"
    done = run("forget", "ana", *place, "--yes", "--receipt", str(file))
    assert done.code == 0, done.err
    assert all(len(line) <= 60 for line in done.out.splitlines())
    assert "checked: nothing of the user" in done.out
    assert json.loads(file.read_text())["counts"]["messages"] == 3
    assert "ana" not in file.read_text().replace("tantivy", "").replace("analy", "")
    assert run("forget", "ana", *place, "--verify", str(file)).code == 0
    assert run("forget", "ben", *place, "--verify", str(file)).code == 1
    file.write_text(file.read_text().replace('"messages": 3', '"messages": 2'))
    changed = run("forget", *place, "--verify", str(file), "--json")
    assert (changed.code, changed.json["ok"]) == (1, False)
    again = run("forget", "ana", *place, "--yes", "--receipt", str(file))
    assert again.code == 2
    assert "exists" in again.err
    assert run("forget", "ben", *place, "--yes", "--json").json["counts"]["messages"] == 1
