"""A Redis that is killed, restarted, flushed or frozen while a memory writes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError
from tests.durability.support import message, turns_of
from tests.faults.load import NEVER, Writers, impatient, right
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server


@pytest.mark.parametrize("persistent", [True, False], ids=["its data kept", "its data lost"])
async def test_a_redis_that_is_killed_and_restarted_under_load(
    tmp_path: Path, persistent: bool
) -> None:
    with RedisServer(tmp_path / "redis", persistent=persistent) as server:
        async with open_memory(
            str(tmp_path / "store"), sessions=impatient(server.url), embedder="hash"
        ) as memory:
            writers = Writers(memory)
            await writers.more()
            server.kill()
            await writers.refusals()
            server.start()
            await writers.more()
            await writers.stop()
            await right(memory, writers)
            error = writers.refused[0]
            assert f"{server.host}:{server.port}" in str(error)
            assert error.fix


async def test_a_redis_that_is_flushed_under_load(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Everything in it is in the rows, too, but for sessions and profiles."""
    async with open_memory(
        str(tmp_path / "store"), sessions=impatient(redis_server.url), embedder="hash"
    ) as memory:
        writers = Writers(memory)
        for _ in range(3):
            await writers.more()
            redis_server.client.flushall()
        await writers.more()
        await writers.stop()
        await right(memory, writers)


async def test_a_conversation_keeps_its_owner_when_redis_is_flushed(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with open_memory(
        str(tmp_path / "store"), sessions=impatient(redis_server.url), embedder="hash"
    ) as memory:
        await memory.store_message(message("mine"), "talk", user_id="ana")
        redis_server.client.flushall()
        with pytest.raises(ForeignUserError):
            await memory.store_message(message("hers"), "talk", user_id="bo")
        with pytest.raises(ForeignUserError):
            await memory.get_context("bo", "talk")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["mine"]
        await memory.store_message(message("mine, too"), "talk", user_id="ana")
        told = await turns_of(memory, "talk")
        assert [text for _, text in told] == ["mine", "mine, too"]
        assert len({turn for turn, _ in told}) == 2


async def test_a_redis_that_hangs_is_said_to_be_away_and_forgiven(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with open_memory(
        str(tmp_path / "store"), sessions=impatient(redis_server.url), embedder="hash"
    ) as memory:
        writers = Writers(memory, 1)
        await writers.more()
        redis_server.freeze()
        await writers.refusals()
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            await memory.get_context("ana", "talk-0")
        assert time.monotonic() - began < NEVER
        redis_server.thaw()
        await writers.more()
        await writers.stop()
        await right(memory, writers)


async def test_a_redis_that_is_away_at_the_opening_is_named(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", password="a secret word")
    began = time.monotonic()
    with pytest.raises(BackendUnavailable) as raised:
        await open_memory(str(tmp_path / "store"), sessions=impatient(server.url), embedder="hash")
    assert time.monotonic() - began < NEVER
    assert f"{server.host}:{server.port}" in str(raised.value)
    assert raised.value.fix
    assert "a secret word" not in str(raised.value)
    # Nothing stays locked.
    with server:
        async with open_memory(
            str(tmp_path / "store"), sessions=impatient(server.url), embedder="hash"
        ) as memory:
            await memory.store_message(message("here"), "talk", user_id="ana")
