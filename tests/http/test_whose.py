"""Whose a call is: by its token, and by nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import pytest_asyncio

from tests.http.support import Served, problem, said, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "the password of the harbour is kestrel"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with served(tokens=tmp_path_factory.mktemp("tokens") / "tokens.json") as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anas(one: Served) -> dict[str, str]:
    """What Ana has: the ids of everything that another user might ask for."""
    ana = one.holder("ana")
    session = (await ana.post("/v1/conversations", json={"title": "Ana's harbour"})).json()
    talk = session["conversation_id"]
    stored = await ana.post(f"/v1/conversations/{talk}/messages", json=said(SECRET))
    memory = await ana.post("/v1/memories", json={"memories": [{"content": SECRET}]})
    return {
        "talk": talk,
        "session": session["session_id"],
        "message": stored.json()["ids"][0],
        "memory": memory.json()["ids"][0],
    }


def everything(ids: dict[str, str]) -> list[tuple[str, str, object]]:
    """Each operation that names something by its id."""
    talk, session = f"/v1/conversations/{ids['talk']}", f"/v1/sessions/{ids['session']}"
    rows = {"ids": [ids["message"]]}
    return [
        ("GET", talk, None),
        ("PATCH", talk, {"title": "mine"}),
        ("DELETE", talk, None),
        ("GET", f"{talk}/messages", None),
        ("POST", f"{talk}/messages", said("mine")),
        ("PUT", f"{talk}/messages/{ids['message']}", {"role": "user", "content": "mine"}),
        ("DELETE", f"{talk}/messages", None),
        ("POST", f"{talk}/title", {}),
        ("POST", f"{talk}/resume", None),
        ("POST", f"{talk}/switch", None),
        ("POST", f"{talk}/end", None),
        ("POST", f"{talk}/archive", {}),
        ("POST", f"{talk}/restore", None),
        ("POST", f"{talk}/fork", {}),
        ("GET", f"{talk}/branches", None),
        ("GET", f"{talk}/summary", None),
        ("GET", f"{talk}/segments", None),
        ("GET", f"{talk}/turn-breaks", None),
        ("GET", f"{talk}/members", None),
        ("POST", f"{talk}/members", {"user_id": "ben"}),
        ("DELETE", f"{talk}/members/ana", None),
        ("GET", f"/v1/messages/{ids['message']}", None),
        ("DELETE", f"/v1/messages/{ids['message']}", None),
        ("GET", f"/v1/memories/{ids['memory']}", None),
        ("DELETE", f"/v1/memories/{ids['memory']}", None),
        ("GET", session, None),
        ("POST", f"{session}/end", None),
        ("DELETE", session, None),
        ("POST", "/v1/pins", rows),
        ("POST", "/v1/importance", {**rows, "importance": 1}),
        ("POST", "/v1/forget", rows),
        ("POST", "/v1/compress", {"conversation_id": ids["talk"]}),
        ("POST", "/v1/compress/restore", {"conversation_id": ids["talk"]}),
    ]


async def test_another_users_ids_do_not_exist(one: Served, anas: dict[str, str]) -> None:
    ben = one.holder("ben")
    for method, path, body in everything(anas):
        answer = await ben.request(method, path, json=body)
        told = problem(answer, 404)
        assert SECRET not in answer.text, path
        assert "ana" not in told["detail"].replace(anas["talk"], ""), path
    # Nothing of it was changed.
    ana = one.holder("ana")
    assert (await ana.get(f"/v1/conversations/{anas['talk']}")).json()["title"] == "Ana's harbour"
    assert (await ana.get(f"/v1/messages/{anas['message']}")).json()["content"] == SECRET
    assert (await ana.get(f"/v1/sessions/{anas['session']}")).json()["is_active"]


async def test_an_export_of_anothers_conversation_is_as_one_of_none(
    one: Served, anas: dict[str, str]
) -> None:
    ben = one.holder("ben")
    told = []
    for talk in (anas["talk"], "none-such"):
        answer = await ben.get("/v1/export", params={"conversation_id": talk})
        told.append({**problem(answer, 404), "detail": answer.json()["detail"].replace(talk, "")})
    assert told[0] == told[1]
    ana = one.holder("ana")
    own = await ana.get("/v1/export", params={"conversation_id": anas["talk"]})
    assert SECRET in own.text


async def test_a_revoked_token_hears_no_more(one: Served) -> None:
    ana, spy = one.holder("ana"), one.holder("ana", name="spy")
    talk = "/v1/conversations/followed"
    assert (await ana.post(f"{talk}/messages", json=said("before"))).is_success
    following = asyncio.ensure_future(spy.get(f"{talk}/follow"))
    await asyncio.sleep(0.5)
    assert (await ana.post(f"{talk}/messages", json=said("while it counts"))).is_success
    await asyncio.sleep(0.2)
    assert one.tokens is not None
    one.tokens.revoke("spy")
    assert (await ana.post(f"{talk}/messages", json=said("after it was revoked"))).is_success
    heard = await asyncio.wait_for(following, 10)
    assert "while it counts" in heard.text
    assert "after it was revoked" not in heard.text


async def test_what_a_token_may_not_is_told_without_python(one: Served) -> None:
    reader = one.holder("ben", role="reader", name="reading")
    told = problem(await reader.put("/v1/profile-name", json={"name": "b"}), 403)
    assert "for_user" not in told["fix"]
    assert "token" in told["fix"]


async def test_searches_show_nothing_of_others(one: Served, anas: dict[str, str]) -> None:
    ben = one.holder("ben")
    for answer in (
        await ben.post("/v1/recall", json={"query": SECRET}),
        await ben.post("/v1/recall", json={"query": SECRET, "conversation_id": anas["talk"]}),
        await ben.get("/v1/conversation-search", params={"q": "Ana's harbour"}),
        await ben.get("/v1/timeline"),
        await ben.get("/v1/timeline", params={"conversation_id": anas["talk"]}),
        await ben.get("/v1/conversations"),
        await ben.get("/v1/sessions"),
        await ben.get("/v1/memories"),
        await ben.get("/v1/export"),
        await ben.get("/v1/health"),
        await ben.get("/v1/statistics"),
    ):
        assert answer.status_code == 200, answer.text
        assert "kestrel" not in answer.text
        assert "Ana's harbour" not in answer.text
    context = await ben.post(
        "/v1/context", json={"query": "password", "conversation_id": anas["talk"]}
    )
    assert "kestrel" not in context.text


async def test_a_users_token_names_nobody_else(one: Served, anas: dict[str, str]) -> None:
    ben = one.holder("ben")
    for path in ("/v1/timeline", "/v1/memories", "/v1/export", "/v1/profile", "/v1/me"):
        problem(await ben.get(path, params={"user_id": "ana"}), 403)
        assert (await ben.get(path, params={"user_id": "ben"})).status_code == 200
    problem(await ben.get("/v1/timeline", params={"user_id": "space:team"}), 403)
    problem(await ben.post("/v1/erasures", json={"user_id": "ana"}), 422)
    # A body that names a user is refused, not believed.
    problem(
        await ben.post("/v1/memories", json={"memories": [{"content": "a", "user_id": "ana"}]}), 422
    )


async def test_what_is_about_all_users_is_an_administrators(one: Served) -> None:
    ben, boss = one.holder("ben"), one.holder("boss", role="admin")
    for method, path, body in (
        ("GET", "/v1/users", None),
        ("POST", "/v1/maintain", None),
        ("POST", "/v1/retention", {"days": {"message": 36500}}),
        ("GET", "/v1/erasures", None),
        ("POST", "/v1/erasures/verify", {"receipt": {}}),
        ("GET", "/v1/audit/heads", None),
        ("POST", "/v1/audit/verify", {}),
    ):
        problem(await ben.request(method, path, json=body), 403)
        assert (await boss.request(method, path, json=body)).status_code in (200, 422), path


async def test_an_administrator_names_whose(one: Served, anas: dict[str, str]) -> None:
    boss = one.holder("boss", role="admin")
    found = await boss.post("/v1/recall", json={"query": "password"}, params={"user_id": "ana"})
    assert SECRET in {hit["content"] for hit in found.json()["hits"]}
    assert (await boss.get(f"/v1/conversations/{anas['talk']}")).json()["user_id"] == "ana"
    # Acting for somebody, they see what these see.
    other = await boss.get(f"/v1/conversations/{anas['talk']}", params={"user_id": "ben"})
    problem(other, 404)


async def test_a_reader_changes_nothing(one: Served, anas: dict[str, str]) -> None:
    reader = one.holder("ana", role="reader")
    assert (await reader.get(f"/v1/conversations/{anas['talk']}/messages")).status_code == 200
    for method, path, body in (
        ("POST", "/v1/conversations/new/messages", said("a")),
        ("POST", "/v1/memories", {"memories": [{"content": "a"}]}),
        ("DELETE", f"/v1/memories/{anas['memory']}", None),
        ("POST", "/v1/pins", {"ids": [anas["message"]]}),
        ("PUT", "/v1/profile/preferences/a", {"value": 1}),
        ("POST", "/v1/erasures", {"user_id": "ana"}),
        ("GET", "/v1/export", None),
        ("POST", "/v1/ingest", None),
    ):
        content = b"hello" if path == "/v1/ingest" else None
        answer = await reader.request(method, path, json=body, content=content)
        problem(answer, 403)


async def test_a_space_is_used_as_it_was_granted(one: Served) -> None:
    writer = one.holder("ana", spaces={"team": "write"})
    reader = one.holder("ben", spaces={"team": "read"})
    space = {"user_id": "space:team"}
    body = said("The boat of the team is red")
    assert (
        await writer.post("/v1/conversations/team/messages", json=body, params=space)
    ).is_success
    found = await reader.post("/v1/recall", json={"query": "boat", "spaces": ["team"]})
    assert "The boat of the team is red" in {hit["content"] for hit in found.json()["hits"]}
    assert (await reader.get("/v1/timeline", params=space)).json()["items"]
    problem(await reader.post("/v1/conversations/team/messages", json=body, params=space), 403)
    found = await one.holder("ben").post("/v1/recall", json={"query": "boat", "spaces": ["team"]})
    problem(found, 404)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer bmv_nothing"},
        {"Authorization": "Basic YW5hOmFuYQ=="},
        {"Authorization": "Bearer é".encode("latin-1")},
        {"Cookie": "token=TOKEN"},
    ],
    ids=str,
)
async def test_without_a_token_nothing_is_answered(one: Served, headers: dict[str, str]) -> None:
    assert one.tokens is not None
    text, _ = one.tokens.create("ana")
    given = {
        name: value.replace("TOKEN", text) if isinstance(value, str) else value
        for name, value in headers.items()
    }
    document = (await one.http.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method in methods:
            answer = await one.client(headers=given).request(method, path)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert (await one.http.get("/healthz")).status_code == 200


async def test_a_revoked_and_an_expired_token_end_at_once(one: Served) -> None:
    assert one.tokens is not None
    text, _ = one.tokens.create("ana", name="phone")
    client = one.client(headers={"Authorization": f"Bearer {text}"})
    assert (await client.get("/v1/me")).json() == {
        "user_id": "ana",
        "role": "member",
        "token": "phone",
        "spaces": {},
        "may_choose_user": False,
    }
    one.tokens.revoke("phone")
    problem(await client.get("/v1/me"), 401)

    text, _ = one.tokens.create("ana", name="tablet", days=1)
    document = json.loads(one.tokens.path.read_text())
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    for kept in document["tokens"]:
        kept["expires_at"] = past.isoformat() if kept["name"] == "tablet" else kept["expires_at"]
    one.tokens.path.write_text(json.dumps(document))
    client = one.client(headers={"Authorization": f"Bearer {text}"})
    problem(await client.get("/v1/me"), 401)


@pytest.mark.slow
async def test_the_audit_trail_says_who_called(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    async with served(str(tmp_path / "store"), tokens=tokens, audit=True) as one:
        ana = one.holder("ana", name="phone")
        await ana.post("/v1/conversations/a/messages", json=said("hello"))
        await ana.get("/v1/recall", params={"q": "hello"})
        seen = (await ana.get("/v1/audit", params={"of": "phone"})).json()
        assert {entry["call"] for entry in seen} >= {"recall"}
        assert all(entry["caller"] == "phone" for entry in seen)
        boss = one.holder("boss", role="admin")
        assert (await boss.post("/v1/audit/verify", json={})).json()["ok"]


@pytest.mark.slow
async def test_a_read_only_server_says_so(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    async with served(store) as one:
        await one.user("ana").post("/v1/conversations/a/messages", json=said("hello"))
    async with served(store, read_only=True) as one:
        ana = one.user("ana")
        assert (await ana.get("/v1/recall", params={"q": "hello"})).json()["hits"]
        refused = problem(await ana.post("/v1/conversations/a/messages", json=said("more")), 403)
        assert refused["type"].endswith("read-only")
