"""health: the exit code says whether a store or a server works."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.record import FolderRecord
from bruno_memory_vec.upkeep.probe import CLOSED, Probe, probe

Run = Callable[..., Any]


def test_a_sound_store_beside_a_writer(run: Run, store: list[str]) -> None:
    folder = Path(store[1])
    before = {path.name for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal"))}
    lock = WriterLock(folder)
    try:
        done = run("health", *store[:2])
        told = run("health", *store[:2], "--json").json
        assert run("health", *store[:2], "--quiet").out == ""
    finally:
        lock.release()
    assert done.code == 0
    assert done.out.startswith("ok  ")
    assert " ms" in done.out
    assert (told["status"], told["problems"]) == ("ok", {})
    assert told["rows"] > 0
    assert 0 < told["seconds"] < 60
    after = {path.name for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal"))}
    assert after - {"writer.lock", "writer.json"} == before - {"writer.lock", "writer.json"}


def test_what_failed_in_the_background_of_a_writer_is_degraded(run: Run, store: list[str]) -> None:
    record = FolderRecord(Path(store[1]))
    asyncio.run(record.keep_problems({"compact the rows": "the disk \x1b[31mis full"}))
    try:
        done = run("health", *store[:2])
        assert done.code == 4
        assert done.out.startswith("degraded")
        assert "compact the rows: the disk" in done.out
        assert "\x1b[31m" not in done.out
        told = run("health", *store[:2], "--json")
        assert told.code == 4
        assert "compact the rows" in told.json["problems"]
    finally:
        asyncio.run(record.keep_problems({}))
    assert run("health", *store[:2], "-q").code == 0


def test_no_store_is_an_error(run: Run, tmp_path: Path) -> None:
    done = run("health", "--store", str(tmp_path / "nothing"))
    assert done.code == 1
    assert "there is no store" in done.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "store.json").write_text("{}")
    assert run("health", "--store", str(tmp_path / "other"), "--json").code == 1


@contextmanager
def answering(code: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each request so, its address, and the paths that were asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("code", "body", "exit_code", "status"),
    [
        (200, b'{"status": "ok"}', 0, "ok"),
        (200, b'{"status": "degraded"}', 4, "degraded"),
        (503, b'{"status": "closed"}', 1, "unavailable"),
        (503, b'{"status": "unavailable"}', 1, "unavailable"),
        (200, b"<html>a login</html>", 1, "unavailable"),
        (404, b'{"detail": "Not Found"}', 1, "unavailable"),
        (200, b'{"status": ["ok"]}', 1, "unavailable"),
        (200, b"[1]", 1, "unavailable"),
        (200, b"\xff" * 100_000, 1, "unavailable"),
    ],
)
def test_a_server_is_asked_at_its_probe(
    run: Run,
    code: int,
    body: bytes,
    exit_code: int,
    status: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(code, body) as (url, asked):
        named = url.replace("//", "//ana:secret@")
        done = run("health", "--store", f"{named}/memory/", "--json")
    assert done.code == exit_code
    assert done.json["status"] == status
    assert asked == ["/memory/readyz None"]
    assert "secret" not in done.out + done.err


def test_a_server_that_is_not_there(run: Run) -> None:
    done = run("health", "--store", "http://127.0.0.1:1")
    assert done.code == 1
    assert "does not answer" in done.out
    assert run("health", "--store", "https://[broken").code == 1


async def test_a_memory_that_hangs_is_unavailable() -> None:
    class Hangs:
        async def health(self) -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

    found = await probe(Hangs(), timeout=0.01)
    assert (found.status, found.exit_code, found.http_status) == ("unavailable", 1, 503)
    assert (CLOSED.exit_code, CLOSED.http_status) == (1, 503)
    assert Probe("degraded").http_status == 200
    assert json.dumps(dict(found.problems)).startswith('{"store": "gave no answer')


@pytest.mark.slow
def test_a_real_server_and_its_store_from_another_process(
    run: Run, store: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "bruno_memory_vec", "serve", *store, "--port", "0", "--json"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [*command, "--metrics-port", str(port)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as serving:
        try:
            assert serving.stdout is not None
            told = ""
            for line in serving.stdout:
                told += line
                if line.rstrip() == "}":
                    break
            url = json.loads(told)["url"]
            done = run("health", "--store", url, "--json")
            assert (done.code, done.json["status"]) == (0, "ok")
            # The server writes to the store, and this reads beside it.
            assert run("health", *store[:2]).code == 0
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert b"bruno_memory_opened_timestamp_seconds{" in answer.read()
        finally:
            serving.terminate()
            assert serving.wait(60) is not None
    assert run("health", "--store", url).code == 1
