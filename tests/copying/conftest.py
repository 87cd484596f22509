"""A store with everything in it, which is made once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.copying.support import made


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copying") / "source"
    asyncio.run(made(folder))
    return folder


@pytest.fixture
def source(_made: Path, tmp_path: Path) -> str:
    """The folder of a copy of it, file by file, that is the test's own."""
    return str(shutil.copytree(_made, tmp_path / "a"))
