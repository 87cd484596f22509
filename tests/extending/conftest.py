"""A package of somebody else's, as ``pip install`` leaves it: a module and its entry points."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import plugins

Install = Callable[[str, dict[str, str]], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a module ``plugin`` with entry points, by group: ``name = plugin:object``."""
    site = tmp_path / "site"

    def put(code: str, points: dict[str, str]) -> Path:
        described = site / "plugin-1.0.dist-info"
        described.mkdir(parents=True)
        (site / "plugin.py").write_text(code, encoding="utf-8")
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        lines = [f"[{group}]\n{line}\n" for group, line in points.items()]
        (described / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(site)
        importlib.invalidate_caches()
        plugins.forget_loaded()
        return site

    yield put
    sys.modules.pop("plugin", None)
    plugins.forget_loaded()
