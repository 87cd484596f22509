"""Connections to Redis that are cut in the middle of a command, lost, or slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable
from tests.durability.support import message, rows_of, turns_of
from tests.faults.load import NEVER, Writers, impatient, right
from tests.servers.proxy import Proxy
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server

# Bytes after which a connection is reset: in a length, in a command, in an answer.
_PLACES = (0, 1, 7, 40, 150, 400, 900, 1700)


async def again(call: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    """The result of a call that is made again while the server is away, and how often it was."""
    end, times = time.monotonic() + NEVER, 0
    while True:
        try:
            return await call(), times
        except BackendUnavailable:
            assert time.monotonic() < end, "it never works"
        times += 1
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("direction", ["sent", "received"])
async def test_a_cut_anywhere_in_a_write_loses_and_doubles_nothing(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path, direction: str
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        said = []
        for number, place in enumerate(_PLACES):
            text = f"number {number}"
            one = message(text)
            redis_proxy.cut_after(**{direction: place})
            await again(lambda one=one: memory.store_message(one, "talk", user_id="ana"))  # type: ignore[misc]
            said.append(text)
            context, _ = await again(lambda: memory.get_context("ana", "talk"))
            assert [one.content for one in context.messages] == said
        assert redis_proxy.cuts >= len(_PLACES) - 2
        told = await turns_of(memory, "talk")
        assert [content for _, content in told] == said
        assert len({turn for turn, _ in told}) == len(said)
        assert len(await rows_of(memory)) == len(said)
        assert (await memory.health())["problems"] == {}


async def test_a_cut_anywhere_in_a_read_is_mended_or_told(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        texts = [f"number {number}" for number in range(5)]
        for text in texts:
            await memory.store_message(message(text), "talk", user_id="ana")
        session = await memory.create_session("ana")
        for place in _PLACES:
            for cut in ({"sent": place}, {"received": place}):
                redis_proxy.cut_after(**cut)
                context, _ = await again(lambda: memory.get_context("ana", "talk"))
                assert [one.content for one in context.messages] == [
                    f"number {n}" for n in range(5)
                ]
                hits, _ = await again(lambda: memory.recall("number 3", user_id="ana", k=1))
                assert [hit.content for hit in hits] == ["number 3"]
                found, _ = await again(lambda: memory.get_session(session.session_id))
                assert found.session_id == session.session_id


async def test_a_session_is_begun_once_and_ended_where_the_answers_are_lost(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        redis_proxy.cut_after(received=0)
        session, refused = await again(lambda: memory.create_session("ana"))
        begun = [one.session_id for one in await memory.list_sessions("ana")]
        # A refused call may have begun one; that which was answered is the newest.
        assert begun[0] == session.session_id
        assert len(begun) <= 1 + refused
        redis_proxy.cut_after(received=0)
        await again(lambda: memory.end_session(session.session_id))
        assert not (await memory.get_session(session.session_id)).is_active


@pytest.mark.slow
async def test_a_slow_connection_is_only_slow(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        redis_proxy.delay = 0.01
        writers = Writers(memory)
        await writers.more(6)
        redis_proxy.delay, redis_proxy.bandwidth = 0.0, 50_000
        await writers.more(6)
        redis_proxy.bandwidth = None
        await writers.stop()
        assert writers.refused == []
        await right(memory, writers)


async def test_connections_are_cut_under_load(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        writers = Writers(memory)
        for number in range(8):
            await writers.more(2)
            redis_proxy.cut_after(**{("sent", "received")[number % 2]: 90 * number})
        redis_proxy.refuse()
        await writers.refusals()
        redis_proxy.accept()
        await writers.more()
        await writers.stop()
        await right(memory, writers)


@pytest.mark.slow
async def test_a_connection_that_loses_everything_times_out(
    redis_server: RedisServer, redis_proxy: Proxy, tmp_path: Path
) -> None:
    url = impatient(f"redis://{redis_proxy.host}:{redis_proxy.port}")
    async with open_memory(str(tmp_path / "store"), sessions=url, embedder="hash") as memory:
        await _works(memory, "before")
        redis_proxy.hold()
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match=f"{redis_proxy.port}"):
            await memory.store_message(message("held"), "talk", user_id="ana")
        assert time.monotonic() - began < NEVER
        redis_proxy.let_go()
        await _works(memory, "after")
        assert "held" not in [text for _, text in await turns_of(memory, "talk")]


async def _works(memory: VectorMemory, text: str) -> None:
    await again(lambda: memory.store_message(message(text), "talk", user_id="ana"))
    context = await memory.get_context("ana", "talk")
    assert context.messages[-1].content == text
