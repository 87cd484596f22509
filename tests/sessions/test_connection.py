"""How a Redis is reached: over TLS, by Sentinels, in a cluster, in one event loop after another."""

from __future__ import annotations

import asyncio
import builtins
import gc
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.connection import Connection

from bruno_memory_vec import MemoryConfig, VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, EngineError, MissingDependencyError
from bruno_memory_vec.sessions.choice import OpenSessions, session_store_of
from bruno_memory_vec.sessions.redis.address import address_of
from bruno_memory_vec.sessions.redis.connection import Connections, command
from bruno_memory_vec.testing.conformance_sessions import said
from tests.durability.support import message
from tests.servers.fixtures import SecureRedis
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_sentinel import RedisSentinel
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server


async def sessions_at(url: str, name: str = "notes") -> OpenSessions:
    return await session_store_of(url).open(url, name, MemoryConfig.build(url="memory://"))


async def works(opened: OpenSessions, turn: int = 0) -> None:
    await opened.sessions.apply(said(turn), turn)
    record = await opened.sessions.context("ana", "c", 1)
    assert [one.content for one in record.messages] == [f"text {turn}"]


async def test_over_tls(redis_tls: SecureRedis, tmp_path: Path) -> None:
    opened = await sessions_at(f"{redis_tls.url}?ca={redis_tls.authority}")
    await works(opened)
    await opened.close()
    with pytest.raises(BackendUnavailable, match="certificate"):
        await sessions_at(f"{redis_tls.url}?retries=0")


async def test_with_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", password="a:secret/word") as server:
        place = f"{server.host}:{server.port}"
        opened = await sessions_at(f"redis://:a%3Asecret%2Fword@{place}")
        await works(opened)
        health = await opened.sessions.health()
        assert "secret" not in str(health)
        assert place in health["url"]
        await opened.close()
        with pytest.raises(EngineError) as raised:
            await sessions_at(f"redis://:wrong-word@{place}?retries=0")
        assert "wrong-word" not in str(raised.value)
        assert "Check the user, the password" in str(raised.value)


async def test_over_a_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("s")
    path = folder / "r.sock"
    with RedisServer(folder / "redis", options=("--unixsocket", str(path))):
        opened = await sessions_at(f"unix://{path}")
        await works(opened)
        await opened.close()


async def test_sentinels_name_the_new_master(redis_sentinel: RedisSentinel) -> None:
    # A call waits twice its timeout at most, and an election may take some seconds.
    opened = await sessions_at(f"{redis_sentinel.url}?timeout=4&retries=60")
    await works(opened)
    redis_sentinel.master.kill()
    await works(opened, 1)
    assert redis_sentinel.master_port() == redis_sentinel.replica.port
    await opened.close()


