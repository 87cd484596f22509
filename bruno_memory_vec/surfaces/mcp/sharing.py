"""Several servers on one folder: who writes to it answers what the others would write.

A folder has one writing process, and a person has several clients, each of which starts a server of
its own. So the server that has the folder open to write listens at a socket in it. The others read
by themselves, and pass calls of the tools that write on to it: the tool, its arguments, whose call
it is. When it ends, the next one that has something to write takes its place.

The socket is its owner's alone, as the files of the store are, so who can connect could as well
write the folder. There is nothing to be read through it but the answers to one's own calls.

A message is its length in four bytes and JSON. The one who listens says that it has taken a call
before it does anything, so that a call which it has not taken can be made elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

#: Its name in the folder.
SOCKET: Final = "mcp.sock"
_LOG: Final = logging.getLogger(__name__)
_PROTOCOL: Final = 1
# The name of a socket may have about a hundred bytes, of which systems differ.
_LONGEST_NAME: Final = 100
_MOST_BYTES: Final = 16 * 1024 * 1024
# Seconds in which a message has to be there once its sender has connected.
_SENT_WITHIN: Final = 10.0
# Seconds in which calls under way may end.
_GRACE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Passed:
    """A call that is passed on.

    Attributes:
        tool: the name of the tool.
        arguments: what it was called with.
        user_id: whose call it is.
        role: what it may do, as of ``for_user``.
        spaces: shared spaces that it may use.
        name: who calls, for the audit trail.
    """

    tool: str
    arguments: dict[str, Any]
    user_id: str
    role: Any
    spaces: Any
    name: str


#: Answers a call: the result of the tool as the protocol has it.
Answer = Callable[[Passed], Awaitable[dict[str, Any]]]


class AnswerLost(Exception):
    """The other server had taken a call, and ended before it said what became of it."""


class Host:
    """Listens in a folder for the calls of other servers.

    Args:
        folder: the store, which this process has open to write.
        answer: does what is asked.
    """

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._folder, self._answer = folder, answer
        self._server: asyncio.AbstractServer | None = None
        # Those who have connected, and whether their call was taken.
        self._calls: dict[asyncio.Task[Any], bool] = {}

    async def start(self) -> None:
        """Begin to listen. Where that cannot be, the log says so, and others only read."""
        if not hasattr(socket, "AF_UNIX"):
            return
        sock = socket.socket(socket.AF_UNIX)
        try:
            with _short_name(self._folder) as name:
                # Who holds the lock of the folder is the only one to listen: this is of one that
                # was killed.
                (self._folder / SOCKET).unlink(missing_ok=True)
                sock.bind(name)
            # Nobody can connect before it listens.
            os.chmod(self._folder / SOCKET, 0o600)
            self._server = await asyncio.start_unix_server(self._serve, sock=sock)
        except OSError as error:
            sock.close()
            _LOG.warning("other servers only read %s beside this one: %s", self._folder, error)

    async def close(self) -> None:
        """Take no more calls, and end those that were taken."""
        if self._server is None:
            return
        server, self._server = self._server, None
        with suppress(OSError):
            (self._folder / SOCKET).unlink(missing_ok=True)
        server.close()
        for task, taken in list(self._calls.items()):
            if not taken:
                task.cancel()
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=_GRACE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = False
        try:
            asked = await asyncio.wait_for(_received(reader), _SENT_WITHIN)
            call = None if asked.pop("protocol", None) != _PROTOCOL else Passed(**asked)
            # From here on it is done, also where close() is called.
            self._calls[task] = call is not None and self._server is not None
            await _send(writer, {"taken": self._calls[task]})
            if call is not None and self._calls[task]:
                await _send(writer, await self._answer(call))
        except (OSError, ValueError, TypeError, EOFError, asyncio.TimeoutError) as error:
            _LOG.debug("a call of another server was not answered: %r", error)
        finally:
            del self._calls[task]
            writer.close()


async def pass_on(folder: Path, call: Passed) -> dict[str, Any] | None:
    """Let the server that writes to a folder answer a call.

    Returns: the result of the tool as the protocol has it; None where no server took the call, so
    that nothing was done.

    Raises:
        AnswerLost: it was taken, and what became of it is not known.
    """
    if not hasattr(socket, "AF_UNIX") or not _is_own(folder / SOCKET):
        return None
    try:
        with _short_name(folder) as name:
            reader, writer = await asyncio.open_unix_connection(name)
    except OSError:
        return None  # it has ended
    try:
        try:
            await _send(writer, {"protocol": _PROTOCOL, **asdict(call)})
            if not (await _received(reader)).get("taken"):
                return None
        except (OSError, ValueError, EOFError):
            return None
        try:
            return await _received(reader)
        except (OSError, ValueError, EOFError) as error:
            raise AnswerLost from error
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()


async def _received(reader: asyncio.StreamReader) -> dict[str, Any]:
    """A message.

    Raises:
        EOFError: the other side has gone.
        ValueError: it is none.
    """
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > _MOST_BYTES:
        raise ValueError(f"a message of {length} bytes")
    message = json.loads(await reader.readexactly(length))
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message


def _is_own(path: Path) -> bool:
    """Whether this user has made a file that is there; what others ask for is not answered."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


@contextmanager
def _short_name(folder: Path) -> Iterator[str]:
    """A name of the folder's socket that is short enough."""
    name = str(folder / SOCKET)
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        yield name
        return
    with tempfile.TemporaryDirectory(prefix="bruno-") as beside:
        link = Path(beside, "s")
        link.symlink_to(folder, target_is_directory=True)
        yield str(link / SOCKET)
