"""The inspector: web pages over a memory, for people who would rather look than read.

Pages are made here, on the server, and work without JavaScript. :func:`routes_of` gives them to
``bruno-memory-vec serve``, which has them at ``/inspector``. Importing this loads none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bruno_memory_vec.errors import MissingDependencyError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.surfaces.http.tokens import Tokens

__all__ = ["routes_of"]


def routes_of(
    memory: VectorMemory, *, tokens: Tokens | None = None, user_id: str | None = None
) -> list[BaseRoute]:
    """The pages at ``/inspector``, and ``/`` that leads to them.

    Args:
        memory: the whole memory. Whoever serves the pages opens and closes it.
        tokens: who may look; there is a login then. None: whoever reaches the server may do
            everything, so it must listen on this machine only.
        user_id: without tokens, the user that is shown first.

    Raises:
        MissingDependencyError: Jinja2 or Starlette is not installed.
    """
    try:
        from starlette.responses import RedirectResponse
        from starlette.routing import Mount, Route

        from bruno_memory_vec.surfaces.inspector.app import make_inspector
    except ImportError as error:
        raise MissingDependencyError(error.name or "jinja2", "server", cause=error) from error

    async def first(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/inspector/", 303)

    pages = make_inspector(memory, tokens=tokens, user_id=user_id)
    return [Route("/", first, methods=["GET"]), Mount("/inspector", app=pages)]
