"""Stores of every format, as the versions that wrote them have left them."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.migrations.stores import FIXTURES


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[[int], Path]:
    """Unpacks the store of a format."""

    def unpack(number: int) -> Path:
        folder = tmp_path / f"format-{number}"
        with tarfile.open(FIXTURES / f"format-{number}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        return folder

    return unpack
