"""How a client reaches the server: over the standard streams of a process, or over HTTP.

Over stdio the user is the configuration's. Over HTTP each request has a bearer token, which says
whose it is; without tokens only this machine is answered, for one user. A page of another site that
a browser of this machine shows cannot ask: its ``Host`` or ``Origin`` is none of those allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST
from pydantic import AnyHttpUrl

from bruno_memory_vec.surfaces.mcp.opened import Opened
from bruno_memory_vec.surfaces.mcp.server import Identity, make_server

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from bruno_memory_vec.surfaces.http.tokens import Tokens

_LOG: Final = logging.getLogger(__name__)
#: Names of this machine, from which nobody else is reached.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: Where the protocol is, on the server.
PATH: Final = "/mcp"
# Seconds in which requests under way may end.
_GRACE: Final = 5


async def serve_stdio(opened: Opened, who: Identity) -> None:
    """Serve one client over stdin and stdout, until it closes stdin or ends this process."""
    server = make_server(opened, lambda: who)
    opened.begin()
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []

    def end() -> None:
        if not ending:
            ending.append(loop.create_task(_end_now(opened)))

    with _signals(loop, end):
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())


async def _end_now(opened: Opened) -> None:
    """Close the store and end the process: a thread reads stdin, and nothing else ends that."""
    try:
        await opened.close()
    finally:
        logging.shutdown()
        os._exit(0)


async def serve_http(
    opened: Opened,
    *,
    bound: socket.socket,
    who: Identity | None,
    tokens: Tokens | None,
    hosts: Sequence[str],
) -> None:
    """Serve any number of clients over streamable HTTP, until the process is asked to end.

    Args:
        opened: the memory.
        bound: a socket that is bound to an address.
        who: whose calls are that come without a token; not beside tokens.
        tokens: says whose a call is.
        hosts: what a ``Host`` header may name, beside this machine's own names.
    """
    app = make_app(opened, who=who, tokens=tokens, hosts=hosts)
    # Requests are not logged: the address of one may hold what is nobody's business.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        lifespan="on",
        # Nothing here depends on who a proxy says is calling.
        proxy_headers=False,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    opened.begin()
    with _signals(loop, end):
        await server.serve(sockets=[bound])


def make_app(
    opened: Opened, *, who: Identity | None, tokens: Tokens | None, hosts: Sequence[str] = ()
) -> Starlette:
    """The ASGI application of a memory; arguments as of :func:`serve_http`."""
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection="*" not in hosts,
        allowed_hosts=[form for host in (*LOOPBACK, *hosts) for form in _with_ports(host)],
        allowed_origins=[
            f"{scheme}://{form}"
            for host in (*LOOPBACK, *hosts)
            for form in _with_ports(host)
            for scheme in ("http", "https")
        ],
    )
    if tokens is None:
        assert who is not None
        return make_server(opened, lambda: who).streamable_http_app(
            streamable_http_path=PATH, transport_security=security, max_sessions=_MOST_SESSIONS
        )
    verifier = _Verifier(tokens)
    server: Server[Any] = make_server(opened, verifier.identity)
    return server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=security,
        max_sessions=_MOST_SESSIONS,
        # There is no authorization server: tokens are made by who runs this one, and only the
        # check of them is used.
        auth=AuthSettings(
            issuer_url=AnyHttpUrl("http://localhost/"),
            resource_server_url=None,
            validate_token_resource=False,
        ),
        token_verifier=verifier,
    )


_MOST_SESSIONS: Final = 1_000


class _Verifier:
    """Whose a token is. It is looked up by its SHA-256, so the time of that tells nothing of it."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        found = self._tokens.check(token)
        if found is None:
            return None
        return AccessToken(
            token=token,
            client_id=found.name,
            scopes=[],
            subject=found.user_id,
            claims={"role": found.role, "spaces": dict(found.spaces)},
        )

    def identity(self) -> Identity:
        """Whose the request is that is answered now.

        Raises:
            MCPError: nobody's.
        """
        token = get_access_token()
        if token is None or token.subject is None:
            raise MCPError(INVALID_REQUEST, "the request has no token that counts")
        claims = token.claims or {}
        # An admin may name users, and a model may not: here it has the user's own rows.
        role = "reader" if claims.get("role") == "reader" else "member"
        return Identity(token.subject, role, claims.get("spaces") or None, token.client_id)


class _Server(uvicorn.Server):
    """uvicorn whose signals are handled around it, so that the store is closed after it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Iterator[None]:
    """Do something when the process is asked to end."""
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        for name in names:
            loop.add_signal_handler(name, end)
    except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


def _with_ports(host: str) -> tuple[str, str]:
    name = f"[{host}]" if ":" in host else host
    return name, f"{name}:*"
