"""The pages in a real browser: looked at, by keyboard, on a phone, without JavaScript.

The browser is Debian's chromium, driven by playwright; axe-core looks for what keeps people out.
``BRUNO_SCREENSHOTS`` names a folder for pictures; those in docs/screenshots were made so.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.surfaces.http.tokens import Tokens
from tests.inspector.support import FORKED, ODD, SHORTENED, fill

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

PHONE, DESK = (360, 740), (1280, 900)


def address(path: str, **query: object) -> str:
    return f"/inspector{path}?{urlencode(query)}"


#: By name; the pictures in the docs have these names.
PAGES = {
    "users": "/inspector/",
    "overview": address("/", user="ana"),
    "ask": address("/ask", user="ana", q="Who teaches the photography course?"),
    "compare": address("/compare", user="ana", q="how do I bake sourdough bread"),
    "prompt": address("/context", user="ana", q="What did the vet say about the cat?", budget=500),
    "conversations": address("/conversations", user="ana"),
    "search": address("/conversations", user="ana", q="bread"),
    "conversation": address("/conversation", user="ana", id=FORKED),
    "summary": address("/conversation", user="ana", id=SHORTENED),
    "odd": address("/conversation", user="odd", id=ODD),
    "memories": address("/memories", user="ana"),
    "odd memories": address("/memories", user="odd"),
    "facts": address("/facts", user="ana"),
    "insight": address("/insight", user="ana"),
    "growth of all": "/inspector/insight",
    "talks": address("/insight", user="ana", section="conversations"),
    "topics": address("/insight", user="ana", section="topics"),
    "recalled": address("/insight", user="ana", section="recalled"),
    "repeats": address("/insight", user="ana", section="repeats"),
    "health": "/inspector/health?doctor=1",
    "an error": address("/row", user="ana", id="nothing"),
}
#: They take seconds to be counted, so they are looked at twice and not four times.
HEAVY = {("topics", "light"): DESK, ("topics", "dark"): PHONE}
HEAVY |= {("repeats", "light"): PHONE, ("repeats", "dark"): DESK}
#: Which pages have a picture in the docs, in which size and colours.
PICTURES = [
    ("ask", DESK, "light"),
    ("ask", PHONE, "dark"),
    ("compare", DESK, "light"),
    ("prompt", DESK, "dark"),
    ("conversation", DESK, "light"),
    ("overview", PHONE, "light"),
    ("insight", DESK, "dark"),
    ("topics", DESK, "light"),
]


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The real command, on a free port; its address."""
    command = [sys.executable, "-m", "bruno_memory_vec", "serve", "--port", "0", "--json", *options]
    quiet = {**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                found = re.search(r"https?://[\w.:]+", line)
                if found is not None:
                    break
            else:
                raise AssertionError("the server ended")
            yield found[0]
        finally:
            server.terminate()
            server.communicate(timeout=60)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("inspector") / "store")

    async def make() -> None:
        async with open_memory(folder) as memory:
            await fill(memory)

    # In a thread, as playwright has a loop of its own in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    return folder


@pytest.fixture(scope="module")
def site(store: str) -> Iterator[str]:
    with serving("--store", store) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # Everything here is on this machine, and a container's root has no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A window, and whatever it should not have done."""

    def __init__(
        self,
        chromium: Any,
        site: str,
        size: tuple[int, int] = DESK,
        scheme: str = "light",
        **options: Any,
    ) -> None:
        viewport = {"width": size[0], "height": size[1]}
        self.window = chromium.new_context(
            viewport=viewport, color_scheme=scheme, base_url=site, **options
        )
        self.page = self.window.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self._site = site

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.window.close()
        if error is None:
            elsewhere = [url for url in self.asked if not url.startswith(self._site)]
            assert not elsewhere, "a page asks another server"
            assert not self.said, "the console of the browser has something to say"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_fits_and_keeps_nobody_out(
    chromium: Any, site: str, size: tuple[int, int], scheme: str
) -> None:
    axe = axe_playwright.Axe()
    wrong = []
    with Watched(chromium, site, size, scheme) as watched:
        for name, path in PAGES.items():
            if HEAVY.get((name, scheme), size) != size:
                continue
            watched.page.goto(path)
            if name != "an error":
                assert not watched.said, f"{name}: {watched.said}"
            watched.said.clear()  # of an error, the console says its status
            width = watched.page.evaluate("document.documentElement.scrollWidth")
            if width > size[0]:
                wrong.append(f"{name}: {width} pixels wide")
            # A table may be pushed sideways, but what is open on a page should be seen whole.
            cut = watched.page.evaluate(
                "[...document.querySelectorAll('.table-box')].some(box => "
                "!box.closest('details:not([open])') && box.scrollWidth > box.clientWidth)"
            )
            if cut:
                wrong.append(f"{name}: a table is cut off")
            found = axe.run(watched.page)
            wrong += [
                f"{name}: {one['id']} {one['nodes'][0]['html']}"
                for one in found.response["violations"]
            ]
    assert not wrong, "\n".join(wrong)


def test_stored_text_runs_nothing(chromium: Any, site: str) -> None:
    with Watched(chromium, site) as watched:
        watched.page.on("dialog", lambda dialog: watched.said.append(dialog.message))
        for name in ("odd", "odd memories"):
            watched.page.goto(PAGES[name])
            assert watched.page.locator("img").count() == 0
            assert watched.page.locator("script:not([src])").count() == 0
        hidden = watched.page.locator(".hidden-character").first
        assert hidden.inner_text() == "U+202E"


