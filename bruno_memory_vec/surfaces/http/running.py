"""The process of a server: it listens, says where, and ends in order."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows.checks import shown
from bruno_memory_vec.surfaces.http.settings import LOOPBACK

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
#: Calls under way have so long to end.
ENDS_WITHIN_S: Final = 20


class Server(uvicorn.Server):
    """uvicorn's server, which tells when it listens, and ends streams and itself in order.

    Args:
        app: of :func:`.app.make_app`.
        listens: called once, when calls are answered.
        certificate: a PEM file; with it the server speaks TLS.
        certificate_key: the PEM file of its key, where that is another one.
        proxies: addresses and networks of proxies, of :func:`trusted`. What these say of a call in
            ``X-Forwarded-For`` and ``X-Forwarded-Proto`` is believed, and of nobody else.
    """

    def __init__(
        self,
        app: FastAPI,
        listens: Callable[[], None],
        *,
        certificate: Path | None = None,
        certificate_key: Path | None = None,
        proxies: Sequence[str] = (),
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # What is called, and by whom, is nobody's business but the audit trail's.
                access_log=False,
                log_config=None,
                log_level="warning",
                lifespan="on",
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=ENDS_WITHIN_S,
                ssl_certfile=None if certificate is None else str(certificate),
                ssl_keyfile=None if certificate_key is None else str(certificate_key),
            )
        )
        self._app, self._listens = app, listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the memory and begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._listens()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, wait for calls under way, and close the memory."""
        self._app.state.closing.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order at SIGINT or SIGTERM, and with the exit code of a command that is done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {
            one: signal.signal(one, self.handle_exit) for one in _SIGNALS
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: a name or an address of this machine.
        port: 0 for a free one.

    Raises:
        InvalidInputError: there is no such address, or it is taken.
    """
    sock = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        # asyncio sends small packets at once (TCP_NODELAY) only where the protocol is named;
        # otherwise an answer waits 40 ms for the client's acknowledgement.
        sock = socket.socket(family, kind, socket.IPPROTO_TCP)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
        return sock
    except (OSError, UnicodeError) as error:
        if sock is not None:
            sock.close()
        raise InvalidInputError(
            "host",
            f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}",
            fix="Give another --port, such as 0 for a free one, or an address of this machine.",
            cause=error,
        ) from error


def address_of(sock: socket.socket, host: str, *, tls: bool) -> str:
    """The address of a server for people, without a slash at its end."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host  # noqa: S104
    shown = f"[{shown}]" if ":" in shown else shown
    return f"{'https' if tls else 'http'}://{shown}:{sock.getsockname()[1]}"


def trusted(proxies: Sequence[str]) -> tuple[str, ...]:
    """Proxies, as :class:`Server` takes them.

    Args:
        proxies: addresses ("127.0.0.1") and networks ("172.16.0.0/12").

    Raises:
        InvalidInputError: one is neither. A name is none: whoever answers for it could change.
    """
    found: list[str] = []
    for given in proxies:
        try:
            network = ipaddress.ip_network(given)
        except ValueError as error:
            raise InvalidInputError(
                "trust_proxy",
                f"is {shown(given)}, which is no address and no network",
                fix="Give the proxy's address, such as 127.0.0.1, or its network, such as "
                "172.16.0.0/12.",
                cause=error,
            ) from error
        found.append(str(network))
        if network.version == 4:
            # A socket that listens for both kinds names those of the older kind so.
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    return host.lower() in LOOPBACK or host.startswith("127.")
