"""``/metrics``: what Prometheus scrapes, of a memory that was opened with ``metrics``."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from bruno_memory_vec.errors import NotPermittedError
from bruno_memory_vec.observability.prometheus import exposition
from bruno_memory_vec.surfaces.http.caller import token_of


async def scrape(request: Request) -> Response:
    """The metrics of the registry that the memory was opened with.

    They count what all users do, so a token has to be an administrator's.
    """
    token = token_of(request)
    if token is not None and token.role != "admin":
        raise NotPermittedError(
            f"a token of the role {token.role!r} may not read the metrics of all users",
            fix="Use an administrator's token, or bruno-memory-vec serve --metrics-port.",
        )
    chosen = request.app.state.memory.config.metrics
    registry = None if chosen is True else chosen
    accept = request.headers.get("accept", "")
    body, content_type = await asyncio.to_thread(exposition, registry, accept)
    return Response(body, media_type=None, headers={"Content-Type": content_type})
