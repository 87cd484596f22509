"""Every page of a filled store: whole, escaped, without a script or style of its own."""

from __future__ import annotations

import re
from typing import get_args
from urllib.parse import quote, urlencode

import httpx
import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.conversations.activity import Status
from bruno_memory_vec.indexers import schema
from bruno_memory_vec.surfaces.inspector.browsing import ORIGINS, STATUSES
from tests.inspector.conftest import client_of
from tests.inspector.support import ARABIC, FAMILY, LONG, ODD, links_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


def address(path: str, **query: object) -> str:
    return f"{path}?{urlencode(query)}"


PAGES = [
    "/",
    "/users",
    address("/", user="ana"),
    address("/ask", user="ana", q="What is my cat called?"),
    address("/ask", user="ana"),
    address("/compare", user="ana", q="sourdough bread", k=5),
    address("/context", user="ana", q="What did the vet say?", budget=300),
    address("/conversations", user="ana"),
    address("/conversations", user="ana", q="bread"),
    address("/conversation", user="ana", id="ana-2025-09-04-sourdough-starter"),
    address("/conversation", user="odd", id=ODD),
    address("/memories", user="ana", type="fact"),
    address("/memories", user="odd", archived=1),
    address("/facts", user="ana"),
    address("/insight", user="ana"),
    "/insight",
    address("/insight", user="ana", section="conversations"),
    address("/insight", user="ana", section="recalled"),
    address("/health"),
    address("/health", doctor=1),
]


def assert_whole(answer: httpx.Response) -> None:
    """Nothing on a page is run, styled in its place, or fetched from elsewhere."""
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    page = answer.text
    assert "<" not in re.findall("<title>(.*?)</title>", page)[0]
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<[^>]*\s(?:style|on\w+)=", page)
    fetched = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert all(one.startswith(("/inspector", "#")) for one in fetched)
    assert "<script>alert" not in page
    assert "<img" not in page


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_is_whole(browser: httpx.AsyncClient, page: str) -> None:
    answer = await browser.get(page)
    assert answer.status_code == 200, answer.text
    assert_whole(answer)
    assert answer.text.count("<h1") == 1
    assert 'href="#main"' in answer.text


async def test_every_link_leads_somewhere(browser: httpx.AsyncClient) -> None:
    seen, waiting = set(), ["/inspector/?user=ana", "/inspector/?user=odd"]
    kinds: dict[str, int] = {}
    while waiting:
        link = waiting.pop(0)
        kind = link.partition("?")[0]
        if link in seen or kinds.get(kind, 0) >= 6:
            continue
        seen.add(link)
        kinds[kind] = kinds.get(kind, 0) + 1
        # A page about a user leads to the choice of one, where none is chosen.
        answer = await browser.get(f"http://127.0.0.1:8420{link}", follow_redirects=True)
        assert answer.status_code == 200, f"{link}\n{answer.text}"
        if "/static/" not in link:
            waiting += sorted(links_of(answer.text))
    assert {"/inspector/row", "/inspector/forget", "/inspector/conversation"} <= set(kinds)


async def test_stored_text_is_shown_and_nothing_more(browser: httpx.AsyncClient) -> None:
    page = (await browser.get(address("/conversation", user="odd", id=ODD))).text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page
    for name in ("U+202E", "U+001B", "U+200B"):
        assert f">{name}</span>" in page
    assert not re.search("[\u202e\x1b\u200b]", page)
    assert ARABIC in page
    assert FAMILY in page, "the joiners of an emoji stay"
    # The whole of a long text is on its own page alone.
    assert len(page) < len(LONG)
    assert "characters are left out here" in page


async def test_a_long_text_is_on_its_own_page(browser: httpx.AsyncClient) -> None:
    page = (await browser.get(address("/conversation", user="odd", id=ODD))).text
    row = re.search(r'left out here: <a href="([^"]*)"', page)
    assert row is not None
    whole = await browser.get(f"http://127.0.0.1:8420{row[1].replace('&amp;', '&')}")
    assert LONG.strip() in whole.text


async def test_a_passage_is_marked(browser: httpx.AsyncClient, memory: VectorMemory) -> None:
    page = (await browser.get(address("/ask", user="odd", q="a lighthouse keeper's story"))).text
    assert "<mark>" in page
    assert "lighthouse keeper" in re.findall("<mark>(.*?)</mark>", page, re.DOTALL)[0]


async def test_the_numbers_of_a_bar_add_up(
    browser: httpx.AsyncClient, memory: VectorMemory
) -> None:
    page = (await browser.get(address("/ask", user="ana", q="What is my cat called?"))).text
    bars = re.findall(r'aria-label="hit (\d+), score ([\d.]+): ([^"]*)"', page)
    assert len(bars) == 10
    for _, score, said in bars:
        parts = [float(one.rpartition(" ")[2]) for one in said.split(", ")]
        assert sum(parts) == pytest.approx(float(score), abs=0.012)
    shown = re.findall(r"<rect[^>]*><title>([^<]*)</title>", page)
    assert len(shown) == sum(len(said.split(", ")) for _, _, said in bars)


async def test_what_is_known_is_said_once(browser: httpx.AsyncClient) -> None:
    """A fact is in the saved profile, too: it stood there twice."""
    page = (await browser.get(address("/", user="ana"))).text
    known = page.partition('<dl class="known">')[2].partition("</dl>")[0]
    assert known.count("Heemraadssingel 87B") == 1
    assert 'href="' in known


