"""A server of a store, and clients of it, in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.server.lowlevel.server import Server

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.surfaces.mcp.opened import Opened
from bruno_memory_vec.surfaces.mcp.server import Identity, make_server


@asynccontextmanager
async def opened(url: str = "memory://", **settings: Any) -> AsyncIterator[Opened]:
    """A store behind a server."""
    one = Opened(MemoryConfig.build(url=url, embedder="hash", **settings))
    one.begin()
    try:
        yield one
    finally:
        await one.close()


def serving(store: Opened, user: str = "ana", **more: Any) -> Server[Any]:
    """A server for one user."""
    return make_server(store, lambda: Identity(user, **more))


@asynccontextmanager
async def client_of(
    store: Opened, user: str = "ana", *, mode: str = "auto", **more: Any
) -> AsyncIterator[Client]:
    """A client of a server for one user, which speaks the newest protocol, or that of before."""
    async with Client(serving(store, user, **more), mode=mode) as client:
        yield client


async def call(client: Client, tool: str, /, **given: Any) -> Any:
    """The structured content of a call that succeeds."""
    done = await client.call_tool(tool, given)
    assert not done.is_error, done.content
    return done.structured_content


async def text_of(client: Client, tool: str, /, **given: Any) -> str:
    """The text of a call that succeeds."""
    done = await client.call_tool(tool, given)
    assert not done.is_error, done.content
    return str(done.content[0].text)


async def refusal(client: Client, tool: str, /, **given: Any) -> str:
    """What a call says that fails."""
    done = await client.call_tool(tool, given)
    assert done.is_error
    assert done.structured_content is None
    return str(done.content[0].text)
