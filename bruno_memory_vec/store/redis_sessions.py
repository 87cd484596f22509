"""Sessions in Redis, for any rows: one server, a cluster, or the master that Sentinels name."""

from __future__ import annotations

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.sessions.choice import OpenSessions
from bruno_memory_vec.sessions.redis.access import Access
from bruno_memory_vec.sessions.redis.address import address_of
from bruno_memory_vec.sessions.redis.changes import Changes
from bruno_memory_vec.sessions.redis.connection import Connections
from bruno_memory_vec.sessions.redis.store import RedisSessionStore
from bruno_memory_vec.sessions.redis.versions import RedisUserVersions
from bruno_memory_vec.store.redis_lease import RedisLease


class RedisSessions:
    """Opens the sessions of a store in Redis; ``sessions.redis.address`` says what its URLs are."""

    async def open(self, url: str, name: str, config: MemoryConfig) -> OpenSessions:
        """As of :class:`~bruno_memory_vec.sessions.choice.SessionDeployment`."""
        rows_alone = config.without_sessions == "rows"
        connections = Connections(address_of(url))
        access = Access(connections, name)
        changes = Changes(access)
        try:
            await access.connect()
        except BackendUnavailable:
            if not rows_alone:
                await connections.close()
                raise
        except BaseException:
            await connections.close()
            raise
        sessions = RedisSessionStore(
            access,
            changes,
            config.max_messages,
            rows_alone=rows_alone,
            read_only=config.read_only,
        )
        lease = None if config.read_only else RedisLease(access, changes)
        return OpenSessions(sessions, lease, RedisUserVersions(access, rows_alone=rows_alone))
