"""The session stores pass their suite: SQLite in a file and in memory, Redis, a Redis Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bruno_memory_vec import MemoryConfig
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.sessions.protocol import SessionStore, WritesBehind
from bruno_memory_vec.testing import SessionStoreConformance

if TYPE_CHECKING:
    from tests.servers.redis_cluster import RedisCluster


class ByURL(SessionStoreConformance):
    url: str

    async def open_sessions(self, max_messages: int) -> SessionStore:
        config = MemoryConfig.build(url="memory://", max_messages=max_messages)
        opened = await session_store_of(self.url).open(self.url, self.name, config)
        if opened.versions is None and opened.lease is not None:
            # The lock of the folder, which a memory gives up when the sessions are closed.
            close = opened.sessions.close

            async def close_both() -> None:
                await close()
                opened.lease.release()  # type: ignore[union-attr]

            opened.sessions.close = close_both  # type: ignore[method-assign]
        return opened.sessions


class TestSQLite(ByURL):
    @pytest.fixture(autouse=True)
    def _url(self, _place: None) -> None:
        self.url = str(self.folder)


class TestSQLiteWrittenBehind(TestSQLite):
    """What waits is as if it were written, whatever comes next."""

    async def open_sessions(self, max_messages: int) -> SessionStore:
        opened = await super().open_sessions(max_messages)
        assert isinstance(opened, WritesBehind)
        opened.writes_behind = True
        return opened


class TestSQLiteInMemory(ByURL):
    persistent = False
    url = ":memory:"


@pytest.mark.redis_server
class TestRedis(ByURL):
    shared = True

    @pytest.fixture(autouse=True)
    def _url(self, redis_url: str) -> None:
        self.url = redis_url


@pytest.mark.redis_server
class TestRedisCluster(ByURL):
    shared = True

    @pytest.fixture(autouse=True)
    def _url(self, redis_cluster: RedisCluster) -> None:
        self.url = redis_cluster.url
