"""The connections to a Redis: pools, time-outs, retries, and whether it is still the same Redis.

A Redis that was restarted, or whose replica has taken over, may have lost what it had acknowledged
last. So each new connection looks who answers, and before anything that came over it is used,
:attr:`Connections.restarted` is called where it is another server process than before.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from bruno_memory_vec.errors import BackendUnavailable, EngineError, MissingDependencyError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.redis.address import Address

_log = get_logger(__name__)

ENGINE = "redis"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# Commands in one round trip.
_AT_ONCE = 1000
# Of a cluster's commands, which go one by one, as many are under way.
_CLUSTER_AT_ONCE = 64


class Script:
    """A Lua script. It runs as one step on the node of its keys."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324  # Redis' own

    def __call__(self, keys: Sequence[str], *values: Any) -> Command:
        """The command that runs it."""
        return Command((self.sha, len(keys), *keys, *values), self)


class Command(NamedTuple):
    """A command, or a script that is run. All its keys are in one slot.

    Attributes:
        parts: of a command, its words; of a script, what follows ``EVALSHA``.
        script: the script; None for a command.
    """

    parts: tuple[Any, ...]
    script: Script | None = None

    @property
    def words(self) -> tuple[Any, ...]:
        """The whole command."""
        return self.parts if self.script is None else ("EVALSHA", *self.parts)

    @property
    def with_text(self) -> tuple[Any, ...]:
        """The same, for a server that does not have the script."""
        assert self.script is not None
        return ("EVAL", self.script.text, *self.parts[1:])


def command(*parts: Any) -> Command:
    """A command of Redis."""
    return Command(parts)


