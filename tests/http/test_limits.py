"""What a server refuses before the memory is asked, and what it tells of failures."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from tests.http.support import Served, problem, said, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "kestrel-4711"


async def slowly(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params.get("s", 5)))
    return PlainTextResponse("done")


async def fails(request: Request) -> Response:
    raise RuntimeError(f"it holds {SECRET}")


async def away(request: Request) -> Response:
    raise BackendUnavailable("the server", "search", "is away", fix="Start it.")


async def breaks(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError(SECRET)

    return StreamingResponse(chunks())


async def reads(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


ROUTES = [
    Route("/reads", reads, methods=["POST"]),
    Route("/slowly", slowly),
    Route("/fails", fails),
    Route("/away", away),
    Route("/breaks", breaks),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one() -> AsyncIterator[Served]:
    settings = ServerSettings(
        hosts=("memory.example",), body_bytes=10_000, upload_bytes=20_000, concurrent=3
    )
    async with served(settings=settings, routes=ROUTES) as serving:
        yield serving


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8420", "127.0.0.1:1", "[::1]:8420", "memory.example", "LOCALHOST."],
)
async def test_the_servers_own_names_are_served(one: Served, host: str) -> None:
    answer = await one.http.get("/v1/me", headers={"Host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "evil.example@localhost",
        "127.0.0.1.nip.io",
        "[",
        "localhost:x",
    ],
)
async def test_a_name_that_somebody_else_gave_this_address_is_refused(
    one: Served, host: str
) -> None:
    refused = problem(await one.http.get("/v1/me", headers={"Host": host}), 403)
    assert refused["type"].endswith("foreign-host")
    # Whoever looks after it asks by its address.
    assert (await one.http.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_changes_nothing(one: Served, headers: dict[str, str]) -> None:
    path = "/v1/conversations/origin/messages"
    answer = await one.user("ana").post(path, json=said("a"), headers=headers)
    assert problem(answer, 403)["type"].endswith("foreign-origin")
    assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert (await one.user("ana").post(path, json=said("a"), headers=own)).status_code == 201


async def test_no_form_is_taken_for_json(one: Served) -> None:
    """What a form of another site can send has one of these types, and is refused as it is."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await one.user("ana").post(
            "/v1/memories", content=json.dumps(said("a")), headers={"Content-Type": kind}
        )
        problem(answer, 422)


async def test_a_caller_who_goes_away_is_no_failure(
    one: Served, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []
    came = iter(
        [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/reads",
        "raw_path": b"/reads",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-length", b"10")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    with caplog.at_level(logging.WARNING):
        await one.app(scope, receive, send)
    assert sent == []
    assert "request_failed" not in caplog.text


async def test_a_body_has_a_bound(one: Served) -> None:
    ana = one.user("ana")
    problem(await ana.post("/v1/conversations/big/messages", json=said("a" * 10_000)), 413)
    assert (await ana.post("/v1/conversations/big/messages", json=said("a" * 9_000))).is_success

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"a" * 1000

    # Without a Content-Length, too.
    problem(await ana.post("/v1/recall", content=chunks()), 413)
    problem(await ana.post("/v1/ingest", content=chunks()), 413)
    answer = await ana.post("/v1/recall", content=b"{}", headers={"Content-Length": "many"})
    problem(answer, 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"query": NaN}', 400),
        (b'{"query": "a", "min_importance": Infinity}', 400),
        (b'{"query": "\xff"}', 400),
        (b"[" * 9000, 400),
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'{"query": 1}', 422),
        (b'{"query": "a", "k": true}', 422),
        (b'{"query": "a", "k": "3"}', 422),
        (b'{"query": "a", "k": 3.5}', 422),
        (b'{"query": "a", "k": 1e400}', 422),
        (b'{"query": "a", "k": 0}', 422),
        (b'{"query": "a", "since": 5}', 422),
        (b'{"query": "a", "since": "yesterday"}', 422),
        (b'{"query": "a", "since": "0001-01-01T00:00:00+23:00"}', 422),
        (b'{"query": "a", "now": "2026-01-01T00:00:00Z", "as_of": "2026-01-01T00:00:00Z"}', 422),
        (b'{"query": "a", "qeury": "b"}', 422),
        (b'{"query": "a", "user_id": "ben"}', 422),
        (b'{"query": "\\ud800"}', 422),
        (b'{"query": "a", "k": 3.0}', 200),
        (b'{"query": "\\u0000 \\u202e (^`"}', 200),
    ],
)
async def test_a_body_is_what_its_description_says(one: Served, body: bytes, status: int) -> None:
    answer = await one.user("ana").post(
        "/v1/recall", content=body, headers={"Content-Type": "application/json"}
    )
    if status == 200:
        assert answer.status_code == 200, answer.text
    else:
        told = problem(answer, status)
        assert status == 400 or told["field"]


