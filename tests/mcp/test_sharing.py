"""Two servers on one folder: both write, whoever ends first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from bruno_memory_vec import open_memory
from bruno_memory_vec.surfaces.mcp import server as answering
from bruno_memory_vec.surfaces.mcp import sharing
from bruno_memory_vec.surfaces.mcp.opened import Opened
from tests.mcp.support import call, client_of, opened, refusal
from tests.mcp.test_stdio import COMMAND, environment, server

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in folders")


def texts(answer: Any) -> list[str]:
    return sorted(item["text"] for item in answer["items"])


async def is_open(store: Opened) -> None:
    async def report(step: int, words: str) -> None:
        pass

    await store.writing(report)


@pytest.mark.parametrize(
    "long", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "a long name"]
)
async def test_what_the_second_writes_the_first_keeps_and_then_it_takes_its_place(
    tmp_path: Path, long: bool
) -> None:
    folder = tmp_path / ("a folder of a long name, " * 6 if long else "store")
    async with opened(str(folder)) as writer:
        await is_open(writer)
        async with opened(str(folder)) as beside:
            socket_of = folder / sharing.SOCKET
            assert stat.S_IMODE(socket_of.stat().st_mode) == 0o600
            async with client_of(writer) as one, client_of(beside) as two:
                kept = await call(two, "remember", content="Ana deploys on Fridays", tags=["work"])
                assert kept["conversation"] is None  # as if it were said by this server
                assert (await call(two, "remember", content="Ana deploys on Fridays"))["known"]
                said = await call(
                    two, "remember", content="I moved", role="user", conversation="talk"
                )
                await call(one, "remember", content="Ana has a cat")
                for client in (one, two):
                    assert texts(await call(client, "list", what="memories")) == [
                        "Ana deploys on Fridays",
                        "Ana has a cat",
                    ]
                    shown = await call(client, "show", conversation="talk")
                    assert [item["id"] for item in shown["items"]] == [said["id"]]
                await call(two, "forget", ids=[kept["id"]])
                assert texts(await call(one, "list", what="memories")) == ["Ana has a cat"]
                # What is wrong is told as if it were done here, and another user's is not there.
                assert "there is no" in await refusal(two, "forget", ids=[kept["id"]])
                assert "content" in await refusal(two, "remember", content="")
                async with client_of(beside, "ben") as other:
                    assert "there is no" in await refusal(other, "forget", ids=[said["id"]])
                async with client_of(beside, role="reader") as reader:
                    assert "a reader may not" in await refusal(reader, "remember", content="x")
            # What reads every file of the folder passes the socket by.
            assert (await writer._main.remains("nobody", ["a kestrel over the field"])).files
            await writer.close()
            assert not socket_of.exists()
            async with client_of(beside) as two:
                await call(two, "remember", content="The first has ended")
                assert beside._is_open
                assert socket_of.is_socket()
                found = await call(two, "list", what="memories")
                assert texts(found) == ["Ana has a cat", "The first has ended"]


async def test_a_program_that_is_no_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_WAITS_S", 0.3)
    async with (
        open_memory(tmp_path / "store", embedder="hash") as memory,
        opened(str(tmp_path / "store")) as beside,
        client_of(beside) as client,
    ):
        said = await refusal(client, "remember", content="x")
        assert f"process {os.getpid()} on " in said
        assert "--http" in said
        # It waits for what is ending.
        monkeypatch.setattr(answering, "_WAITS_S", 20.0)
        waiting = asyncio.ensure_future(call(client, "remember", content="y"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await memory.close()
        assert not (await waiting)["known"]


async def test_what_a_stranger_sends_does_nothing(tmp_path: Path) -> None:
    async with opened(str(tmp_path / "store")) as first, client_of(first) as client:
        await call(client, "remember", content="Ana has a cat")
        where = str(tmp_path / "store" / sharing.SOCKET)
        for sent in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x02[]",
            b"\x00\x00\x00\x02{}",
            b"\x00\x00\x00\x0e" + b'{"protocol":9}',
            b"\x00\x00\x00\x1b" + b'{"protocol":1,"tool":"list"}',
        ):
            reader, writer = await asyncio.open_unix_connection(where)
            writer.write(sent)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 20)
            assert answer in (b"", b'\x00\x00\x00\x10{"taken": false}'), sent
            writer.close()
        passed = sharing.Passed("list", {}, "ana", None, None, "mcp")
        unknown = await sharing.pass_on(tmp_path / "store", passed)
        assert unknown is not None
        assert unknown["isError"] or unknown["structuredContent"]
        assert texts(await call(client, "list", what="memories")) == ["Ana has a cat"]


async def test_a_call_that_was_taken_and_not_answered_is_told(tmp_path: Path) -> None:
    """Whether it was done is not known, so it is not made again."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(b"\x00\x00\x00\x0f" + b'{"taken": true}')
        await writer.drain()
        writer.close()

    async with open_memory(tmp_path / "store", embedder="hash"):
        listening = await asyncio.start_unix_server(cut, str(tmp_path / "store" / sharing.SOCKET))
        async with opened(str(tmp_path / "store")) as beside, client_of(beside) as client:
            said = await refusal(client, "remember", content="x")
            assert "before it said what became of this call" in said
        listening.close()


@pytest.mark.slow
async def test_two_processes_as_clients_start_them(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with Client(server(store, "--user", "ana")) as second:
        async with Client(server(store, "--user", "ana")) as first:
            await call(first, "remember", content="Ana deploys on Fridays")
            await call(second, "remember", content="Ana has a cat")
            for client in (first, second):
                found = texts(await call(client, "list", what="memories"))
                assert found == ["Ana deploys on Fridays", "Ana has a cat"]
        await call(second, "remember", content="The other has ended")
        assert len(texts(await call(second, "list", what="memories"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_no_acknowledged_write_is_lost_where_the_first_ends_under_way(
    tmp_path: Path, how: signal.Signals
) -> None:
    store, acknowledged = tmp_path / "store", []
    first = await asyncio.create_subprocess_exec(
        *COMMAND, "--store", str(store), "--embedder", "hash", "--user", "ana",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    ten = asyncio.Event()
    try:
        await asyncio.to_thread(_wait_for, store / sharing.SOCKET)
        async with Client(server(store, "--user", "ana")) as second:

            async def write() -> None:
                for number in range(60):
                    text = f"thing {number}"
                    done = await second.call_tool("remember", {"content": text})
                    if not done.is_error:
                        acknowledged.append(text)
                        if len(acknowledged) == 10:
                            ten.set()
                    else:  # it says that it does not know
                        assert "what became of" in done.content[0].text

            writing = asyncio.ensure_future(write())
            await asyncio.wait(
                [asyncio.ensure_future(ten.wait()), writing], return_when="FIRST_COMPLETED"
            )
            first.send_signal(how)
            await writing
            assert len(acknowledged) >= 59
            assert acknowledged[-1] == "thing 59"
    finally:
        if first.returncode is None:
            first.kill()
        await first.wait()
    async with open_memory(store, embedder="hash") as memory:
        kept = {one.content async for one in _all(memory)}
        assert kept >= set(acknowledged)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.1)


async def _all(memory: Any) -> Any:
    for one in await memory.list_memories("ana", limit=1_000):
        yield one
