"""The ASGI application, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from bruno_memory_vec._version import __version__
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.surfaces.http import problems
from bruno_memory_vec.surfaces.http.guard import Guard
from bruno_memory_vec.surfaces.http.metrics import scrape
from bruno_memory_vec.surfaces.http.operations import Undecoded
from bruno_memory_vec.surfaces.http.problems import FieldProblem, Problem
from bruno_memory_vec.surfaces.http.routes import ROUTERS
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Tokens
from bruno_memory_vec.upkeep.probe import CLOSED, probe

_ABOUT: Final = """The memory of AI assistants: messages and memories stored, recalled by words and
meaning, put into prompts.

A call is one user's, by its token. An administrator's token, and a server without tokens, name the
user in the query: `?user_id=ana`. What is another user's does not exist: 404. Every error is a
problem (RFC 9457) whose `fix` says what to do. Lists come in pages: give `next` as `after`. Times
are ISO 8601; one without an offset is UTC."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def make_app(
    memory: VectorMemory,
    *,
    tokens: Tokens | None = None,
    settings: ServerSettings | None = None,
    routes: Sequence[BaseRoute] = (),
) -> FastAPI:
    """The application of a memory: its API under ``/v1``, probes and ``/openapi.json``.

    It opens the memory when it starts, and closes it, with all that is pending, when it ends.
    ``app.state`` has ``memory``, ``tokens``, ``settings`` and ``closing``, an event that is set
    when streams have to end.

    Args:
        memory: the whole memory, open or not.
        tokens: who may call. None: anybody who reaches the server may do everything, so it must
            listen on this machine only.
        settings: its limits.
        routes: further ones, such as pages or metrics. They pass the same limits, and say
            themselves who may see them: :func:`.caller.caller_memory`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await memory.connect()
        app.state.closing.clear()
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            app.state.closing.set()
            await memory.close()

    app = FastAPI(
        title="bruno-memory-vec",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    chosen = settings or ServerSettings()
    app.state.memory, app.state.tokens, app.state.settings = memory, tokens, chosen
    app.state.ready, app.state.closing = False, asyncio.Event()
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    described = _described(app, secured=tokens is not None)
    app.add_api_route("/openapi.json", described, include_in_schema=False)
    app.add_api_route("/healthz", _alive, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/readyz", _ready, methods=["GET", "HEAD"], include_in_schema=False)
    if memory.config.metrics not in (False, "process"):
        app.add_route("/metrics", scrape, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_route("/v1/{rest:path}", _no_operation, methods=list(_METHODS), include_in_schema=False)
    app.router.routes.extend(routes)
    app.add_middleware(Undecoded)
    app.add_middleware(Guard, settings=chosen, tokens=tokens)
    return app


async def _no_operation(request: Request) -> Response:
    """What no operation answers: an address that there is none of, or with other methods."""
    known: set[str] = set()
    for router in ROUTERS:
        for route in router.routes:
            if route.matches(request.scope)[0] is not Match.NONE:
                known |= getattr(route, "methods", None) or set()
    if known:
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(known))})
    raise HTTPException(404)


async def _alive() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "alive"})


async def _ready(request: Request) -> JSONResponse:
    """The store is open, and its engines answer. What is wrong, /v1/health tells who may see it."""
    state = request.app.state
    found = await probe(state.memory) if state.ready else CLOSED
    return JSONResponse({"status": found.status}, found.http_status)


def _described(app: FastAPI, *, secured: bool) -> Any:
    """A function that answers with the description of the API, made when it is first asked for."""
    made: dict[str, Any] = {}

    async def openapi() -> JSONResponse:
        if not made:
            made.update(description_of(app, secured=secured))
        return JSONResponse(made)

    return openapi


def description_of(app: FastAPI, *, secured: bool) -> dict[str, Any]:
    """The OpenAPI document of an application.

    Args:
        app: of :func:`make_app`.
        secured: whether calls need a token.
    """
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = found["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    template = "#/components/schemas/{model}"
    for model in (FieldProblem, Problem):
        schema = model.model_json_schema(ref_template=template)
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    found["components"]["responses"] = {
        str(status): _response(status) for status in problems.STATUSES
    }
    for path in found["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            for status in problems.STATUSES:
                responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
            if not secured:
                operation.pop("security", None)
    if not secured:
        found["components"].pop("securitySchemes", None)
    return found


def _response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": _MEANING[status],
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


_MEANING: Final = {
    400: "The request cannot be read.",
    401: "There is no token that counts.",
    403: "The token may not do this, or the server only reads.",
    404: "There is no such thing for this user.",
    409: "It does not go with how things are.",
    413: "The body is too large.",
    422: "A field is refused; nothing was written.",
    429: "The token has too many calls.",
    500: "The server failed.",
    503: "The store cannot be reached, or took too long; try again.",
}
