"""How much a memory asks of Redis: little while it is idle, a few commands for each call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import message
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server


async def test_an_idle_memory_asks_redis_for_little(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with open_memory(
        str(tmp_path / "store"), sessions=redis_server.url, embedder="hash"
    ) as memory:
        await memory.store_message(message("hello"), "talk", user_id="ana")
        await memory.get_context("ana", "talk")
        before = redis_server.commands_done()
        await asyncio.sleep(1.0)
        # Its heartbeat, and now and then a look at the others'.
        assert redis_server.commands_done() - before - 1 <= 6


async def test_each_call_is_a_few_commands(redis_server: RedisServer, tmp_path: Path) -> None:
    async with open_memory(
        str(tmp_path / "store"), sessions=redis_server.url, embedder="hash"
    ) as memory:
        await memory.store_message(message("hello"), "talk", user_id="ana")
        await memory.get_context("ana", "talk")
        await memory.recall("hello", user_id="ana")

        async def commands(calls: int = 20) -> dict[str, float]:
            asked = {}
            for name in ("store", "context", "recall"):
                before = redis_server.commands_done()
                for number in range(calls):
                    if name == "store":
                        await memory.store_message(message(f"n {number}"), "talk", user_id="ana")
                    elif name == "context":
                        await memory.get_context("ana", "talk")
                    else:
                        await memory.recall("hello", user_id="ana")
                asked[name] = (redis_server.commands_done() - before - 1) / calls
            return asked

        asked = await commands()
        # Commands that a script runs count, too. Bounds, so that a loop over keys would show.
        assert asked["store"] <= 40, asked
        assert asked["context"] <= 15, asked
        assert asked["recall"] <= 4, asked
