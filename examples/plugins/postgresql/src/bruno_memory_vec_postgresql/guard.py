"""The lock of a store that one process writes: an advisory lock, held by a connection of its own.

PostgreSQL frees it when the connection ends, however the process does. Where only the connection
has ended, as by a restart of the server, the lock is taken again; a token in the store tells
whether another process has written meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from functools import partial
from uuid import uuid4

import asyncpg

from bruno_memory_vec.errors import EngineError, StoreError, StoreLockedError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.writing.lease import Wanted, WriterLease

from .database import Database
from .loop_end import closing_at_loop_end
from .statement import hash_of

# Seconds in which the server notes that an earlier connection of this process has ended.
_FREED_WITHIN = 2.0
_BETWEEN = 0.05
#: For how long a connection that has answered is taken to hold the lock.
TRUSTED_SECONDS = 10.0


class Guard:
    """Holds the lock of a store.

    Args:
        database: has the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._token = uuid4().hex
        self._connection: asyncpg.Connection | None = None
        # Lets the connection end with its event loop; the next one takes the lock again.
        self._ending: AsyncGenerator[None, None] | None = None
        self._answered = 0.0
        # Whether this process has had the lock before.
        self._taken = False
        self._alone = LoopLock()
        self._taking: asyncio.Task[None] | None = None
        self._refusal: StoreError | None = None

    async def take(self) -> None:
        """Take the lock, unless this event loop holds it.

        Raises:
            StoreLockedError: another process or memory has it.
            StoreError: another one had it since this one lost it.
            BackendUnavailable: the server is away.
        """
        async with self._alone:
            if self._held and time.monotonic() - self._answered > TRUSTED_SECONDS:
                await self._ask()
            if not self._held:
                await self._take_anew()

    async def _ask(self) -> None:
        """Drop the connection unless it answers: the network may have lost it without a word."""
        assert self._connection is not None
        try:
            await self._connection.execute("SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError):
            self._drop_connection()
        self._answered = time.monotonic()

    async def _take_anew(self) -> None:
        again = self._taken
        self._drop_connection()
        connection = await self._database.connect()
        try:
            await self._take(connection, again)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, StoreError):
                self._refusal = error
            if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                raise self._database.failed("lock the store", error) from error
            raise
        self._connection, self._refusal, self._taken = connection, None, True
        self._answered = time.monotonic()
        self._ending = await closing_at_loop_end(partial(_end, connection))

    async def _take(self, connection: asyncpg.Connection, again: bool) -> None:
        settings = self._database.settings
        until = time.monotonic() + (_FREED_WITHIN if again else 0.0)
        key = hash_of(f"write {settings.schema}")
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            if time.monotonic() >= until:
                raise StoreLockedError(
                    f"another process or memory writes to {settings.shown}",
                    fix="Close it; or let all share sessions in Redis "
                    "(sessions=redis://host:6379), then many may write.",
                )
            await asyncio.sleep(_BETWEEN)
        store = self._database.store
        if not again:
            await connection.execute(f"UPDATE {store} SET writer = $1", self._token)
        elif await connection.fetchval(f"SELECT writer FROM {store}") != self._token:
            raise StoreError(
                f"another process has written to {settings.shown} since the connection of this one "
                "was lost",
                fix="Close this memory and open it again.",
            )

    def check(self) -> None:
        """Take the lock in the background where it was lost.

        Raises:
            StoreError: it could not be taken again, because another process had it.
        """
        if self._held:
            return
        if self._taking is None or self._taking.done():
            self._taking = asyncio.get_running_loop().create_task(self._try())
        if self._refusal is not None:
            raise self._refusal

    async def _try(self) -> None:
        try:
            await self.take()
        except (EngineError, StoreError):
            return  # the next check or write says so

    def drop(self) -> None:
        """Give the lock up. Doing so twice does nothing."""
        taking, self._taking = self._taking, None
        if taking is not None:
            taking.cancel()
        self._drop_connection()

    @property
    def _held(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            connection.terminate()


async def _end(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_FREED_WITHIN)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError):
        connection.terminate()


class GuardedLease:
    """A lease of one process, as long as it holds the lock.

    Args:
        inner: the lease of the sessions.
        guard: holds the lock.
    """

    exclusive = True

    def __init__(self, inner: WriterLease, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def check(self) -> None:
        """As of ``WriterLease``."""
        self._inner.check()
        self._guard.check()

    async def next_seqs(self, count: int) -> int:
        """As of ``WriterLease``: nothing is numbered without the lock."""
        await self._guard.take()
        return await self._inner.next_seqs(count)

    async def next_turns(
        self, wanted: Mapping[str, Wanted], begun: Collection[str] = ()
    ) -> dict[str, int]:
        """As of ``WriterLease``. All turns are read: since ``begun`` was found, the connection may
        have ended, and another process may have written."""
        return await self._inner.next_turns(wanted)

    def record_turns(self, next_turns: Mapping[str, int]) -> None:
        """As of ``WriterLease``."""
        self._inner.record_turns(next_turns)

    def forget_turns(self) -> None:
        """As of ``WriterLease``."""
        self._inner.forget_turns()

    def start_after(self, seq: int) -> None:
        """As of ``WriterLease``."""
        self._inner.start_after(seq)

    def release(self) -> None:
        """As of ``WriterLease``."""
        self._guard.drop()
        self._inner.release()
