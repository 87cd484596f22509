"""The HTTP server: the memory's methods as an API. Importing this loads none of it.

::

    uvicorn.run(make_app(open_memory_of_yours))       # or: bruno-memory-vec serve

The parts: :mod:`.app` puts them together, :mod:`.tokens` says whose a call is, :mod:`.caller`
which memory a call gets, :mod:`.guard` refuses what should not come in, :mod:`.problems` tells
errors, and ``routes/`` has the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.errors import MissingDependencyError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.routing import BaseRoute

    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.surfaces.http.settings import ServerSettings
    from bruno_memory_vec.surfaces.http.tokens import Tokens

__all__ = ["make_app"]


def make_app(
    memory: VectorMemory,
    *,
    tokens: Tokens | None = None,
    settings: ServerSettings | None = None,
    routes: Sequence[BaseRoute] = (),
) -> FastAPI:
    """The ASGI application of a memory; see :func:`bruno_memory_vec.surfaces.http.app.make_app`.

    Raises:
        MissingDependencyError: FastAPI is not installed.
    """
    needs("fastapi")
    from bruno_memory_vec.surfaces.http.app import make_app as made

    return made(memory, tokens=tokens, settings=settings, routes=routes)


def needs(*packages: str) -> list[Any]:
    """The modules of optional packages.

    Raises:
        MissingDependencyError: one is not installed.
    """
    from importlib import import_module

    found = []
    for package in packages:
        try:
            found.append(import_module(package))
        except ImportError as error:
            raise MissingDependencyError(package, "server", cause=error) from error
    return found
