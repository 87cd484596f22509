"""The ASGI application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import BaseRoute

from bruno_memory_vec._version import __version__
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.surfaces.http.routes import recall
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Tokens


def make_app(
    memory: VectorMemory,
    *,
    tokens: Tokens | None = None,
    settings: ServerSettings | None = None,
    routes: Sequence[BaseRoute] = (),
) -> FastAPI:
    """The application of a memory: its API under ``/v1``, ``/healthz`` and ``/openapi.json``.

    It opens the memory when it starts, and closes it, with all that is pending, when it ends.

    Args:
        memory: the whole memory, open or not.
        tokens: who may call. None: anybody who reaches the server may do everything, so it must
            listen on this machine only.
        settings: its limits.
        routes: further ones, such as pages or metrics.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await memory.connect()
        try:
            yield
        finally:
            await memory.close()

    app = FastAPI(
        title="bruno-memory-vec",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.memory = memory
    app.state.tokens = tokens
    app.state.settings = settings or ServerSettings()
    app.include_router(recall.router, prefix="/v1")
    app.router.routes.extend(routes)
    return app
