"""Calls to a Qdrant server or the client's local mode: connections, retries, errors."""

from __future__ import annotations

import asyncio
import random
import re
import time
import warnings
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import BackendUnavailable, EngineError
from .settings import IN_MEMORY, QdrantSettings

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

T = TypeVar("T")

NAME = "qdrant"
#: Conditional updates and a collection's metadata came with this version.
OLDEST = (1, 16)
#: Term weights by the rows of one user came with this version.
PER_USER_WEIGHTS = (1, 19)
#: Updates that never insert came with this version.
UPDATE_ONLY = (1, 17)

_TRIES = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
# For how many time-outs a request is sent again.
_TIMEOUTS = 3
_TOO_MANY, _TOO_LARGE, _CONFLICT, _NOT_FOUND = 429, 413, 409, 404
_UNAUTHORISED = frozenset({401, 403})
_SERVER_ERROR = 500
_GRPC_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"})
_GRPC_STATUS = {
    "NOT_FOUND": _NOT_FOUND,
    "ALREADY_EXISTS": _CONFLICT,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "INTERNAL": _SERVER_ERROR,
}
_EXISTS = re.compile(r"already exists", re.IGNORECASE)
# The local mode advises against more rows than this; the docs say the same.
_LARGE = "Local mode is not recommended"
#: What the error says where a folder of the local mode is open already.
IN_USE = "open in another process, or in another memory of this one"
_INSECURE = "Api key is used with an insecure connection"


class NotFoundInQdrant(EngineError):
    """A collection, or another thing that a request names, does not exist."""


class AlreadyExists(EngineError):
    """What was to be made exists already."""


class Server:
    """A Qdrant server, or the client's local mode in this process.

    Open one with :meth:`open`.

    Args:
        settings: where it is, and how it is spoken to.
    """

    def __init__(self, settings: QdrantSettings) -> None:
        self.settings = settings
        #: (major, minor) of the server; in local mode, of the client.
        self.version: tuple[int, int] = (0, 0)
        self.version_text = ""
        self._local: AsyncQdrantClient | None = None
        # Connections belong to the event loop in which they were made.
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncQdrantClient] = (
            weakref.WeakKeyDictionary()
        )
        self._closed = False

    @classmethod
    async def open(cls, settings: QdrantSettings) -> Server:
        """Connect, and ask for the version.

        Raises:
            BackendUnavailable: it does not answer, or it is older than :data:`OLDEST`.
            EngineError: it cannot be used.
        """
        server = cls(settings)
        try:
            if settings.is_local:
                # It reads all points.
                server._local = await asyncio.to_thread(server._connect)
            info = await server.call("open", lambda client: client.info())
        except EngineError:
            await server.close()
            raise
        except Exception as error:
            await server.close()
            raise server._failed("open", error) from error
        server.version_text = info.version
        found = re.match(r"(\d+)\.(\d+)", info.version)
        server.version = (int(found[1]), int(found[2])) if found else OLDEST
        if server.version < OLDEST:
            await server.close()
            raise BackendUnavailable(
                NAME,
                "open",
                f"{settings.shown} is Qdrant {info.version}, and {_dotted(OLDEST)} is the oldest "
                "that has conditional updates and metadata",
                fix=f"Upgrade the server, best to {_dotted(PER_USER_WEIGHTS)} or later.",
            )
        return server

    def _connect(self) -> AsyncQdrantClient:
        from qdrant_client import AsyncQdrantClient

        settings = self.settings
        if settings.path is not None:
            if settings.path == IN_MEMORY:
                return AsyncQdrantClient(settings.path)
            _refuse_in_use(settings.path)
            return AsyncQdrantClient(path=settings.path, force_disable_check_same_thread=True)
        with warnings.catch_warnings():
            # The doctor says so.
            warnings.filterwarnings("ignore", message=_INSECURE, category=UserWarning)
            return AsyncQdrantClient(
                url=settings.address,
                prefix=settings.prefix or None,
                api_key=settings.api_key,
                timeout=settings.timeout,
                prefer_grpc=settings.grpc,
                grpc_port=settings.grpc_port,
                check_compatibility=False,
            )

    def _client(self) -> AsyncQdrantClient:
        if self._closed:
            raise EngineError(NAME, "answer", "it is closed", fix="Open the memory again.")
        if self._local is not None:
            return self._local
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = self._connect()
        return found

    async def call(self, operation: str, request: Callable[[AsyncQdrantClient], Awaitable[T]]) -> T:
        """Send a request, again where that may help: so it has to be idempotent.

        Args:
            operation: what is being done, for errors.
            request: sends it.

        Raises:
            BackendUnavailable: the server is away, too slow, overloaded, or refuses the key.
            NotFoundInQdrant: something that the request names does not exist.
            AlreadyExists: what was to be made does.
            EngineError: it refused the request.
        """
        client = self._client()
        if self._local is not None:
            try:
                # It runs here, without a step aside, so no other warning is silenced.
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message=_LARGE, category=UserWarning)
                    return await request(client)
            except EngineError:
                raise
            except Exception as error:
                raise self._failed(operation, error) from error
        until = time.monotonic() + self.settings.timeout * _TIMEOUTS
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            try:
                return await request(client)
            except EngineError:
                raise
            except Exception as error:
                asked = _again(error)
                pause = max(wait * random.uniform(0.5, 1.0), asked or 0.0)  # noqa: S311 - no secret
                late = time.monotonic() + pause > until
                if asked is None or attempt == _TRIES or late:
                    raise self._failed(operation, error, attempt) from error
                await asyncio.sleep(pause)
                wait = min(2 * wait, _LONGEST_WAIT)
        raise AssertionError("unreachable")

    def _failed(self, operation: str, error: Exception, tries: int = 1) -> EngineError:
        """The failure of a request as an error of ours, which names the URL."""
        where = self.settings.shown
        tried = f" (tried {tries} times)" if tries > 1 else ""
        problem = f"{where}: {_said(error)}{tried}"
        status = _status(error)
        if status in _UNAUTHORISED:
            return BackendUnavailable(
                NAME,
                operation,
                problem,
                fix="Give its API key as BRUNO_MEMORY_QDRANT_API_KEY or QDRANT_API_KEY in the "
                "environment, or as the setting qdrant_api_key.",
                cause=error,
            )
        if status == _NOT_FOUND:
            return NotFoundInQdrant(
                NAME, operation, problem, fix="Open the memory again.", cause=error
            )
        if status == _CONFLICT:
            return AlreadyExists(
                NAME, operation, problem, fix="Open the memory again.", cause=error
            )
        if status == _TOO_LARGE:
            return EngineError(
                NAME,
                operation,
                problem,
                fix="Raise service.max_request_size_mb of the server, or lower max_content_chars.",
                cause=error,
            )
        if self.settings.is_local:
            return EngineError(
                NAME,
                operation,
                problem,
                fix="Check the folder, and that no other process has it open.",
                cause=error,
            )
        if _again(error) is not None or status is None:
            return BackendUnavailable(
                NAME,
                operation,
                problem,
                fix="Check that the server runs and can be reached, or raise ?timeout= in the URL.",
                cause=error,
            )
        return EngineError(
            NAME,
            operation,
            problem,
            fix="The server refused the request: see its log, and run bruno-memory-vec doctor.",
            cause=error,
        )

    async def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._closed = True
        local, self._local = self._local, None
        if local is not None:
            await local.close()
        # Those of an earlier event loop ended with it.
        client = self._clients.pop(asyncio.get_running_loop(), None)
        self._clients.clear()
        if client is not None:
            await client.close()


