"""The lease of a store whose sessions are in Redis: many processes write, and Redis numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from bruno_memory_vec.sessions.redis.access import Access
from bruno_memory_vec.sessions.redis.changes import Changes
from bruno_memory_vec.sessions.redis.numbers import Numbers
from bruno_memory_vec.writing.lease import Wanted
from bruno_memory_vec.writing.visits import check_visit, refuse_after_fork


class RedisLease:
    """The right of one of many processes to write. Redis gives out the numbers.

    Args:
        access: the store in Redis.
        changes: the changes of this process, and its heartbeat.
    """

    def __init__(self, access: Access, changes: Changes) -> None:
        self._access = access
        self._changes = changes
        self._numbers = Numbers(access, changes)
        self._check: Callable[[], None] | None = None
        self._release: Callable[[], None] | None = None
        self._process = os.getpid()

    def alone(
        self,
        check: Callable[[], None] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """As of ``RunsAlone``."""
        self._access.alone = True
        self._check, self._release = check, release

    @property
    def exclusive(self) -> bool:
        """As of ``WriterLease``."""
        return self._access.alone

    def check(self) -> None:
        """As of ``WriterLease``. The heartbeat is looked at before each change (``Changes``)."""
        if self._check is not None:
            self._check()
        else:
            refuse_after_fork(self._process)
            check_visit()

    async def next_seqs(self, count: int) -> int:
        """As of ``WriterLease``."""
        return await self._numbers.seqs(count)

    async def next_turns(
        self, wanted: Mapping[str, Wanted], begun: Collection[str] = ()
    ) -> dict[str, int]:
        """As of ``WriterLease``. It waits while another process begins one of the conversations."""
        await self._changes.live()
        return await self._numbers.turns(wanted)

    def record_turns(self, next_turns: Mapping[str, int]) -> None:
        """As of ``WriterLease``: Redis knows them."""

    def forget_turns(self) -> None:
        """As of ``WriterLease``: nothing is remembered here."""

    def start_after(self, seq: int) -> None:
        """As of ``WriterLease``."""
        self._numbers.start_after(seq)

    def release(self) -> None:
        """As of ``WriterLease``. The heartbeat ends when the sessions are closed."""
        if self._release is not None:
            self._release()
