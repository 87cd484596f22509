"""``mcp``: the memory as tools of an assistant, over the Model Context Protocol."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Profile, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.surfaces.mcp.opened import Opened

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045

#: Where it listens.
DEFAULT_PORT = 8321
_WAITING = 1_024

# Somebody has typed the command, where a client starts it.
_AT_A_TERMINAL = """This waits for an MCP client on stdin. A client starts it by itself, such as:
  claude mcp add memory -- bruno-memory-vec mcp --store FOLDER --user USER
Ctrl-C ends it. --http serves clients that are elsewhere."""


def mcp(
    store: Store = None,
    user: Annotated[
        Optional[str],
        typer.Option(
            "--user",
            "-u",
            metavar="USER",
            help="Whose memory it is.  [default: BRUNO_MEMORY_DEFAULT_USER, else default]",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve over streamable HTTP, not over stdin and stdout.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="With --http: where to listen.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --http; 0 for any that is free.")
    ] = DEFAULT_PORT,
    tokens: Annotated[
        Optional[Path],
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="With --http: the file of bearer tokens, which say whose a call is; made by "
            "bruno-memory-vec token.",
        ),
    ] = None,
    hosts: Annotated[
        Optional[List[str]],
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="With --http: a name by which clients reach this server; may be given several "
            "times.",
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Without the tools remember and forget.")
    ] = False,
    sessions: Sessions = None,
    embedder: Embedder = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Give an assistant this memory: its tools recall, remember, context, list, show and forget.

    A client such as Claude Code starts it by itself: claude mcp add memory -- bruno-memory-vec mcp
    --store FOLDER --user USER. On stdin and stdout is the protocol; what there is to say goes to
    stderr. With --http one server answers any number of clients at http://HOST:PORT/mcp, each user
    by a token of theirs. With --json it says its address as JSON.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.cli.opening import configuration
        from bruno_memory_vec.surfaces.mcp import require_mcp

        if not http:
            for given, option in ((tokens, "--tokens"), (hosts, "--allow-host"), (json, "--json")):
                if given:
                    raise CliError(f"{option} needs --http", code=MISUSED)
        require_mcp()
        config = configuration(store, embedder, profile, sessions)
        if read_only or config.read_only:
            from bruno_memory_vec.surfaces.cli.opening import existing

            config = config.model_copy(update={"read_only": True})
            await existing(config)
        from bruno_memory_vec.surfaces.mcp.opened import Opened

        opened = Opened(config)
        try:
            if http:
                await _serve_http(out, opened, user, host, port, tokens, hosts or [])
            else:
                if sys.stdin.isatty():
                    out.say(_AT_A_TERMINAL)
                await _serve_stdio(opened, config, user)
        finally:
            await opened.close()
        return 0

    # Over stdio nothing but the protocol may be on stdout.
    execute(json and http, work)


async def _serve_stdio(opened: Opened, config: MemoryConfig, user: str | None) -> None:
    from bruno_memory_vec.rows.checks import identifier
    from bruno_memory_vec.surfaces.mcp.server import Identity
    from bruno_memory_vec.surfaces.mcp.transports import serve_stdio

    whose = config.default_user if user is None else identifier("user", user)
    await serve_stdio(opened, Identity(whose))


async def _serve_http(
    out: Out,
    opened: Opened,
    user: str | None,
    host: str,
    port: int,
    tokens: Path | None,
    hosts: list[str],
) -> None:
    from bruno_memory_vec.rows.checks import identifier
    from bruno_memory_vec.surfaces.cli.token import opened_tokens
    from bruno_memory_vec.surfaces.mcp.server import Identity
    from bruno_memory_vec.surfaces.mcp.transports import PATH, serve_http

    if tokens is not None and user is not None:
        raise CliError("--user and --tokens contradict each other: a token says whose a call is",
                       "Leave --user out", code=MISUSED)  # fmt: skip
    if tokens is None and not _is_loopback(host):
        raise CliError(
            f"on {host} others reach this server, and without tokens anybody would be answered",
            "Make a token with bruno-memory-vec token, and name its file with --tokens",
            code=MISUSED,
        )
    if tokens is None and user is None:
        raise CliError("nothing says whose memory it is", "Add --user, or --tokens", code=MISUSED)
    known = None
    if tokens is not None:
        known = opened_tokens(out, tokens)
        if not known.known():
            raise CliError(
                f"{tokens} holds no token, so nobody would be answered",
                "Make one with: bruno-memory-vec token",
            )
    who = None if user is None else Identity(identifier("user", user))
    try:
        bound = _bound(host, port)
    except OSError as error:
        raise CliError(
            f"{host} port {port} cannot be listened to: {error.strerror or error}",
            "Give another with --host or --port; --port 0 takes one that is free",
        ) from error
    with bound:
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{bound.getsockname()[1]}{PATH}"
        if out.as_json:
            out.result(
                {"url": url, "tokens": known is not None, "read_only": opened.config.read_only}
            )
            sys.stdout.flush()
        whose = "of each user by a token" if known is not None else f"of the user {user!r}"
        out.say(f"serving the memory {whose} at {url}")
        await serve_http(opened, bound=bound, who=who, tokens=known, hosts=[host, *hosts])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # From here on a client that comes waits, and is answered as soon as the server runs.
        bound.listen(_WAITING)
    except BaseException:
        bound.close()
        raise
    return bound


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
