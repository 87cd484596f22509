"""Logins, whose rows a visitor sees, and what a form may change."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.surfaces.http import make_app
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Tokens
from bruno_memory_vec.surfaces.inspector import routes_of
from bruno_memory_vec.surfaces.inspector.visitors import cookie_name
from tests.inspector.conftest import client_of, logged_in
from tests.inspector.support import FORKED, fill, form_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

COOKIE = cookie_name(8420)


async def a_row(memory: VectorMemory, user: str) -> str:
    return (await memory.timeline(user, kinds="message", limit=1))[0].id


async def test_a_login_is_a_cookie_without_the_token(memory: VectorMemory, tokens: Tokens) -> None:
    text, _ = tokens.create("ana", name="cookie")
    async with client_of(memory, tokens) as browser:
        answer = await browser.get("/ask?q=cat")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/inspector/login?then=%2Finspector%2Fask%3Fq%3Dcat"
        refused = await browser.post("/login", data={"token": "bmv_wrong", "then": ""})
        assert refused.status_code == 401
        assert "not known" in refused.text
        assert COOKIE not in browser.cookies
        form = {"token": text, "then": "/inspector/ask?q=cat"}
        answer = await browser.post("/login", data=form)
        assert answer.headers["location"] == "/inspector/ask?q=cat"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/inspector" in cookie
        assert text not in cookie
        page = await browser.get("/ask?q=cat")
        assert page.status_code == 200
        visit = browser.cookies[COOKIE]
        out = await browser.post("/logout", data=form_of(page.text, "/logout"))
        assert out.headers["location"] == "/inspector/login"
        # The visit has ended, and not only its cookie.
        browser.cookies.set(COOKIE, visit)
        assert (await browser.get("/ask?q=cat")).status_code == 303


async def test_a_revoked_token_ends_its_visits(memory: VectorMemory, tokens: Tokens) -> None:
    text, _ = tokens.create("ana", name="revoked")
    async with logged_in(memory, tokens, text) as browser:
        assert (await browser.get("/")).status_code == 200
        tokens.revoke("revoked")
        assert (await browser.get("/")).status_code == 303


async def test_after_many_wrong_tokens_only_a_right_one_is_let_in(
    memory: VectorMemory, tokens: Tokens
) -> None:
    text, _ = tokens.create("ana", name="guessed")
    async with client_of(memory, tokens) as browser:
        for number in range(20):
            answer = await browser.post("/login", data={"token": f"bmv_{number}"})
            assert answer.status_code == 401
        assert (await browser.post("/login", data={"token": "bmv_21"})).status_code == 429
        assert (await browser.post("/login", data={"token": text})).status_code == 303


async def test_a_login_ends_the_visit_before_it(memory: VectorMemory, tokens: Tokens) -> None:
    text, _ = tokens.create("ana", name="twice")
    async with logged_in(memory, tokens, text) as browser:
        before = dict(browser.cookies)
        assert (await browser.post("/login", data={"token": text})).status_code == 303
        assert (await browser.get("/")).status_code == 200
        browser.cookies.clear()
        browser.cookies.update(before)
        assert (await browser.get("/")).status_code == 303


async def test_a_broken_file_of_tokens_lets_nobody_in_and_is_not_named(
    memory: VectorMemory, tokens: Tokens
) -> None:
    text, _ = tokens.create("ana", name="mended")
    whole = tokens.path.read_text("utf-8")
    async with client_of(memory, tokens) as browser:
        tokens.path.write_text("{", "utf-8")
        answer = await browser.post("/login", data={"token": text})
        tokens.path.write_text(whole, "utf-8")
        assert answer.status_code == 401
        assert str(tokens.path) not in answer.text
        assert (await browser.post("/login", data={"token": text})).status_code == 303


async def test_a_number_of_thousands_of_digits_is_refused(
    memory: VectorMemory, tokens: Tokens
) -> None:
    text, _ = tokens.create("ana", name="digits")
    async with logged_in(memory, tokens, text) as browser:
        answer = await browser.get("/facts", params={"from": "0" * 12 + "9" * 5_000})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "then", ["https://evil.example", "//evil.example", "/inspector/\\evil", "/v1"]
)
async def test_a_login_leads_to_no_other_site(
    memory: VectorMemory, tokens: Tokens, then: str
) -> None:
    text, token = tokens.create("ana")
    async with client_of(memory, tokens) as browser:
        answer = await browser.post("/login", data={"token": text, "then": then})
        assert answer.headers["location"] == "/inspector/"
    tokens.revoke(token.name)


async def test_of_a_users_token_other_users_do_not_exist(
    memory: VectorMemory, tokens: Tokens
) -> None:
    text, _ = tokens.create("ben", name="ben's")
    theirs = await a_row(memory, "ana")
    async with logged_in(memory, tokens, text) as browser:
        for path in (
            "/",
            "/ask",
            "/compare",
            "/context",
            "/conversations",
            "/memories",
            "/facts",
            "/insight",
        ):
            assert (await browser.get(f"{path}?user=ana&q=sourdough")).status_code == 404, path
            own = await browser.get(f"{path}?q=sourdough")
            assert own.status_code == 200
            assert "Clotilde" not in own.text
        for path in ("/row", "/forget"):
            assert (await browser.get(f"{path}?id={theirs}")).status_code == 404
        assert (await browser.get(f"/conversation?{urlencode({'id': FORKED})}")).status_code == 404
        assert "ana" not in (await browser.get("/users")).text.partition("<main")[2]
        health = await browser.get("/health?doctor=1")
        assert "rows can be read" not in health.text
        assert "lancedb" not in health.text
        page = await browser.get("/memories")
        form = form_of(page.text, "/pin")
        for user in ("ana", "ben", ""):
            answer = await browser.post("/pin", data={**form, "user": user, "id": theirs})
            assert answer.status_code == 404, user
    assert not await memory.list_pinned("ana")


async def test_a_reader_sees_no_form_and_changes_nothing(
    memory: VectorMemory, tokens: Tokens
) -> None:
    text, _ = tokens.create("ana", role="reader", name="reads")
    row = await a_row(memory, "ana")
    async with logged_in(memory, tokens, text) as browser:
        page = await browser.get("/ask?q=sourdough")
        assert "data-in-place" not in page.text
        assert "Forget" not in page.text
        key = form_of(page.text, "/logout")["key"]
        form = {
            "key": key,
            "id": row,
            "user": "ana",
            "pin": "1",
            "importance": "1",
            "how": "delete",
        }
        for path in ("/pin", "/importance", "/forget"):
            answer = await browser.post(path, data={**form, "how": "delete"})
            assert answer.status_code == 403, path
            assert "reads only" in answer.text
        assert (await browser.get(f"/forget?id={row}")).status_code == 403
    assert await memory.get_message(row) is not None
    assert not await memory.list_pinned("ana")


async def test_an_administrator_looks_at_anybody(memory: VectorMemory, tokens: Tokens) -> None:
    text, _ = tokens.create("root", role="admin", name="all")
    async with logged_in(memory, tokens, text) as browser:
        assert "ben" in (await browser.get("/users")).text
        assert (await browser.get("/ask?user=ana&q=sourdough")).text.count('class="hit"') == 10
        assert (await browser.get("/ask?user=ben&q=sourdough")).status_code == 200


@pytest.mark.parametrize(
    ("changed", "headers"),
    [
        ({"key": ""}, {}),
        ({"key": "0" * 64}, {}),
        ({}, {"origin": "https://evil.example"}),
        ({}, {"origin": "null"}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"sec-fetch-site": "same-site"}),
        ({}, {"cookie": f"{COOKIE}=another"}),
    ],
)
async def test_a_form_of_another_site_changes_nothing(
    browser: httpx.AsyncClient,
    memory: VectorMemory,
    changed: dict[str, str],
    headers: dict[str, str],
) -> None:
    page = await browser.get("/memories?user=ana")
    form = {**form_of(page.text, "/pin"), **changed}
    answer = await browser.post("/pin", data=form, headers=headers)
    assert answer.status_code == 403
    assert "did not come from one of these pages" in answer.text
    assert not await memory.list_pinned("ana")


async def test_what_is_no_form_is_refused(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/memories?user=ana")
    form = form_of(page.text, "/pin")
    assert (await browser.post("/pin", json=form)).status_code == 400
    large = await browser.post("/pin", data={**form, "more": "x" * 70_000})
    assert large.status_code == 400
    many = "&".join(f"f{number}=1" for number in range(60))
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert (await browser.post("/pin", content=many, headers=kind)).status_code == 400
    assert (await browser.post("/pin", content=b"\xff\xfe=1", headers=kind)).status_code == 400


async def test_pin_importance_and_forget(browser: httpx.AsyncClient, memory: VectorMemory) -> None:
    row = (await memory.timeline("ben", kinds="message", limit=1))[0]
    page = await browser.get(f"/row?user=ben&id={row.id}")
    answer = await browser.post("/pin", data=form_of(page.text, "/pin"))
    assert answer.status_code == 303
    page = await browser.get(f"http://127.0.0.1:8420{answer.headers['location']}")
    assert "Pinned." in page.text
    assert [str(one.id) for one in await memory.list_pinned("ben")] == [row.id]
    # A script gets the part that has changed.
    form = form_of(page.text, "/pin")
    part = await browser.post("/pin", data=form, headers={"X-Inspector-Part": "actions"})
    assert part.status_code == 200
    assert part.text.strip().startswith('<div class="actions"')
    assert not await memory.list_pinned("ben")
    form = form_of(page.text, "/importance")
    for given in ("2", "nan", "much", ""):
        answer = await browser.post("/importance", data={**form, "importance": given})
        assert answer.status_code == 400, given
    assert (
        await browser.post("/importance", data={**form, "importance": "0.9"})
    ).status_code == 303
    message = await memory.get_message(row.id)
    assert message is not None
    assert message.metadata["importance"] == 0.9
    page = await browser.get(f"/forget?user=ben&id={row.id}")
    form = form_of(page.text, "/forget")
    assert (await browser.post("/forget", data=form)).status_code == 400
    assert (await browser.post("/forget", data={**form, "how": "archive"})).status_code == 303
    hidden = await memory.timeline("ben", kinds="message", limit=1)
    assert hidden[0].id != row.id
    answer = await browser.post("/forget", data={**form, "how": "delete"})
    assert answer.headers["location"].startswith("/inspector/")
    assert await memory.get_message(row.id) is None


async def test_a_users_token_is_not_told_where_the_store_is(tokens: Tokens) -> None:
    text, _ = tokens.create("ana", name="of a closed one")
    closed = await open_memory("memory://")
    async with logged_in(closed, tokens, text) as browser:
        await closed.close()
        page = await browser.get("/ask?q=cat")
        assert page.status_code == 503
        assert "Tell whoever runs the server." in page.text
        assert "closed" not in page.text.partition("<main")[2]


@pytest.mark.slow  # it needs a store on disk
async def test_a_read_only_store_shows_no_forms(tmp_path: object) -> None:
    folder = f"{tmp_path}/store"
    async with open_memory(folder) as writer:
        await fill(writer, conversations=2)
    async with open_memory(folder, read_only=True) as reads, client_of(reads) as browser:
        page = await browser.get("/memories?user=ana")
        assert page.status_code == 200
        assert "read only" in page.text
        assert "data-in-place" not in page.text
        row = await a_row(reads, "ana")
        answer = await browser.get(f"/forget?user=ana&id={row}")
        assert answer.status_code == 403
        assert "--read-only" in answer.text


async def test_spaces_and_conversations_of_several(memory: VectorMemory, tokens: Tokens) -> None:
    team = memory.for_user("ana", spaces={"team": "write"})
    said = Message(role=MessageRole.USER, content="The team meets at the harbour on Mondays.")
    await team.store_message(said, "team-talk", user_id="space:team")
    group = await memory.conversations.create(["ben"], user_id="ana", title="The three of us")
    both = Message(role=MessageRole.USER, content="Shall we sail to Texel?")
    await memory.for_user("ben").store_message(both, group.conversation_id)
    text, _ = tokens.create("ben", name="in the team", spaces={"team": "read"})
    async with logged_in(memory, tokens, text) as browser:
        assert "space:team" in (await browser.get("/users")).text
        for path in ("/", "/ask", "/memories", "/conversations", "/insight", "/compare", "/facts"):
            page = await browser.get(f"{path}?user=space:team&q=harbour")
            assert page.status_code == 200, f"{path}\n{page.text}"
        asked = await browser.get("/ask?user=space:team&q=harbour")
        assert "The team meets at the harbour" in asked.text
        assert "data-in-place" not in asked.text
        shown = await browser.get(f"/row?user=space:team&id={said.id}")
        assert "The team meets at the harbour" in shown.text
        assert (await browser.get(f"/row?id={said.id}")).status_code == 404
        assert (await browser.get("/ask?user=space:others&q=harbour")).status_code == 404
        page = await browser.get("/ask?q=sail+to+Texel")
        assert "Shall we sail to Texel?" in page.text
    text, _ = tokens.create("root", role="admin", name="all spaces")
    async with logged_in(memory, tokens, text) as browser:
        for path in ("/", "/ask", "/memories", "/conversations", "/context"):
            page = await browser.get(f"{path}?user=space:team&q=harbour")
            assert page.status_code == 200, f"{path}\n{page.text}"


async def test_pages_count_as_calls_of_their_token(memory: VectorMemory, tokens: Tokens) -> None:
    text, _ = tokens.create("ana", name="in a hurry")
    pages = routes_of(memory, tokens=tokens)
    settings = ServerSettings(per_minute=3)
    app = make_app(memory, tokens=tokens, settings=settings, routes=pages)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as browser:
        assert (await browser.post("/inspector/login", data={"token": text})).status_code == 303
        told = [await browser.get("/inspector/facts") for _ in range(4)]
        assert [one.status_code for one in told] == [200, 200, 200, 429]
        assert int(told[-1].headers["retry-after"]) > 0
        assert "Wait for" in told[-1].text
        # It is one allowance for both.
        calls = {"Authorization": f"Bearer {text}"}
        assert (await browser.get("/v1/me", headers=calls)).status_code == 429
