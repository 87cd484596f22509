"""The benchmark of the audit trail runs, and its figures are of every way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import auditing


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "figures.json"
    arguments = ["auditing", "--rows", "30", "--calls", "2", "--json", str(target)]
    monkeypatch.setattr("sys.argv", arguments)
    assert auditing.main() == 0
    figures = json.loads(target.read_text())["figures"]
    assert {f"{what}, {way}" for what in ("recall", "store") for way in auditing.WAYS} < {*figures}
    assert figures["the trail"]["entries"] > 0