async def test_a_parameter_that_is_not_known_is_refused(one: Served) -> None:
    ana = one.user("ana")
    refused = problem(await ana.get("/v1/timeline", params={"sinc": "2026-01-01T00:00:00Z"}), 422)
    assert refused["field"] == "sinc"
    problem(await ana.get("/v1/memories/no-uuid"), 422)
    problem(await ana.get("/v1/recall", params={"q": "a", "k": "many"}), 422)


async def test_a_refusal_repeats_nothing_that_was_sent(one: Served) -> None:
    ana = one.user("ana")
    for body in ({"messages": [{"role": SECRET, "content": "a"}]}, {"messages": SECRET}):
        answer = await ana.post("/v1/conversations/a/messages", json=body)
        problem(answer, 422)
        assert SECRET not in answer.text


async def test_addresses_and_methods_that_there_are_none_of(one: Served) -> None:
    problem(await one.http.get("/v1/nothing"), 404)
    answer = await one.http.put("/v1/memories")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    answer = await one.http.request("OPTIONS", "/v1/conversations/a%2Fb/messages")
    problem(answer, 405)
    assert answer.headers["allow"] == "DELETE, GET, POST"


async def test_too_many_calls_at_once_are_told_to_wait(one: Served) -> None:
    slow = [asyncio.ensure_future(one.http.get("/slowly", params={"s": 0.3})) for _ in range(3)]
    await asyncio.sleep(0.1)
    answer = await one.http.get("/v1/me")
    problem(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1
    assert [one.text for one in await asyncio.gather(*slow)] == ["done"] * 3
    assert (await one.http.get("/v1/me")).status_code == 200


@pytest.mark.slow
async def test_a_tokens_allowance_is_its_own(tmp_path: Path) -> None:
    async with served(
        tokens=tmp_path / "tokens.json", settings=ServerSettings(per_minute=3)
    ) as one:
        ana, ben = one.holder("ana"), one.holder("ben")
        codes = [(await ana.get("/v1/me")).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert int((await ana.get("/v1/me")).headers["retry-after"]) > 1
        assert (await ben.get("/v1/me")).status_code == 200


async def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async with served(settings=ServerSettings(timeout_s=0.2), routes=ROUTES) as one:
        answer = await one.http.get("/slowly", params={"s": 60})
        problem(answer, 503)
        assert "retry-after" in answer.headers


async def test_a_failure_tells_no_content(one: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await one.http.get("/fails")
        problem(answer, 500)
        problem(await one.http.get("/away"), 503)
        with pytest.raises(Exception, match=r"^$"):
            await one.http.get("/breaks")
    assert SECRET not in answer.text
    ours = [record for record in caplog.records if record.name.startswith("bruno_memory_vec")]
    assert any("RuntimeError" in record.getMessage() for record in ours)
    assert not any(SECRET in record.getMessage() for record in caplog.records)


async def test_every_answer_has_the_headers_that_keep_browsers_careful(one: Served) -> None:
    for path in ("/healthz", "/v1/me", "/v1/nothing", "/openapi.json", "/fails"):
        headers = (await one.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"body_bytes": 0},
        {"upload_bytes": "1"},
        {"concurrent": True},
        {"per_minute": -1},
        {"timeout_s": 0},
        {"long_timeout_s": float("nan")},
    ],
    ids=str,
)
async def test_a_limit_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        ServerSettings(**wrong)


async def test_many_writers_and_a_cancelled_one(tmp_path: Path) -> None:
    async with served(settings=ServerSettings(concurrent=200)) as one:
        ana = one.user("ana")
        calls = [
            asyncio.ensure_future(ana.post("/v1/conversations/many/messages", json=said(f"m{i}")))
            for i in range(60)
        ]
        await asyncio.sleep(0)
        calls[7].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        stored = [one for one in done if isinstance(one, httpx.Response)]
        assert {one.status_code for one in stored} == {201}
        kept = (await ana.get("/v1/conversations/many/messages")).json()["items"]
        assert 59 <= len(kept) <= 60
        assert [turn["turn"] for turn in kept] == sorted(turn["turn"] for turn in kept)