def _refuse_in_use(path: str) -> None:
    """Refuse a folder that is open in local mode: the client would leave its lock's file open.

    Raises:
        RuntimeError: it is.
    """
    import portalocker

    lock = Path(path) / ".lock"
    if not lock.exists():
        return
    with lock.open("r+") as file:
        how = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
        try:
            portalocker.lock(file, how)
        except portalocker.exceptions.LockException as error:
            raise RuntimeError(f"{path} is {IN_USE}") from error
        portalocker.unlock(file)


def _again(error: Exception) -> float | None:
    """How long to wait at least before the same request may succeed; None where it never will."""
    source = getattr(error, "source", None)
    if source is not None:
        import httpx

        return 0.0 if isinstance(source, httpx.TransportError) else None
    after = getattr(error, "retry_after_s", None)
    if after is not None:
        return min(float(after), _LONGEST_WAIT)
    name = _grpc_code(error)
    if name is not None:
        return 0.0 if name in _GRPC_AGAIN else None
    status = _status(error)
    if status is not None and (status == _TOO_MANY or status >= _SERVER_ERROR):
        return 0.0
    return None


def _grpc_code(error: Exception) -> str | None:
    code = getattr(error, "code", None)
    name = getattr(code(), "name", None) if callable(code) else None
    return name if isinstance(name, str) else None


def _status(error: Exception) -> int | None:
    """The HTTP status of a refusal, whichever protocol it came by; None for none."""
    if _EXISTS.search(_said(error)):
        return _CONFLICT
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    name = _grpc_code(error)
    if name is not None:
        return _GRPC_STATUS.get(name, 400 if name not in _GRPC_AGAIN else None)
    # Of the local mode: a collection, or a point.
    if isinstance(error, KeyError) or (isinstance(error, ValueError) and "not found" in str(error)):
        return _NOT_FOUND
    return None


def _said(error: Exception) -> str:
    """What went wrong, in one line."""
    content = getattr(error, "content", None)
    if isinstance(content, bytes):
        said = f"{getattr(error, 'status_code', '')} {content.decode('utf-8', 'replace')[:500]}"
    else:
        source = getattr(error, "source", None)
        details = getattr(error, "details", None)
        of = source if isinstance(source, Exception) else error
        said = str(details()) if callable(details) else str(of)
        said = f"{type(of).__name__}: {said}" if said else type(of).__name__
    return " ".join(said.split())


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
