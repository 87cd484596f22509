"""The versions of users' rows in Redis, by which a process learns what others have changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.protocols import Version
from bruno_memory_vec.sessions.redis.access import Access
from bruno_memory_vec.sessions.redis.connection import Command
from bruno_memory_vec.sessions.redis.scripts import VERSION


class RedisUserVersions:
    """A :class:`~bruno_memory_vec.indexers.protocols.UserVersions` in Redis.

    A version is four numbers: when counting began and how far it is, of all users and of this one.
    One that Redis has lost begins at another time, and so is another one.

    Args:
        access: the store in Redis.
        rows_alone: go on where Redis does not answer; no version is known then.
    """

    def __init__(self, access: Access, *, rows_alone: bool = False) -> None:
        self._access = access
        self._rows_alone = rows_alone

    async def current(self, user_id: str) -> Version | None:
        """As of ``UserVersions``."""
        try:
            everybody, own = await self._access.connections.run_all(
                "read a version", [self._everybody(0), self._of(user_id, 0)]
            )
        except BackendUnavailable:
            if not self._rows_alone:
                raise
            return None
        return _version(everybody, own)

    async def changed(self, users: Collection[str] | None) -> Mapping[str, Version]:
        """As of ``UserVersions``."""
        if users is None:
            await self._access.connections.run("note a change", self._everybody(1))
            return {}
        named = list(users)
        everybody, *own = await self._access.connections.run_all(
            "note a change", [self._everybody(0), *(self._of(user, 1) for user in named)]
        )
        return {user: _version(everybody, one) for user, one in zip(named, own, strict=True)}

    def _everybody(self, more: int) -> Command:
        return VERSION([self._access.keys.own("epoch")], more)

    def _of(self, user_id: str, more: int) -> Command:
        return VERSION([self._access.keys.user(user_id, "version")], more)


def _version(everybody: list[bytes], own: list[bytes]) -> Version:
    return (*map(int, everybody), *map(int, own))
