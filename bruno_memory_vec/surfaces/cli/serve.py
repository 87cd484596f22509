"""``serve``: the memory over HTTP, with its pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Profile, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from fastapi import FastAPI

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045


def serve(
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    profile: Profile = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")] = 8420,
    tokens: Annotated[
        Optional[Path],
        typer.Option("--tokens", metavar="FILE", help="Who may call: see `token`."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Read beside a process that writes.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Show the pages in a browser.")] = False,
    json: Json = False,
) -> None:
    """Serve the memory over HTTP, on this machine unless there are tokens."""

    async def work(out: Out) -> int:
        from bruno_memory_vec.memory import VectorMemory
        from bruno_memory_vec.surfaces.cli.opening import configuration
        from bruno_memory_vec.surfaces.http import make_app, needs
        from bruno_memory_vec.surfaces.http.settings import LOOPBACK
        from bruno_memory_vec.surfaces.http.tokens import Tokens

        needs("uvicorn", "fastapi")
        config = configuration(store, embedder, profile, sessions)
        config = config.model_copy(update={"read_only": read_only or config.read_only})
        allowed = None if tokens is None else Tokens(tokens)
        if allowed is None and host not in LOOPBACK:
            raise CliError(
                f"{host} can be reached from elsewhere, and the server has no tokens",
                "Make one with: bruno-memory-vec token --tokens FILE --user USER, and add "
                "--tokens FILE",
                code=MISUSED,
            )
        await _run(make_app(VectorMemory(config=config), tokens=allowed), host, port)
        return 0

    execute(json, work)


async def _run(app: FastAPI, host: str, port: int) -> None:
    import uvicorn

    settings: dict[str, Any] = {"access_log": False, "proxy_headers": False}
    await uvicorn.Server(uvicorn.Config(app, host=host, port=port, **settings)).serve()
