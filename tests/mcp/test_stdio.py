"""``bruno-memory-vec mcp`` as clients start it: a process of its own, by its standard streams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from bruno_memory_vec import open_memory
from bruno_memory_vec.surfaces.http.tokens import Tokens
from tests.cli.support import run_here
from tests.mcp.support import call

COMMAND = [sys.executable, "-m", "bruno_memory_vec", "mcp"]
ROOT = Path(__file__).resolve().parents[2]
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


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "BRUNO" not in name}
    return {**kept, "PYTHONPATH": str(ROOT)}


def server(store: Path, *more: str) -> StdioServerParameters:
    arguments = [*COMMAND[1:], "--store", str(store), "--embedder", "hash", *more]
    return StdioServerParameters(command=COMMAND[0], args=arguments, env=environment())


@pytest.mark.slow
async def test_a_real_client_starts_it_and_what_it_keeps_is_there_the_next_time(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    async with Client(server(store, "--user", "ana")) as client:
        kept = await call(client, "remember", content="Ana is allergic to peanuts")
        await call(client, "remember", content="I moved", role="user", conversation="talk")
    async with Client(server(store, "--user", "ana"), mode="legacy") as client:
        found = await call(client, "recall", query="allergic to what?", k=1)
        assert found["hits"][0]["id"] == kept["id"]
        assert [one.title for one in (await client.list_resources()).resources] == ["I moved"]
        # Beside it, another one reads; test_sharing.py has it write.
        async with Client(server(store, "--user", "ana")) as second:
            assert (await call(second, "recall", query="allergic to what?"))["hits"]
    async with Client(server(store, "--user", "ben")) as client:
        assert (await call(client, "recall", query="allergic to what?"))["hits"] == []
    async with Client(server(store, "--user", "ana", "--read-only")) as client:
        assert "remember" not in [one.name for one in (await client.list_tools()).tools]


@pytest.mark.slow
def test_only_the_protocol_is_on_stdout_and_it_ends_with_stdin(tmp_path: Path) -> None:
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    asked = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "remember", "arguments": {"content": "Rex is a dog"}},
    }
    with subprocess.Popen(
        [*COMMAND, "--store", str(tmp_path / "store"), "--embedder", "hash", "--user", "ana"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (HELLO, noted, "nonsense", asked):
            line = message if isinstance(message, str) else json.dumps(message)
            process.stdin.write(line + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [one["id"] for one in answers] == [1, 2]
        assert not answers[1]["result"].get("isError")
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    assert run_here("recall", "dog", "-s", str(tmp_path / "store"), "--embedder", "hash").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_what_was_acknowledged_is_there(
    tmp_path: Path, how: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--store", str(tmp_path / "store"), "--embedder", "hash", "--user", "ana",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asked = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "remember", "arguments": {"content": "Rex is a dog"}},
    }
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for message in (HELLO, noted, asked):
        process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()
    for _ in range(2):
        await process.stdout.readline()
    process.send_signal(how)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        assert await memory.recall("dog", user_id="ana")


@pytest.mark.slow
async def test_one_server_over_http_answers_each_token_for_its_user(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    for_ana, _ = tokens.create("ana")
    for_ben, _ = tokens.create("ben")
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--store", str(tmp_path / "store"), "--embedder", "hash", "--http", "--port", "0",
        "--tokens", str(tokens.path), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = [await process.stdout.readline() for _ in range(5)]
        url = json.loads(b"".join(lines))["url"]
        for token, own, others in ((for_ana, "Rex", "Tom"), (for_ben, "Tom", "Rex")):
            headers = {"authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                await call(client, "remember", content=f"{own} is the name of the pet")
                found = await call(client, "recall", query="name of the pet")
                texts = " ".join(hit["text"] for hit in found["hits"])
                assert own in texts
                assert others not in texts
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    assert for_ana not in said.decode()


WRONG: list[tuple[list[str], int, str]] = [
    (["--tokens", "x"], 2, "--tokens needs --http"),
    (["--allow-host", "x"], 2, "--allow-host needs --http"),
    (["--json"], 2, "--json needs --http"),
    (["--http"], 2, "nothing says whose"),
    (["--http", "--user", "ana", "--tokens", "x"], 2, "contradict"),
    (["--http", "--user", "ana", "--host", "0.0.0.0"], 2, "without tokens anybody"),
    (["--http", "--tokens", "nowhere.json"], 1, "holds no token"),
    (["--http", "--user", "ana", "--host", "127.0.0.1", "--port", "{taken}"], 1, "listened to"),
    (["--read-only"], 1, "there is no store"),
    (["--port", "70000"], 2, "--port"),
    (["--http", "--user", " "], 1, "user"),
]


def test_what_cannot_be_served_is_said_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, code, says in WRONG:
            given = [port if one == "{taken}" else one for one in options]
            done: Any = run_here("mcp", "--store", str(tmp_path / "store"), *given)
            assert done.code == code, (options, done.err)
            assert says in done.err
            assert done.out == ""
    assert not (tmp_path / "store").exists()
