"""A TCP proxy on loopback that cuts, refuses, delays and slows what passes through it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.servers.processes import LOOPBACK

T = TypeVar("T")

_CHUNK = 65_536
_PIECE = 512  # bytes at once where the bandwidth is limited


class Proxy:
    """Passes connections on to a server. It runs in a thread of its own, with its own event loop.

    So it works for blocking clients, for asynchronous ones and for other processes. ``with`` starts
    and ends it. Its faults are set while it runs:

    - :meth:`cut`: reset the connections that are open; new ones are accepted.
    - :meth:`cut_after`: reset a connection in the middle of what it carries.
    - :meth:`refuse` and :meth:`accept`: nothing listens any more, and again on the same port.
    - :meth:`hold` and :meth:`let_go`: connections stay open and nothing passes, as with a server
      that hangs or a network that loses all packets.
    - ``delay``: seconds that each chunk waits, in both directions.
    - ``bandwidth``: bytes a second of each direction of a connection; None for no limit.

    Args:
        host: the server's.
        port: the server's.
        tls: TLS as clients have to speak it with the proxy; the server gets plain text.
    """

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.host = LOOPBACK
        self.port = 0
        self.delay = 0.0
        self.bandwidth: float | None = None
        #: How many connections it has accepted.
        self.accepted = 0
        #: How many it has reset in the middle of what they carried.
        self.cuts = 0
        self._server_at = (host, port)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], Callable[[], None]] = {}
        self._left: dict[str, int | None] = {"sent": None, "received": None}
        self._flowing: asyncio.Event | None = None

    def cut(self) -> None:
        """Reset all connections that are open."""
        self._do(self._reset_all())

    def cut_after(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Reset a connection after so many more bytes, once.

        Args:
            sent: bytes from clients to the server: 0 loses the next command, some 10 cut it.
            received: bytes from the server to clients: 0 lets the next command be executed and
                loses its answer.
        """

        async def set_them() -> None:
            self._left = {"sent": sent, "received": received}

        self._do(set_them())

    def refuse(self) -> None:
        """Reset all connections and refuse new ones."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._do(self._listen())

    def hold(self) -> None:
        """Let nothing pass; connections stay open and new ones are accepted."""

        async def clear() -> None:
            assert self._flowing is not None
            self._flowing.clear()

        self._do(clear())

    def let_go(self) -> None:
        """Let it pass again, what has been held first."""

        async def let() -> None:
            assert self._flowing is not None
            self._flowing.set()

        self._do(let())

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._flowing is None:
            self._flowing = asyncio.Event()
            self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accepted, self.host, self.port, ssl=self._tls, limit=_CHUNK
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset_all()

    async def _reset_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            self._open[task]()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            from_server, to_server = await asyncio.open_connection(*self._server_at, limit=_CHUNK)
        except OSError:
            _reset(writer)
            return

        def reset() -> None:
            _reset(writer)
            _reset(to_server)

        task = asyncio.ensure_future(
            self._carry(reader, writer, from_server, to_server, reset),
        )
        self._open[task] = reset
        task.add_done_callback(lambda done: self._open.pop(done, None))
        await asyncio.wait([task])

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        reset: Callable[[], None],
    ) -> None:
        """Carry both directions until one of them ends."""
        directions = [
            asyncio.ensure_future(self._pass_on("sent", reader, to_server)),
            asyncio.ensure_future(self._pass_on("received", from_server, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            reset()

    async def _pass_on(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert self._flowing is not None
        while chunk := await reader.read(_CHUNK if self.bandwidth is None else _PIECE):
            await self._flowing.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.bandwidth is not None:
                await asyncio.sleep(len(chunk) / self.bandwidth)
            left = self._left[direction]
            if left is not None:
                if len(chunk) >= left:
                    self._left[direction] = None
                    self.cuts += 1
                    if left:
                        writer.write(chunk[:left])
                        await writer.drain()
                    return  # whoever carries resets both sides
                self._left[direction] = left - len(chunk)
            writer.write(chunk)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side gets a reset, not an orderly end."""
    connection = writer.get_extra_info("socket")
    if isinstance(connection, socket.socket) or hasattr(connection, "setsockopt"):
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            return  # closed already
    writer.transport.abort()