class Connections:
    """The connections of one process to one Redis.

    Args:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: Any = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._closed = False
        # Work whose caller was cancelled.
        self._going_on: set[asyncio.Future[Any]] = set()
        self._looking = LoopLock()
        # How many connections were made, and of how many it is known who answers.
        self._made = self._known = 0
        self._identity: str | None = None
        # Of each server, which process it is.
        self._nodes: dict[str, str] = {}
        # Connections that were made and may be open still. A cluster's client forgets those of a
        # node that has gone.
        self._sockets: set[Any] = set()
        self._away: BackendUnavailable | None = None
        #: Called where another server process answers than before.
        self.restarted: Callable[[], Awaitable[None]] | None = None

    @property
    def away(self) -> str | None:
        """Why Redis did not answer the last time it was asked; None where it did."""
        return None if self._away is None else str(self._away)

    async def run(self, operation: str, one: Command) -> Any:
        """The answer to a command.

        Args:
            operation: what it is for, for errors.
            one: the command; Redis may run it more than once, where a connection is lost.

        Raises:
            BackendUnavailable: Redis does not answer, or cannot do it now.
            EngineError: Redis refuses it.
        """
        return (await self.run_all(operation, [one]))[0]

    async def run_all(self, operation: str, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands, in one round trip to each node. They are not one transaction."""
        found: list[Any] = []
        for start in range(0, len(commands), _AT_ONCE):
            part = commands[start : start + _AT_ONCE]
            found += await self.attempt(operation, partial(self._all, commands=part))
        return found

    async def attempt(self, operation: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do work with the client, again where a connection is lost.

        A caller that is cancelled waits no longer, and the work comes to its end by itself. For
        while it connects, the client may swallow a cancellation, or leave the connection open.
        """
        task = asyncio.ensure_future(self._attempt(operation, work))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._going_on.add(task)
            task.add_done_callback(self._ended)
            raise
        return task.result()

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio says that nobody did

    async def _attempt(self, operation: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        exceptions = _exceptions()
        passing = (
            exceptions.ConnectionError,
            exceptions.TimeoutError,
            exceptions.ReadOnlyError,
            exceptions.ClusterError,
            exceptions.RedisClusterException,
            OSError,
        )
        failures, began = 0, time.monotonic()
        settings = self.address.settings
        while True:
            try:
                found = await work(self._here())
            except exceptions.AuthenticationError as error:
                raise self._refused(operation, error) from error
            except (*passing, AttributeError) as error:
                if isinstance(error, AttributeError) and not _is_of_client(error):
                    raise
                failures += 1
                # One that was away a moment ago is asked once, so that nobody waits for nothing.
                late = time.monotonic() - began > 2 * settings.timeout
                if late or self._away is not None or failures > settings.retries:
                    raise self._gave_up(operation, error) from error
            except exceptions.RedisError as error:
                raise self._refused(operation, error) from error
            else:
                break
            pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311  # no secret
        if self._away is not None:
            _log.info("redis_is_back", url=self.address.masked)
            self._away = None
        if self._known != self._made:
            await self._look()
        return found

    async def _all(self, client: Any, commands: Sequence[Command]) -> list[Any]:
        exceptions = _exceptions()
        if self.address.kind == "cluster":
            answers = await self._each(client, [one.words for one in commands])
        elif len(commands) == 1:
            answers = [await _answer(client, commands[0].words)]
        else:
            async with client.pipeline(transaction=False) as pipeline:
                for one in commands:
                    pipeline.execute_command(*one.words)
                answers = await pipeline.execute(raise_on_error=False)
        for number, answer in enumerate(answers):
            if isinstance(answer, exceptions.NoScriptError):
                answers[number] = await _answer(client, commands[number].with_text)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _each(self, client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if len(commands) == 1:
            return [await _answer(client, commands[0])]
        room = asyncio.Semaphore(_CLUSTER_AT_ONCE)

        async def one(words: tuple[Any, ...]) -> Any:
            async with room:
                return await _answer(client, words)

        return list(await asyncio.gather(*map(one, commands)))

    async def scan(self, operation: str, pattern: str) -> AsyncIterator[str]:
        """Every key that fits a pattern, on all nodes; some may come twice."""
        found: list[bytes] = await self.attempt(operation, lambda client: _scanned(client, pattern))
        for key in found:
            yield key.decode()

    async def about(self, section: str) -> list[dict[str, Any]]:
        """A section of INFO, of each server that is written to."""
        found: list[dict[str, Any]] = await self.attempt(
            "tell of itself", lambda client: self._info(client, section)
        )
        return found

    async def on_each(self, operation: str, *words: Any) -> None:
        """Run a command on each server that is written to."""

        async def work(client: Any) -> None:
            if self.address.kind == "cluster":
                for node in client.get_primaries():
                    await node.execute_command(*words)
            else:
                await client.execute_command(*words)

        await self.attempt(operation, work)

    async def _info(self, client: Any, section: str) -> list[dict[str, Any]]:
        if self.address.kind != "cluster":
            return [await client.info(section)]
        by_node = await client.info(section, target_nodes=client.PRIMARIES)
        # A single node's answer comes without its name.
        return [by_node] if _is_one(by_node) else list(by_node.values())

    async def _look(self) -> None:
        """Look who answers, before what came over a new connection is used."""
        async with self._looking:
            while self._known != self._made:
                made = self._made
                told = await self._whose()
                known, self._identity = self._identity, told
                self._known = made
                if known not in (None, told):
                    _log.warning("redis_restarted", url=self.address.masked)
                    if self.restarted is not None:
                        await self.restarted()

    async def _whose(self) -> str:
        exceptions = _exceptions()
        client = self._here()
        try:
            if self.address.kind != "cluster":
                told = {"": await client.info("server")}
            else:
                await client.initialize()
                told = await self._told_by(client.get_primaries())
        except (exceptions.RedisError, OSError) as error:
            raise self._gave_up("tell who it is", error) from error
        found = {name: str(one.get("run_id", "")) for name, one in told.items()}
        if self.address.kind == "cluster":
            # A node that does not answer is who it was.
            known = {node.name: self._nodes.get(node.name, "") for node in client.get_primaries()}
            found = known | found
        self._nodes = found
        return ",".join(f"{name}={run}" for name, run in sorted(found.items()))

    async def _told_by(self, nodes: Sequence[Any]) -> dict[str, Any]:
        """What each node of a cluster tells of itself; at least one of them."""
        exceptions = _exceptions()
        told: dict[str, Any] = {}
        failed: Exception | None = None
        for node in nodes:
            try:
                told[node.name] = await node.execute_command("INFO", "server")
            except (exceptions.RedisError, OSError) as error:
                failed = error
        if not told and failed is not None:
            raise failed
        return told

    async def ready(self) -> None:
        """Find out who answers, so that :meth:`process_of` knows.

        Raises:
            EngineError: nobody does.
        """
        if self._identity is None:
            await self.run("open", command("PING"))
        elif self.address.kind == "cluster":
            await self.attempt("open", lambda client: client.initialize())

    def process_of(self, key: str) -> str:
        """Which server process has a key, as far as it is known. Await :meth:`ready` before."""
        if self.address.kind != "cluster":
            return self._nodes.get("", "")
        node = self._here().get_node_from_key(key)
        return "" if node is None else self._nodes.get(node.name, "")

    @property
    def identity(self) -> str:
        """Which server processes answer; empty before the first answer."""
        return self._identity or ""

    def apart(self, held: float) -> Any:
        """A client with connections of its own, for commands that block; close it with ``aclose``.

        It connects when it is first used.

        Args:
            held: how long the server may hold a command, in seconds.
        """
        return self._made_client(held + self.address.settings.timeout)

    def _here(self) -> Any:
        """The client of the running event loop. Connections of an earlier one are dropped."""
        if self._closed:
            raise EngineError(ENGINE, "connect", "it was closed", fix="Open the memory again.")
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is None or self._loop() is not loop:
            self._drop(self._client)
            self._client = self._made_client(self.address.settings.timeout)
            self._loop = weakref.ref(loop)
        return self._client

    def _made_client(self, timeout: float) -> Any:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.cluster import ClusterNode, RedisCluster
            from redis.asyncio.connection import (
                Connection,
                SSLConnection,
                UnixDomainSocketConnection,
            )
            from redis.asyncio.retry import Retry
            from redis.asyncio.sentinel import Sentinel
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise MissingDependencyError("redis", "redis", cause=error) from error
        at, settings = self.address, self.address.settings
        once = Retry(NoBackoff(), 0)  # attempt() tries again
        common: dict[str, Any] = {
            "username": at.user,
            "password": at.password,
            "socket_timeout": timeout,
            "socket_connect_timeout": settings.timeout,
        }
        tls: dict[str, Any] = {}
        if at.tls:
            tls = {
                "ssl_ca_certs": settings.ca or None,
                "ssl_certfile": settings.cert or None,
                "ssl_keyfile": settings.key or None,
                "ssl_check_hostname": settings.check_hostname,
            }
        if at.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in at.hosts]
            client = RedisCluster(
                startup_nodes=nodes,
                max_connections=max(settings.pool, _CLUSTER_AT_ONCE) * 2,
                retry=once,
                ssl=at.tls,
                require_full_coverage=False,
                **common,
                **tls,
            )
            named: list[Any] = [client, *client.nodes_manager.startup_nodes.values()]
            for one in named:
                one.connection_kwargs["redis_connect_func"] = self._connected
            return client
        each: dict[str, Any] = {**common, "retry": once, "redis_connect_func": self._connected}
        if at.kind == "sentinel":
            login = {
                "username": settings.sentinel_user or None,
                "password": settings.sentinel_password or None,
                "socket_timeout": settings.timeout,
                "retry": once,
                **({"ssl": True} if at.tls else {}),
                **tls,
            }
            watchers: Any = Sentinel  # without types
            sentinel = watchers(list(at.hosts), sentinel_kwargs=login)
            return _AtMaster(
                sentinel,
                sentinel.master_for(at.service, db=at.database, ssl=at.tls, **each, **tls),
            )
        kind: Any = Connection
        if at.kind == "unix":
            kind, each["path"] = UnixDomainSocketConnection, at.path
        else:
            kind = SSLConnection if at.tls else Connection
            each["host"], each["port"] = at.hosts[0]
        pool = BlockingConnectionPool(
            max_connections=settings.pool,
            timeout=settings.timeout,
            connection_class=kind,
            db=at.database,
            **each,
            **tls,
        )
        return Redis.from_pool(pool)

    async def _connected(self, connection: Any) -> None:
        if len(self._sockets) > 4 * self.address.settings.pool:
            self._sockets = {one for one in self._sockets if one.is_connected}
        self._sockets.add(connection)
        await connection.on_connect()
        self._made += 1

    def _gave_up(self, operation: str, error: Exception) -> BackendUnavailable:
        tried = f"{type(error).__name__}: {error}".rstrip(": .")
        known = self._away is not None
        self._away = BackendUnavailable(
            ENGINE,
            operation,
            f"{self.address.masked} does not answer ({tried})",
            fix="Check that this Redis runs and can be reached from here. Nothing was lost: the "
            "rows have every message, and what Redis lacks is made anew from them.",
            cause=error,
        )
        if not known:
            _log.error("redis_is_away", url=self.address.masked, operation=operation, error=tried)
        return self._away

    def _refused(self, operation: str, error: Exception) -> EngineError:
        text = (
            f"{self.address.masked} refuses it ({type(error).__name__}: {str(error).rstrip('.')})"
        )
        # Redis 6 tells of it within the failure of a script, and the client takes the word away.
        full = isinstance(error, _exceptions().OutOfMemoryError) or any(
            word in str(error) for word in ("OOM", "MISCONF")
        )
        kind = BackendUnavailable if full or "Auth" in type(error).__name__ else EngineError
        return kind(
            ENGINE,
            operation,
            text,
            fix="Give it more memory or disk, or remove what else it holds."
            if full
            else "Check the user, the password and the rights in the URL, and that it is a Redis "
            "of version 6.2 or newer.",
            cause=error,
        )

    async def close(self) -> None:
        """Close all connections. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        here = asyncio.get_running_loop()
        going_on = [task for task in self._going_on if task.get_loop() is here]
        if going_on:
            await asyncio.wait(going_on)
        client, self._client = self._client, None
        if client is None:
            return
        if self._loop is not None and self._loop() is asyncio.get_running_loop():
            await client.aclose()
            for connection in self._sockets:
                await connection.disconnect(nowait=True)
        else:
            self._drop(client)
        self._sockets.clear()

    def _drop(self, client: Any) -> None:
        """Close the sockets of a client whose event loop does not run any more."""
        if hasattr(client, "nodes_manager"):
            client._initialize = True  # as after aclose(), so that it does not complain
        for connection in self._sockets:
            writer: Any = connection._writer
            connection._writer = connection._reader = None
            if writer is None:
                continue
            transport: Any = writer.transport
            # Of TLS, the transport below it. A closed loop closes no transport any more.
            below: Any = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
            sock = getattr(below, "_sock", None)
            if sock is not None:
                below._sock, below._closing = None, True
                sock.close()
            if hasattr(transport, "_ssl_protocol"):
                transport._closed = True
        self._sockets.clear()


class _AtMaster:
    """A client of the master that Sentinels name; closing it closes those to the Sentinels, too."""

    def __init__(self, sentinel: Any, client: Any) -> None:
        self._sentinel, self._client = sentinel, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        for watcher in self._sentinel.sentinels:
            await watcher.aclose()


def _exceptions() -> Any:
    try:
        from redis import exceptions
    except ImportError as error:
        raise MissingDependencyError("redis", "redis", cause=error) from error
    return exceptions


def _is_of_client(error: AttributeError) -> bool:
    """Whether the client itself has failed: it uses connections that another task has just closed.

    redis-py then misses its writer (seen with 8.1, in a cluster that loses a node).
    """
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith("redis.")


def _is_one(told: dict[str, Any]) -> bool:
    """Whether an answer to INFO is one server's, and not by server."""
    return not all(isinstance(value, dict) for value in told.values())


async def _answer(client: Any, words: Sequence[Any]) -> Any:
    """The answer to a command; where the server refuses it as a script that it lacks, the error."""
    exceptions = _exceptions()
    try:
        return await client.execute_command(*words)
    except exceptions.NoScriptError as error:
        return error


async def _scanned(client: Any, pattern: str) -> list[bytes]:
    return [key async for key in client.scan_iter(match=pattern, count=1000)]