def test_a_script_that_is_put_in_does_not_run(chromium: Any, site: str) -> None:
    with Watched(chromium, site) as watched:
        watched.page.goto(PAGES["ask"])
        ran = watched.page.evaluate(
            """() => {
                const put = document.createElement("script");
                put.textContent = "window.ran = true";
                document.body.append(put);
                return window.ran === true;
            }"""
        )
        assert not ran
        assert any("Content Security Policy" in text for text in watched.said)
        watched.said.clear()


def test_by_keyboard_alone(chromium: Any, site: str) -> None:
    with Watched(chromium, site) as watched:
        page = watched.page
        page.goto(PAGES["overview"])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.type("What is my cat called?")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.locator(".hit").count() == 10
        # The numbers of a bar are shown when it has the focus.
        numbers = page.locator("#hit-1 .numbers")
        assert not numbers.is_visible()
        page.locator("#hit-1 svg.bar").focus()
        assert numbers.is_visible()
        page.mouse.move(0, 0)
        page.locator("#hit-2 summary").focus()
        page.keyboard.press("Enter")
        assert page.locator("#hit-2 [data-actions]").is_visible()
        # On a page without a question it leads to the one that asks.
        page.goto(PAGES["health"])
        with page.expect_navigation():
            page.keyboard.press("/")
        assert "/ask" in page.url or "/users" in page.url


def test_pin_and_importance_change_in_their_place(chromium: Any, site: str) -> None:
    with Watched(chromium, site) as watched:
        page = watched.page
        page.goto(PAGES["memories"])
        first = page.locator(".row").first
        first.locator("summary").first.click()
        before = page.url
        first.get_by_role("button", name="Pin", exact=True).click()
        first.get_by_role("button", name="Unpin").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "Unpin"
        first.get_by_label("Importance").fill("0.95")
        first.get_by_role("button", name="Set").click()
        page.locator("[aria-busy]").wait_for(state="detached")
        assert page.url == before
        page.goto(PAGES["overview"])
        pinned = page.get_by_role("heading", name="Pinned")
        assert pinned.is_visible()
        page.goto(PAGES["memories"])
        first.locator("summary").first.click()
        assert first.get_by_label("Importance").input_value() == "0.95"
        first.get_by_role("button", name="Unpin").click()
        first.get_by_role("button", name="Pin", exact=True).wait_for()


def test_all_of_it_without_javascript(chromium: Any, site: str) -> None:
    with Watched(chromium, site, java_script_enabled=False) as watched:
        page = watched.page
        page.goto(PAGES["overview"])
        page.get_by_role("searchbox").fill("sourdough")
        page.get_by_role("button", name="Ask").click()
        assert page.locator(".hit").count() == 10
        page.get_by_label("Profile").select_option("lexical")
        page.get_by_role("button", name="Ask").click()
        assert "profile=lexical" in page.url
        page.goto(address("/memories", user="ben"))
        first = page.locator(".row").first
        text = first.locator(".text").first.inner_text()
        first.locator("summary").first.click()
        first.get_by_role("button", name="Pin", exact=True).click()
        assert page.get_by_role("status").inner_text().startswith("Pinned.")
        first.locator("summary").first.click()
        first.get_by_role("link", name="Forget…").click()
        assert text in page.locator("main").inner_text()
        page.get_by_role("button", name="Delete it for good").click()
        assert page.get_by_role("status").inner_text().startswith("Forgotten.")
        assert text not in page.locator("main").inner_text()


def test_a_login_in_a_browser(chromium: Any, store: str, tmp_path: Path, site: str) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    text, _ = tokens.create("ben", role="reader")
    options = ("--store", store, "--read-only", "--tokens", str(tokens.path))
    with serving(*options) as url, Watched(chromium, url) as watched:
        page = watched.page
        page.goto("/")
        assert page.url.endswith("/inspector/login")
        found = axe_playwright.Axe().run(page)
        assert found.violations_count == 0, found.response["violations"]
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        watched.said.clear()  # the console says 401
        page.get_by_label("Token").fill(text)
        page.get_by_role("button", name="Log in").click()
        assert page.get_by_role("heading", name="ben").is_visible()
        (cookie,) = watched.window.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert (cookie["path"], text in cookie["value"]) == ("/inspector", False)
        assert page.locator("[data-actions] form").count() == 0
        page.get_by_role("button", name="Log out").click()
        assert page.url.endswith("/inspector/login")
        page.go_back()
        page.goto("/inspector/")
        assert page.url.endswith("/inspector/login")


def test_pictures_for_the_docs(chromium: Any, site: str, tmp_path: Path) -> None:
    from PIL import Image

    folder = Path(os.environ.get("BRUNO_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    for name, size, scheme in PICTURES:
        with Watched(chromium, site, size, scheme) as watched:
            watched.page.goto(PAGES[name])
            watched.page.reload()  # with everything in memory, as it is for who looks around
            watched.page.wait_for_load_state("networkidle")
            if name == "compare":
                watched.page.locator(".side li").nth(1).hover()
            shot = tmp_path / "shot.png"
            watched.page.screenshot(path=str(shot))
        kind = "phone" if size == PHONE else "desk"
        picture = folder / f"{name}-{kind}-{scheme}.webp"
        with Image.open(shot) as image:
            image.save(picture, quality=82, method=6)
        assert picture.stat().st_size < 150_000, picture