@pytest.mark.slow
async def test_a_cluster_that_loses_a_node(tmp_path: Path) -> None:
    """What the node had is asked of the rows; the others go on."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        url = f"{cluster.url}?timeout=1&retries=3"
        async with open_memory("memory://", embedder="hash", sessions=url) as memory:
            talks = [f"talk {number}" for number in range(12)]
            for talk in talks:
                await memory.store_message(message(f"in {talk}"), talk, user_id="ana")
            # The node of the store's own keys stays: without it nothing is numbered.
            store = await memory._lazy.get()
            prefix = (await store.sessions.health())["name"]
            keeps = cluster.node_of(f"{prefix}{{s}}:meta")
            lost = next(node for node in cluster.nodes if node is not keeps)
            lost.client.flushall()
            for talk in talks:
                await memory.store_message(message(f"again in {talk}"), talk, user_id="ana")
                context = await memory.get_context("ana", talk)
                assert [one.content for one in context.messages] == [
                    f"in {talk}",
                    f"again in {talk}",
                ]
            assert (await memory.health())["problems"] == {}


@pytest.mark.slow
async def test_a_cluster_without_one_of_its_nodes(tmp_path: Path) -> None:
    """What is on the others goes on, also for a process that begins now."""
    with RedisCluster(tmp_path / "cluster") as cluster:
        url = f"{cluster.url}?timeout=1&retries=2"
        opened = await sessions_at(url)
        prefix = (await opened.sessions.health())["name"]
        keeps = cluster.node_of(f"{prefix}{{s}}:meta")
        away = next(node for node in cluster.nodes if node is not keeps)

        def on_it(talk: str) -> bool:
            return cluster.node_of(f"{prefix}{{c:{talk}}}:state") is away

        talks = [f"talk {number}" for number in range(20)]
        lost = next(talk for talk in talks if on_it(talk))
        here = next(talk for talk in talks if not on_it(talk))
        await opened.sessions.apply([*said(0, talk=lost), *said(0, talk=here)], 1)
        away.kill()
        other = await sessions_at(url)
        for one in (opened, other):
            found = await one.sessions.conversation(here)
            assert found is not None
            assert found.next_turn == 1
            with pytest.raises(BackendUnavailable):
                await one.sessions.conversation(lost)
        away.start()
        for _ in range(100):
            try:
                found = await opened.sessions.conversation(lost)
                break
            except BackendUnavailable:
                await asyncio.sleep(0.1)
        assert found is not None
        await other.close()
        await opened.close()


async def _stored(memory: VectorMemory, text: str) -> list[str]:
    await memory.store_message(message(text), "talk", user_id="ana")
    return [one.content for one in (await memory.get_context("ana", "talk")).messages]


@pytest.mark.parametrize("kind", ["server", "cluster", "tls"])
def test_one_event_loop_after_the_other(kind: str, request: pytest.FixtureRequest) -> None:
    """Connections of a loop that has ended are dropped without a word."""
    if kind == "tls":
        tls: SecureRedis = request.getfixturevalue("redis_tls")
        url = f"{tls.url}?ca={tls.authority}"
    else:
        fixture: Any = request.getfixturevalue("redis_url" if kind == "server" else "redis_cluster")
        url = fixture if kind == "server" else fixture.url
    memory = VectorMemory("memory://", embedder="hash", sessions=url)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(3):
            texts = asyncio.run(_stored(memory, f"text {number}"))
            assert texts == [f"text {n}" for n in range(number + 1)]
        asyncio.run(memory.close())
        del memory
        gc.collect()
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "redis" or name.startswith("redis."):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **named)

    for name in [name for name in sys.modules if name == "redis" or name.startswith("redis.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"bruno-memory-vec\[redis\]"):
        await sessions_at("redis://localhost")


async def test_what_has_no_room(tmp_path: Path) -> None:
    limits = ("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with RedisServer(tmp_path / "redis", options=limits) as server:
        opened = await sessions_at(server.url)

        async def fill() -> None:
            for turn in range(100):
                await opened.sessions.apply(said(turn, text="long " * 20_000), turn)

        with pytest.raises(BackendUnavailable, match="Give it more memory"):
            await fill()
        await opened.close()


async def test_a_call_is_cancelled_whatever_the_client_does_then(redis_url: str) -> None:
    """While it connects, redis-py swallows cancellations, and goes on."""
    for steps in range(30):
        connections = Connections(address_of(redis_url))
        call = asyncio.create_task(connections.run("look", command("GET", "nothing")))
        for _ in range(steps):
            await asyncio.sleep(0)
        if call.cancel():
            with pytest.raises(asyncio.CancelledError):
                await call
        await connections.close()


async def test_a_connection_that_another_task_closed_is_one_that_was_lost(redis_url: str) -> None:
    connections = Connections(address_of(redis_url))
    asked = 0

    async def by_the_client(client: Any) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            # As redis-py does it where a connection was closed amid its use.
            await Connection()._send_packed_command([b"PING"])
        return "answered"

    assert await connections.attempt("ask", by_the_client) == "answered"
    assert asked == 2
    with pytest.raises(AttributeError):
        await connections.attempt("ask", lambda client: _ours())
    await connections.close()


async def _ours() -> None:
    nothing: Any = None
    nothing.writelines()


async def test_idle_sessions_are_ended(redis_url: str, store_name: str) -> None:
    url = f"{redis_url}?session_idle=0.3"
    opened = await sessions_at(url, store_name)
    from bruno_core.models.context import SessionContext

    session = SessionContext(user_id="ana")
    await opened.sessions.begin_session(session)
    for _ in range(4):
        await asyncio.sleep(0.1)
        record = await opened.sessions.context("ana", session.conversation_id, 4)
        assert record.session == session, "it is asked for"
    await asyncio.sleep(0.4)
    record = await opened.sessions.context("ana", session.conversation_id, 4)
    assert record.session is None
    found = await opened.sessions.session(session.session_id)
    assert found is not None
    assert not found.is_active
    assert found.ended_at is not None
    assert await opened.sessions.sessions("ana", active=True, limit=None, after=None) == []
    await opened.close()


async def test_the_hot_context_goes_and_comes_back(redis_url: str) -> None:
    url = f"{redis_url}?hot_ttl=0.2"
    async with open_memory("memory://", embedder="hash", sessions=url) as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
        await asyncio.sleep(0.4)
        store = await memory._lazy.get()
        record = await store.sessions.context("ana", "talk", 20)
        assert record.messages == []
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one"]
        await memory.store_message(message("two"), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one", "two"]
