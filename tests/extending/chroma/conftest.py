"""The plug-in for Chroma, installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extending.packages import installed


@pytest.fixture(scope="package")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the plug-in is installed, for the tests of this folder only."""
    with installed("chroma", tmp_path_factory.mktemp("chroma-plugin")) as site:
        yield site
