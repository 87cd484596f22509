"""A served memory, called in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.surfaces.http import make_app
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Tokens

#: What every answer about an error has.
PROBLEM = {"type", "title", "status", "detail", "fix"}


@dataclass
class Served:
    """An application that has started, and how to call it."""

    app: FastAPI
    memory: VectorMemory
    tokens: Tokens | None
    http: httpx.AsyncClient

    def user(self, user_id: str) -> httpx.AsyncClient:
        """A client whose calls name a user."""
        return self.client(params={"user_id": user_id})

    def holder(self, user_id: str, **grants: Any) -> httpx.AsyncClient:
        """A client with a new token of a user."""
        assert self.tokens is not None
        text, _ = self.tokens.create(user_id, **grants)
        return self.client(headers={"Authorization": f"Bearer {text}"})

    def client(self, **settings: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost", **settings
        )


@asynccontextmanager
async def served(
    url: str = "memory://",
    *,
    tokens: Path | None = None,
    settings: ServerSettings | None = None,
    routes: Sequence[BaseRoute] = (),
    **config: Any,
) -> AsyncIterator[Served]:
    """Start an application over a new memory, and end it."""
    memory = VectorMemory(url, **{"embedder": "hash", **config})
    known = None if tokens is None else Tokens(tokens)
    app = make_app(memory, tokens=known, settings=settings, routes=routes)
    async with app.router.lifespan_context(app):
        one = Served(app, memory, known, None)  # type: ignore[arg-type]
        one.http = one.client()
        yield one


def said(*contents: str, **more: Any) -> dict[str, Any]:
    """The body that stores messages of a user."""
    return {"messages": [{"role": "user", "content": content, **more} for content in contents]}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem of an answer, after a look at its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert set(found) >= PROBLEM
    assert found["status"] == status
    assert found["type"].startswith("urn:bruno-memory-vec:problem:")
    return dict(found)
