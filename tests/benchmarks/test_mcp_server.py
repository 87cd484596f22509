"""The benchmark of the MCP server runs, and measures each way to a recall."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_each_transport_is_measured(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    options = ["--rows", "30", "--starts", "1", "--calls", "3", "--json", str(target)]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.mcp_server", *options],
        cwd=ROOT, check=True, capture_output=True, timeout=250,
    )  # fmt: skip
    figures = json.loads(target.read_text(encoding="utf-8"))["figures"]
    for way in ("the library", "stdio", "HTTP"):
        assert 0 < figures[f"recall, {way}"]["p50_ms"] <= figures[f"recall, {way}"]["p95_ms"]
    first = figures["start to first word, stdio"]["p50_ms"]
    assert first < figures["start to first answer, stdio"]["p50_ms"]
    assert figures["processor time of that process"]["p50_ms"] > 0
