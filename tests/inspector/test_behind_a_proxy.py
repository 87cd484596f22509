"""A server that listens, called as a proxy in front of it would: whose word about a call counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.surfaces.http import make_app
from bruno_memory_vec.surfaces.http.running import Server, listening, trusted
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Tokens
from bruno_memory_vec.surfaces.inspector import routes_of

NAME = "memory.example"


@asynccontextmanager
async def called_by_proxy(
    tokens: Tokens, *proxies: str, host: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """A server that trusts these proxies, and a client from this machine that plays one."""
    memory = VectorMemory("memory://", embedder="hash")
    app = make_app(
        memory,
        tokens=tokens,
        settings=ServerSettings(hosts=(NAME,)),
        routes=routes_of(memory, tokens=tokens),
    )
    with listening(host, 0) as sock:
        server = Server(app, lambda: None, proxies=trusted(proxies))
        serving = asyncio.create_task(server.serve([sock]))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/inspector"
        try:
            async with httpx.AsyncClient(base_url=url, headers={"Host": NAME}) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


def from_browser(client: str, scheme: str = "https") -> dict[str, str]:
    return {"X-Forwarded-For": client, "X-Forwarded-Proto": scheme, "Origin": f"{scheme}://{NAME}"}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.mark.parametrize(
    ("proxies", "host", "believed"),
    [
        ((), "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", True),
        pytest.param(
            ("192.0.2.1", "10.0.0.0/8"), "127.0.0.1", False, marks=pytest.mark.slow, id="others"
        ),
        pytest.param(("127.0.0.0/8",), "127.0.0.1", True, marks=pytest.mark.slow, id="network"),
        # A socket for both kinds of addresses has ::ffff:127.0.0.1 here.
        pytest.param(("127.0.0.1",), "::", True, marks=pytest.mark.slow, id="both kinds"),
    ],
)
async def test_only_a_trusted_proxy_says_that_a_call_came_by_tls(
    tokens: Tokens, proxies: tuple[str, ...], host: str, believed: bool
) -> None:
    text, _ = tokens.create("ana")
    async with called_by_proxy(tokens, *proxies, host=host) as http:
        answer = await http.post(
            "/login", data={"token": text}, headers=from_browser("203.0.113.9")
        )
        assert answer.status_code == 303
        assert ("Secure" in answer.headers["set-cookie"]) == believed
        # A page of plain HTTP is another site for one that came by TLS.
        plain = {**from_browser("203.0.113.9"), "Origin": f"http://{NAME}"}
        answer = await http.post("/login", data={"token": text}, headers=plain)
        assert answer.status_code == (403 if believed else 303)


@pytest.mark.slow
async def test_a_strangers_word_about_its_address_counts_for_nothing(tokens: Tokens) -> None:
    tokens.create("ana")
    wrong = {"token": "bmv_wrong"}
    async with called_by_proxy(tokens) as http:
        # It names another client each time, and is known all the same.
        codes = [
            (await http.post("/login", data=wrong, headers=from_browser(f"198.51.100.{n}")))
            for n in range(22)
        ]
        assert codes[-1].status_code == 429
    async with called_by_proxy(tokens, "127.0.0.1") as http:
        for number in range(22):
            # A client's own header is in front of what the proxy adds.
            forged = from_browser(f"198.51.100.{number}, 203.0.113.9")
            answer = await http.post("/login", data=wrong, headers=forged)
        assert answer.status_code == 429
        other = await http.post("/login", data=wrong, headers=from_browser("203.0.113.10"))
        assert other.status_code == 401


@pytest.mark.parametrize("given", ["*", "proxy.example", "10.0.0.1/8", "", "/run/proxy.sock"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(InvalidInputError, match="trust_proxy"):
        trusted([given])
