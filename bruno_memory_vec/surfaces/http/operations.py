"""What all operations have in common: strict JSON, no unknown parameters, ids of any characters."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn
from urllib.parse import unquote

from fastapi import APIRouter, Path
from fastapi import Request as FastAPIRequest
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_V1 = "/v1/"


class _IdConvertor(Convertor[str]):
    """A segment of a path that is not decoded yet: an id may have a slash, as %2F."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        # What is no UTF-8 becomes a lone surrogate, which no id may have.
        return unquote(value, errors="surrogateescape")

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())

ConversationId = Annotated[
    str,
    Path(
        description="The conversation's id, or that of a session of it; percent-encoded.",
        min_length=1,
        max_length=1024,
        examples=["trip-planning"],
    ),
]


class Undecoded:
    """Middleware: the paths of operations are matched as they came, so that %2F is no slash.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and raw and scope["path"].startswith(_V1):
            scope = {**scope, "path": raw.partition(b"?")[0].decode("ascii", "replace")}
        await self._app(scope, receive, send)


class StrictRequest(FastAPIRequest):
    """A request whose body is JSON as the standard has it: no NaN, no Infinity."""

    async def json(self) -> Any:
        """The body.

        Raises:
            ValueError: it is no such JSON.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        return self._json


class Operation(APIRoute):
    """A route that refuses what it does not know, rather than to leave it out of account."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers: FastAPI's own handler, after a look at the names of the parameters."""
        handle = super().get_route_handler()
        known: frozenset[str] | None = None

        async def handler(request: Request) -> Response:
            nonlocal known
            if known is None:
                known = frozenset(_query_names(self.dependant))
            unknown = sorted(set(request.query_params) - known)
            if unknown:
                raise RequestValidationError(
                    [
                        {
                            "loc": ("query", name[:100]),
                            "msg": "is no parameter of this operation",
                            "type": "extra_forbidden",
                        }
                        for name in unknown
                    ]
                )
            return await handle(StrictRequest(request.scope, request.receive))

        return handler


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    for other in dependant.dependencies:
        names |= _query_names(other)
    return names


def router(tag: str) -> APIRouter:
    """A router of operations about one subject.

    Args:
        tag: the subject, in the description of the API.
    """
    return APIRouter(prefix="/v1", tags=[tag], route_class=Operation)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
