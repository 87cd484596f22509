"""A store with everything in it, which is made once, and the two kinds of places."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.copying.support import made


@pytest.fixture(scope="session")
def _made_for_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup") / "source"
    asyncio.run(made(folder))
    return folder


@pytest.fixture
def source(_made_for_backup: Path, tmp_path: Path) -> str:
    """The folder of a copy of it, file by file, that is the test's own."""
    return str(shutil.copytree(_made_for_backup, tmp_path / "a"))


@pytest.fixture(params=["folder", "one.backup"])
def each_place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a backup is to be: a folder, or one file."""
    return tmp_path / "there" / str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a backup is to be: a folder, for what does not ask the place."""
    return tmp_path / "there" / "folder"
