"""The benchmarks of the analytics run, and their figures are of every method."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs pip install 'bruno-memory-vec[analytics]'")

from benchmarks import analytics, topics


@pytest.mark.slow
def test_the_cost_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "figures.json"
    options = ["--rows", "120", "--embedder", "hash", "--json", str(target)]
    monkeypatch.setattr("sys.argv", ["analytics", *options])
    assert analytics.main() == 0
    figures = json.loads(target.read_text())["figures"]["120"]
    assert tuple(figures) == analytics.METHODS
    assert all(figure["seconds"] > 0 for figure in figures.values())


@pytest.mark.slow
def test_the_quality_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "figures.json"
    monkeypatch.delenv("BRUNO_EVAL_DATA", raising=False)
    for options in ([], ["--each-user"]):
        monkeypatch.setattr("sys.argv", ["topics", *options, "--json", str(target)])
        assert topics.main() == 0
    ((_, figure),) = json.loads(target.read_text())["figures"].items()
    assert 0 < figure["chance"] < 1
    assert 0 < figure["talks"] <= 1
    assert -1 <= figure["words"] <= 1
