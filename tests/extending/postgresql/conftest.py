"""The plug-in for PostgreSQL, installed, and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extending.packages import installed
from tests.servers.postgres_server import PostgresServer


@pytest.fixture(scope="package")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the plug-in is installed, for the tests of this folder only."""
    pytest.importorskip("asyncpg", reason="needs the client: pip install asyncpg")
    with installed("postgresql", tmp_path_factory.mktemp("postgresql-plugin")) as site:
        yield site


@pytest.fixture
def server_url(plugin: Path, postgres_server: PostgresServer) -> str:
    """A database that tests share; each takes a schema of its own."""
    return f"{postgres_server.url}/postgres"


@pytest.fixture
def url(server_url: str, store_name: str) -> str:
    """A store that is not there yet."""
    return f"{server_url}?schema={store_name}"
