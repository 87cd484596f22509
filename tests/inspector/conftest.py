"""A memory with the demo's conversations, and browsers without a screen for its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

pytest.importorskip("jinja2", reason="the extra 'server' is not installed")
pytest.importorskip("starlette", reason="the extra 'server' is not installed")

from starlette.applications import Starlette

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.surfaces.http.tokens import Tokens
from bruno_memory_vec.surfaces.inspector import routes_of
from tests.inspector.support import fill


def client_of(memory: VectorMemory, tokens: Tokens | None = None) -> httpx.AsyncClient:
    """A browser of its own, with cookies and without a screen."""
    app = Starlette(routes=routes_of(memory, tokens=tokens))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8420/inspector")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://") as opened:
        await fill(opened, conversations=6)
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(memory: VectorMemory) -> AsyncIterator[httpx.AsyncClient]:
    """One that needs no login."""
    async with client_of(memory) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens") / "tokens.json")


@asynccontextmanager
async def logged_in(
    memory: VectorMemory, tokens: Tokens, text: str
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(memory, tokens) as client:
        answer = await client.post("/login", data={"token": text})
        assert answer.status_code == 303, answer.text
        yield client
