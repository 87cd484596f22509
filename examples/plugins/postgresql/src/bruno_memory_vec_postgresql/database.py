"""Calls to PostgreSQL: a pool of connections, retries, errors."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import asyncpg

from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.errors import BackendUnavailable, EngineError

from .loop_end import closing_at_loop_end
from .settings import Settings
from .statement import quoted

T = TypeVar("T")

NAME = "postgresql"
_TRIES = 5
_FIRST_WAIT = 0.1
_CLOSING_SECONDS = 5.0
# PostgreSQL counts microseconds from 2000.
_EPOCH = 946_684_800_000_000

# In Python 3.10 the two are different, and only the first one is an OSError.
_TIMEOUTS = (TimeoutError, asyncio.TimeoutError)
#: What a connection raises that has ended, or cannot be made.
_ENDED = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
)
#: What may go away by itself.
_AGAIN = (
    *_ENDED,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
_LOGIN = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
_AWAY = (
    *_AGAIN,
    *_LOGIN,
    *_TIMEOUTS,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
# A ValueError is of a URL that the client cannot read.
_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, *_TIMEOUTS, ValueError)


class Database:
    """A database, and the tables of one store in it.

    Args:
        settings: where it is, and how it is spoken to.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows = f"{quoted(settings.schema)}.rows"
        self.store = f"{quoted(settings.schema)}.store"
        # Connections belong to the event loop in which they were made, and end with it.
        self._pools: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[asyncpg.Pool, AsyncGenerator[None, None]]
        ] = weakref.WeakKeyDictionary()
        self._opening = LoopLock()
        self._closed = False
        # Whether a connection was made before the database had pgvector.
        self._without_vectors = False

    async def call(
        self,
        operation: str,
        work: Callable[[asyncpg.Connection], Awaitable[T]],
        *,
        repeatable: bool = True,
    ) -> T:
        """Do something with a connection, again where that may help.

        Args:
            operation: what is being done, for errors.
            work: what is done. A time-out or a lost connection may have left it done or not.
            repeatable: whether it may be done twice; if not, only connecting is tried again.

        Raises:
            BackendUnavailable: the database is away, too slow, or refuses the login.
            EngineError: it refused the statement.
        """
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            begun = False
            try:
                pool = await self._pool()
                if self._without_vectors:
                    # Another process may have made the store since: its vectors need the codec.
                    self._without_vectors = False
                    await pool.expire_connections()
                async with pool.acquire(timeout=self._patience) as connection:
                    begun = True
                    return await work(connection)
            except EngineError:
                raise
            except _ERRORS as error:
                if isinstance(error, _ENDED):
                    await self._forget_connections()
                # TimeoutError is an OSError.
                again = isinstance(error, _AGAIN) and not isinstance(error, _TIMEOUTS)
                if attempt == _TRIES or not again or (begun and not repeatable):
                    raise self.failed(operation, error, attempt) from error
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            wait *= 2
        raise AssertionError("unreachable")

    async def fetch(self, operation: str, text: str, *values: Any) -> list[asyncpg.Record]:
        """The records that a query gives."""
        found: list[asyncpg.Record] = await self.call(operation, lambda c: c.fetch(text, *values))
        return found

    async def fetchval(self, operation: str, text: str, *values: Any) -> Any:
        """The first value that a query gives, None where it gives nothing."""
        return await self.call(operation, lambda c: c.fetchval(text, *values))

    async def connect(self) -> asyncpg.Connection:
        """A connection of its own, outside the pool.

        Raises:
            BackendUnavailable: as :meth:`call`.
        """
        try:
            return await asyncpg.connect(**self._arguments())
        except _ERRORS as error:
            raise self.failed("open", error) from error

    def failed(self, operation: str, error: BaseException, tries: int = 1) -> EngineError:
        """A failure as an error of ours, which names the URL without its secrets."""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        tried = f" (tried {tries} times)" if tries > 1 else ""
        problem = f"{self.settings.shown}: {said}{tried}"
        cause = error if isinstance(error, Exception) else None
        if isinstance(error, _AWAY):
            fix = (
                "Check the user, the password (PGPASSWORD) and the database in the URL."
                if isinstance(error, _LOGIN)
                else "Check that the server runs and can be reached, or raise ?timeout= in the URL."
            )
            return BackendUnavailable(NAME, operation, problem, fix=fix, cause=cause)
        fix = "The server refused the statement: see its log, and run bruno-memory-vec doctor."
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            fix = f"Let the user create and use the schema {self.settings.schema!r}."
        return EngineError(NAME, operation, problem, fix=fix, cause=cause)

    @property
    def _patience(self) -> float:
        """Seconds to wait for a connection that another call may be using."""
        return self.settings.connect + self.settings.timeout

    async def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._closed = True
        found = self._pools.get(asyncio.get_running_loop())
        if found is not None:
            await found[1].aclose()

    async def _pool(self) -> asyncpg.Pool:
        if self._closed:
            raise EngineError(NAME, "answer", "it is closed", fix="Open the memory again.")
        loop = asyncio.get_running_loop()
        async with self._opening:
            found = self._pools.get(loop)
            if found is None:
                pool = asyncpg.create_pool(
                    min_size=0,
                    max_size=self.settings.pool,
                    init=self._prepare,
                    # No call leaves anything behind in its connection.
                    reset=_leave,
                    **self._arguments(),
                )
                await pool  # with no connections, it makes none yet
                found = self._pools[loop] = (
                    pool,
                    await closing_at_loop_end(partial(self._end, loop, pool)),
                )
        return found[0]

    def _arguments(self) -> dict[str, Any]:
        settings = {
            # A user may have ten rows or a million: each call is planned for its own values.
            "plan_cache_mode": "force_custom_plan",
            "jit": "off",  # compiling takes longer than what is asked
        }
        if self.settings.hnsw_above is not None:
            settings["hnsw.iterative_scan"] = "strict_order"
        return {
            "dsn": self.settings.dsn,
            "timeout": self.settings.connect,
            "command_timeout": self.settings.timeout,
            "server_settings": settings,
        }

    async def _forget_connections(self) -> None:
        """Make new connections from now on: the server has ended one, and maybe all."""
        found = self._pools.get(asyncio.get_running_loop())
        if found is not None:
            await found[0].expire_connections()

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        if not await set_codecs(connection):
            self._without_vectors = True

    async def _end(self, loop: asyncio.AbstractEventLoop, pool: asyncpg.Pool) -> None:
        self._pools.pop(loop, None)
        await _close(pool)


async def set_codecs(connection: asyncpg.Connection) -> bool:
    """Let a connection give times as microseconds since 1970, and vectors as their bytes.

    Returns:
        Whether the database has vectors; without pgvector there is no such type.
    """
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda micros: (micros - _EPOCH,),
        decoder=lambda since: since[0] + _EPOCH,
    )
    schema = await connection.fetchval(_VECTOR_SCHEMA)
    if schema is None:
        return False
    await connection.set_type_codec(
        "vector", schema=schema, format="binary", encoder=bytes, decoder=bytes
    )
    # Its type and operators have to be found, in whichever schema the database has them.
    await connection.execute("SELECT set_config('search_path', quote_ident($1), FALSE)", schema)
    return True


_VECTOR_SCHEMA = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'vector'
"""


async def _leave(connection: asyncpg.Connection) -> None:
    return None


async def _close(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), _CLOSING_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        pool.terminate()
    except asyncio.TimeoutError:
        pool.terminate()
