"""The servers that tests start: they keep their data, fail as asked, and end with the test run."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from tests.servers.fixtures import SecureRedis
from tests.servers.postgres_server import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.proxy import Proxy
from tests.servers.redis_cluster import SLOTS, RedisCluster
from tests.servers.redis_sentinel import RedisSentinel
from tests.servers.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.redis_server
def test_a_killed_server_comes_back_with_its_data_on_its_port(redis_server: RedisServer) -> None:
    redis_server.client.set("key", "value")
    port = redis_server.port
    redis_server.kill()
    assert not redis_server.running
    with pytest.raises(redis.ConnectionError):
        redis_server.client.get("key")
    redis_server.start()
    assert (redis_server.port, redis_server.client.get("key")) == (port, "value")


@pytest.mark.redis_server
def test_a_server_without_persistence_comes_back_empty(tmp_path: Path) -> None:
    with RedisServer(tmp_path, persistent=False) as server:
        server.client.set("key", "value")
        server.kill()
        server.start()
        assert server.client.get("key") is None


@pytest.mark.redis_server
def test_a_password_is_asked_for(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password="secret") as server:
        assert server.client.ping()
        stranger = redis.Redis(port=server.port, retry=None)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


@pytest.mark.redis_server
def test_a_frozen_server_keeps_connections_and_answers_nothing(redis_server: RedisServer) -> None:
    client = redis.Redis(port=redis_server.port, socket_timeout=0.2, retry=None)
    client.ping()
    redis_server.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.thaw()
    assert client.ping()
    client.close()


@pytest.mark.redis_server
def test_tls_is_spoken_with_a_certificate_that_is_checked(redis_tls: SecureRedis) -> None:
    trusting = redis.Redis.from_url(redis_tls.url, ssl_ca_certs=str(redis_tls.authority))
    assert trusting.ping()
    trusting.close()
    careful = redis.Redis.from_url(redis_tls.url, retry=None)
    with pytest.raises((redis.ConnectionError, ssl.SSLError)):
        careful.ping()
    careful.close()


@pytest.mark.redis_server
def test_a_cluster_shares_the_slots(redis_cluster: RedisCluster) -> None:
    first = urlsplit(f"redis://{redis_cluster.nodes[0].host}:{redis_cluster.nodes[0].port}")
    client = redis.RedisCluster(host=str(first.hostname), port=int(first.port or 0))
    for number in range(30):
        key = f"servers:{number}"
        client.set(key, number)
        # The node that is said to have it answers itself, without a redirection.
        assert redis_cluster.node_of(key).client.get(key) == str(number)
    assert len({redis_cluster.node_of(f"servers:{number}").port for number in range(30)}) == 3
    assert SLOTS == 16_384
    client.close()


@pytest.mark.redis_server
@pytest.mark.slow
def test_a_sentinel_makes_the_replica_the_master(redis_sentinel: RedisSentinel) -> None:
    redis_sentinel.master.client.set("key", "value")
    redis_sentinel.master.client.wait(1, 5000)
    assert redis_sentinel.master_port() == redis_sentinel.master.port
    redis_sentinel.master.kill()
    wait_until(
        lambda: redis_sentinel.master_port() == redis_sentinel.replica.port, "the replica's turn"
    )
    wait_until(lambda: _is_master(redis_sentinel.replica), "the replica's promotion")
    assert redis_sentinel.replica.client.get("key") == "value"
    redis_sentinel.replica.client.set("key", "new")


def _is_master(server: RedisServer) -> bool:
    return bool(server.client.info("replication")["role"] == "master")  # type: ignore[index]


@pytest.mark.redis_server
def test_a_cut_in_the_middle_of_a_command_loses_the_command(
    redis_server: RedisServer, redis_proxy: Proxy
) -> None:
    client = redis.Redis(port=redis_proxy.port, retry=None)
    client.ping()
    redis_proxy.cut_after(sent=12)
    with pytest.raises(redis.ConnectionError):
        client.set("key", "value")
    assert redis_proxy.cuts == 1
    assert redis_server.client.get("key") is None
    assert client.set("key", "value")  # one cut, and the next connection works
    client.close()


@pytest.mark.redis_server
def test_a_cut_before_the_answer_leaves_the_command_done(
    redis_server: RedisServer, redis_proxy: Proxy
) -> None:
    client = redis.Redis(port=redis_proxy.port, retry=None)
    client.ping()
    redis_proxy.cut_after(received=0)
    with pytest.raises(redis.ConnectionError):
        client.incr("key")
    assert redis_server.client.get("key") == "1"
    client.close()


@pytest.mark.redis_server
def test_a_proxy_refuses_cuts_and_holds(redis_proxy: Proxy) -> None:
    client = redis.Redis(port=redis_proxy.port, retry=None, socket_timeout=0.2)
    client.ping()
    redis_proxy.cut()
    client.ping()  # with a connection that the client had to open
    assert redis_proxy.accepted == 2
    redis_proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    redis_proxy.accept()
    client.ping()
    redis_proxy.hold()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_proxy.let_go()
    client.ping()
    client.close()


@pytest.mark.redis_server
def test_a_proxy_delays_and_slows(redis_proxy: Proxy) -> None:
    client = redis.Redis(port=redis_proxy.port)
    client.ping()
    redis_proxy.delay = 0.05
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.1  # there and back
    redis_proxy.delay, redis_proxy.bandwidth = 0.0, 20_000
    began = time.monotonic()
    client.set("key", "x" * 4_000)
    assert time.monotonic() - began >= 0.15
    client.close()


@pytest.mark.redis_server
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from tests.servers.redis_server import RedisServer;"
        "server = RedisServer(Path(sys.argv[1])); server.start();"
        "print(server._process.pid, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    server = int(child.stdout.readline())
    os.kill(server, 0)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    wait_until(lambda: not _lives(server), "the end of the server")


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_postgres_has_pgvector(postgres_server: PostgresServer) -> None:
    asyncpg = pytest.importorskip("asyncpg", reason="needs the client: pip install asyncpg")
    connection = await asyncpg.connect(f"{postgres_server.url}/postgres")
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        assert await connection.fetchval("SELECT '[3,4]'::vector <-> '[0,0]'::vector") == 5.0
    finally:
        await connection.close()
