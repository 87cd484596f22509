"""``serve`` as a process: what it says, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.support import said

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "bruno_memory_vec"]


class Process:
    """A server of its own, and how it ended."""

    def __init__(self, folder: Path, *options: str) -> None:
        asked = ["serve", "--store", str(folder / "store"), "--port", "0", "--json", *options]
        with (folder / "log").open("w") as log:
            self.running = subprocess.Popen(
                [*COMMAND, *asked],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "BRUNO_MEMORY_EMBEDDER": "hash"},
            )
        self.folder = folder
        assert self.running.stdout is not None
        lines = []
        for line in self.running.stdout:
            lines.append(line)
            if line == "}\n":
                break
        self.said: dict[str, Any] = json.loads("".join(lines) or "{}")

    @property
    def url(self) -> str:
        return str(self.said["url"])

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.running.send_signal(how)
        return self.running.wait(60)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Process]:
    process = Process(folder, *options)
    try:
        yield process
    finally:
        process.running.kill()
        process.running.wait(10)
        assert process.running.stdout is not None
        process.running.stdout.close()


def test_it_serves_follows_and_ends_in_order(tmp_path: Path) -> None:
    with serving(tmp_path, "--user", "ana") as server, httpx.Client(base_url=server.url) as http:
        assert server.said["api"] == f"{server.url}/v1"
        heard: list[dict[str, Any]] = []
        follows = threading.Event()

        def follow() -> None:
            with httpx.stream("GET", f"{server.url}/v1/conversations/a%2Fb/follow") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                for line in stream.iter_lines():
                    if line == ": following":
                        follows.set()
                    if line.startswith("data: "):
                        heard.append(json.loads(line.removeprefix("data: ")))

        follower = threading.Thread(target=follow)
        follower.start()
        assert follows.wait(20)
        for content in ("one", "two\nevent: forged\ndata: {}"):
            answer = http.post("/v1/conversations/a%2Fb/messages", json=said(content))
            assert answer.status_code == 201
        for _ in range(100):
            if len(heard) == 2:
                break
            time.sleep(0.05)
        assert [one["content"] for one in heard] == ["one", "two\nevent: forged\ndata: {}"]

        # The stream is still open: it ends with the server, which does not wait for it.
        began = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - began < 10
        follower.join(10)
        assert not follower.is_alive()
        assert server.log == ""

    with serving(tmp_path, "--read-only", "--user", "ana") as server:
        found = httpx.get(f"{server.url}/v1/conversations/a%2Fb/messages").json()
        assert len(found["items"]) == 2
        assert server.end(signal.SIGINT) == 0


def test_what_was_acknowledged_is_there_after_the_end(tmp_path: Path) -> None:
    """The server is told to end while clients write without a pause."""
    acknowledged: list[str] = []
    with serving(tmp_path, "--user", "ana") as server:

        def write(name: str) -> None:
            with httpx.Client(base_url=server.url) as http:
                for number in range(10_000):
                    content = f"{name} {number}"
                    try:
                        answer = http.post("/v1/conversations/c/messages", json=said(content))
                    except httpx.TransportError:
                        return
                    if answer.status_code != 201:
                        return
                    acknowledged.append(content)

        writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
        for one in writers:
            one.start()
        time.sleep(1.5)
        assert server.end() == 0
        for one in writers:
            one.join(20)
    assert len(acknowledged) > 10
    with serving(tmp_path, "--user", "ana", "--read-only") as server:
        stored, after = set(), None
        while True:
            params = {"limit": 1000, **({"after": after} if after else {})}
            page = httpx.get(f"{server.url}/v1/conversations/c/messages", params=params).json()
            stored |= {item["message"]["content"] for item in page["items"]}
            after = page["next"]
            if after is None:
                break
        assert stored >= set(acknowledged)


def test_raw_requests_of_hostile_clients(tmp_path: Path) -> None:
    """What no HTTP library sends: the server answers or hangs up, and goes on."""
    with serving(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        for raw in (
            b"\x00\x01\x02\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /v1/messages/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Length: 3\r\n\r\nffffffff\r\n",
            b"GET /v1/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(raw)
                sock.shutdown(socket.SHUT_WR)
                answer = b""
                try:
                    while chunk := sock.recv(65536):
                        answer += chunk
                except ConnectionError:
                    continue
                assert not answer.startswith(b"HTTP/1.1 5"), raw[:80]
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ok"}
        assert server.end() == 0
        assert "Traceback" not in server.log


def test_two_servers_of_one_folder(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        done = subprocess.run(
            [*COMMAND, "serve", "--store", str(tmp_path / "store"), "--port", "0"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "BRUNO_MEMORY_EMBEDDER": "hash"},
        )
        assert done.returncode == 1
        assert "is being written by process" in done.stderr
        assert "Traceback" not in done.stderr
        # Beside it a second one reads.
        with serving(tmp_path, "--read-only") as second:
            ana = {"user_id": "ana"}
            httpx.post(
                f"{first.url}/v1/conversations/a/messages", json=said("hello"), params=ana
            ).raise_for_status()
            found = httpx.get(f"{second.url}/v1/recall", params={"q": "hello", **ana})
            assert [hit["content"] for hit in found.json()["hits"]] == ["hello"]


def test_an_encrypted_store_leaves_no_text_in_the_temporary_folder(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a long random text of at least thirty-two characters")
    key.chmod(0o600)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    try:
        with serving(tmp_path, "--key-file", str(key), "--user", "ana") as server:
            url = f"{server.url}/v1"
            httpx.post(f"{url}/conversations/a/messages", json=said("kestrel")).raise_for_status()
            exported = httpx.get(f"{url}/export")
            assert "kestrel" in exported.text
            httpx.post(f"{url}/import", content=exported.content).raise_for_status()
            assert not list(temporary.iterdir())
            assert server.end() == 0
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