async def test_a_rows_own_page_does_not_offer_to_open_it(browser: httpx.AsyncClient) -> None:
    talk = (await browser.get(address("/conversation", user="odd", id=ODD))).text
    row = next(link for link in links_of(talk) if "/row?" in link)
    page = (await browser.get(row.removeprefix("/inspector"))).text
    assert "Forget…" in page
    assert ">Open<" not in page


async def test_one_of_a_thing_is_not_several(browser: httpx.AsyncClient) -> None:
    branch = (await browser.get(address("/insight", user="odd", section="repeats"))).text
    assert "1 group of rows that say nearly the same" in branch


async def test_looking_counts_as_no_use(browser: httpx.AsyncClient, memory: VectorMemory) -> None:
    before = (await memory.health())["writer"]["uses_to_count"]
    for path in ("/ask", "/compare", "/context", "/memories", "/conversations"):
        assert (await browser.get(address(path, user="ana", q="cat"))).status_code == 200
    assert (await memory.health())["writer"]["uses_to_count"] == before


async def test_compare_says_how_a_row_moved(browser: httpx.AsyncClient) -> None:
    chosen = [("user", "ana"), ("q", "sourdough bread"), ("k", "5")]
    both = [*chosen, ("profile", "lexical"), ("profile", "lexical")]
    page = (await browser.get(f"/compare?{urlencode(both)}")).text
    assert page.count('<section class="column"') == 1, "the same profile once"
    both = [*chosen, ("profile", "balanced"), ("profile", "semantic")]
    page = (await browser.get(f"/compare?{urlencode(both)}")).text
    assert page.count('<section class="column"') == 2
    assert "not in balanced" in page or "▲" in page or "▼" in page


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        ("/ask?user=ana&q=x&k=0", 400, "Give a whole number from 1 to 100"),
        ("/ask?user=ana&q=x&k=²", 400, "Give a whole number"),
        ("/ask?user=ana&q=x&profile=none", 400, "Give one of"),
        (f"/ask?user=ana&q={'x' * 2_001}", 400, "Ask in 2,000 at most"),
        ("/context?user=ana&q=a+cat&budget=20&strategy=hybrid&conversation=nowhere", 200, "tokens"),
        ("/conversation?user=ana&id=nowhere", 404, "there is no conversation"),
        ("/conversation?user=ben&id=ana-2025-09-04-sourdough-starter", 404, "no conversation"),
        ("/row?user=ana&id=nothing", 400, "UUID"),
        ("/row?user=ana&id=00000000-0000-4000-8000-000000000000", 404, "has no message or memory"),
        ("/conversations?user=ana&after=x", 400, "after"),
        ("/ask?user=ana&q=%00", 200, "Each hit shows"),
        ("/?user=%00", 400, "user"),
        ("/conversation?user=ana&id=", 400, "conversation_id"),
        ("/row?user=ana&id=%F0%9F", 400, "UUID"),
        ("/context?user=ana&q=x&budget=99999999999999999999", 400, "Give a whole number"),
        ("/insight?user=ana&section=secrets", 400, "Give one of"),
        ("/nowhere", 404, "There is no such page"),
        ("/static/nothing.css", 404, "there is no such file"),
        ("/static/..%2fapp.py", 404, ""),
        (f"/?user={quote('x' * 2_000)}", 400, "user"),
        ("/pin", 405, "does not answer"),
        ("/?user=nobody", 200, "Nothing is stored of this user"),
    ],
)
async def test_what_does_not_work_says_what_to_do(
    browser: httpx.AsyncClient, page: str, status: int, said: str
) -> None:
    answer = await browser.get(page)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert "Traceback" not in answer.text


async def test_every_status_and_origin_can_be_chosen(browser: httpx.AsyncClient) -> None:
    for status in get_args(Status):
        page = await browser.get(address("/conversations", user="ana", status=status))
        assert f"<option selected>{status}<" in page.text
    assert len(get_args(Status)) == len(STATUSES)
    assert schema.ORIGINS == ORIGINS
    for origin in ORIGINS:
        page = await browser.get(address("/memories", user="ana", origin=origin))
        assert f"<option selected>{origin}<" in page.text


async def test_a_page_about_a_user_asks_for_one_first(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/ask?q=cat")
    assert answer.status_code == 303
    there = await browser.get(f"http://127.0.0.1:8420{answer.headers['location']}")
    assert "ana" in there.text


async def test_an_empty_store_says_what_to_run() -> None:
    async with open_memory("memory://") as empty, client_of(empty) as browser:
        answer = await browser.get("/")
        assert answer.status_code == 200
        assert "bruno-memory-vec demo" in answer.text
        assert_whole(answer)
        for page in PAGES:
            answer = await browser.get(page)
            assert answer.status_code in (200, 404), f"{page}\n{answer.text}"


async def test_a_closed_memory_is_an_error_page() -> None:
    memory = await open_memory("memory://")
    await memory.close()
    async with client_of(memory) as browser:
        answer = await browser.get("/ask?user=ana&q=cat")
        assert answer.status_code == 503
        assert "closed" in answer.text
        assert (await browser.get("/health")).status_code == 503
