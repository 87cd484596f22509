"""The server over streamable HTTP: real sockets, real clients, a token for each user."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from bruno_memory_vec.surfaces.http.tokens import Tokens
from bruno_memory_vec.surfaces.mcp.server import Identity
from bruno_memory_vec.surfaces.mcp.transports import make_app
from tests.mcp.support import call, opened, refusal

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def served(
    tokens: Tokens | None = None, user: str | None = None, hosts: tuple[str, ...] = ()
) -> AsyncIterator[str]:
    """The url of a server in this event loop."""
    async with opened() as store:
        who = None if user is None else Identity(user)
        app = make_app(store, who=who, tokens=tokens, hosts=hosts)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            bound.listen()
            task = asyncio.create_task(server.serve(sockets=[bound]))
            try:
                yield f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"
            finally:
                server.should_exit = True
                await task


@asynccontextmanager
async def client_with(url: str, token: str | None, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.mark.parametrize("mode", [pytest.param("auto", marks=pytest.mark.slow), "legacy"])
async def test_two_users_with_two_tokens_cannot_see_each_other(tokens: Tokens, mode: str) -> None:
    for_ana, _ = tokens.create("ana")
    for_ben, _ = tokens.create("ben")
    async with (
        served(tokens) as url,
        client_with(url, for_ana, mode) as ana,
        client_with(url, for_ben, mode) as ben,
    ):
        kept = await call(ana, "remember", content="Ana earns 4000")
        await call(ben, "remember", content="Ben earns 5000")
        for client, own in ((ana, "Ana earns 4000"), (ben, "Ben earns 5000")):
            for _ in range(2):
                hits = (await call(client, "recall", query="what do they earn?"))["hits"]
                assert [hit["text"] for hit in hits] == [own]
        await refusal(ben, "show", id=kept["id"])
        await refusal(ben, "forget", ids=[kept["id"]])
        # At the same time, too: each answer is its own user's.
        both = await asyncio.gather(
            *(call(client, "list", what="memories") for _ in range(10) for client in (ana, ben))
        )
        for number, answer in enumerate(both):
            (item,) = answer["items"]
            assert item["text"].startswith("Ben" if number % 2 else "Ana")


async def test_nobody_is_answered_without_a_token_that_counts(tokens: Tokens) -> None:
    good, made = tokens.create("ana")
    async with served(tokens) as url, httpx.AsyncClient() as http:
        wrong = [None, "x", good[:-1], good + "x", good.lower(), "\u00e9", "ana"]
        for token in wrong:
            headers: dict[str, str | bytes] = dict(ACCEPT)
            if token is not None:
                headers["authorization"] = f"Bearer {token}".encode()
            answer = await http.post(url, json=HELLO, headers=headers)
            assert answer.status_code == 401, token
            assert "bearer" in answer.headers["www-authenticate"].lower()
        headers = {**ACCEPT, "authorization": f"Basic {good}"}
        assert (await http.post(url, json=HELLO, headers=headers)).status_code == 401
        headers = {**ACCEPT, "authorization": f"Bearer {good}"}
        assert (await http.post(url, json=HELLO, headers=headers)).status_code == 200
        tokens.revoke(made.name)
        assert (await http.post(url, json=HELLO, headers=headers)).status_code == 401


async def test_a_session_is_of_the_token_that_began_it(tokens: Tokens) -> None:
    for_ana, _ = tokens.create("ana")
    for_ben, _ = tokens.create("ben")
    async with served(tokens) as url, httpx.AsyncClient() as http:
        ana = {**ACCEPT, "authorization": f"Bearer {for_ana}"}
        begun = await http.post(url, json=HELLO, headers=ana)
        session = begun.headers["mcp-session-id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        ben = {**ACCEPT, "authorization": f"Bearer {for_ben}", "mcp-session-id": session}
        assert (await http.post(url, json=listing, headers=ben)).status_code == 404
        own = {**ana, "mcp-session-id": session}
        assert (await http.post(url, json=listing, headers=own)).status_code == 200


async def test_a_readers_token_writes_nothing(tokens: Tokens) -> None:
    token, _ = tokens.create("ana", role="reader")
    async with served(tokens) as url, client_with(url, token) as client:
        told = await refusal(client, "remember", content="x")
        assert "reader" in told
        assert "token" in told
        assert "for_user" not in told
        assert (await call(client, "recall", query="x"))["hits"] == []


async def test_of_another_users_conversation_it_is_not_said_that_it_is(tokens: Tokens) -> None:
    (for_ana, _), (for_ben, _) = tokens.create("ana"), tokens.create("ben")
    said = {"content": "x", "role": "user", "conversation": "talk"}
    async with (
        served(tokens) as url,
        client_with(url, for_ana) as ana,
        client_with(url, for_ben) as ben,
    ):
        await call(ana, "remember", **said)
        told = await refusal(ben, "remember", **said)
        assert "no such conversation" in told
        assert "belong" not in told


async def test_an_admins_token_is_for_its_users_rows_alone(tokens: Tokens) -> None:
    for_ana, _ = tokens.create("ana")
    for_root, _ = tokens.create("root", role="admin")
    async with (
        served(tokens) as url,
        client_with(url, for_ana) as ana,
        client_with(url, for_root) as root,
    ):
        kept = await call(ana, "remember", content="Ana earns 4000")
        await call(ana, "remember", content="Ana moved", role="user", conversation="talk")
        assert (await call(root, "recall", query="what does Ana earn?"))["hits"] == []
        await refusal(root, "show", id=kept["id"])
        await refusal(root, "show", conversation="talk")
        await refusal(root, "forget", ids=[kept["id"]])
        assert (await call(ana, "recall", query="what does Ana earn?"))["hits"]


async def test_other_sites_and_names_are_refused() -> None:
    async with (
        served(user="ana", hosts=("memory.example",)) as url,
        httpx.AsyncClient(headers=ACCEPT) as http,
    ):
        for headers, status in (
            ({"host": "evil.example"}, 421),
            ({"host": "127.0.0.1.evil.example"}, 421),
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": "http://localhost.evil.example:1"}, 403),
            ({"host": "memory.example"}, 200),
            ({"host": "localhost:1"}, 200),
            ({"origin": "http://localhost:5173"}, 200),
        ):
            answer = await http.post(url, json=HELLO, headers=headers)
            assert answer.status_code == status, headers
        form = await http.post(url, data={"a": "b"})
        assert form.status_code == 400
        large = await http.post(url, content=b" " * 5_000_000, headers={"host": "localhost"})
        assert large.status_code in (400, 413)


async def test_without_tokens_this_machine_is_answered_for_one_user() -> None:
    async with served(user="ana") as url, client_with(url, None) as client:
        await call(client, "remember", content="Rex is a dog")
        assert (await call(client, "recall", query="dog"))["hits"]
        with pytest.raises(MCPError):
            await client.call_tool("nothing", {})
