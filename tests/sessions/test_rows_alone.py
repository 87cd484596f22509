"""``without_sessions="rows"``: what goes on while Redis is away, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from bruno_core.models.context import UserContext

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError
from tests.durability.support import message
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server


async def test_reading_goes_on_and_says_so(redis_server: RedisServer, tmp_path: Path) -> None:
    url = f"{redis_server.url}?timeout=1&retries=1"
    async with open_memory(
        str(tmp_path / "store"), embedder="hash", sessions=url, without_sessions="rows"
    ) as memory:
        for text in ("I live in Oslo", "I like tea"):
            await memory.store_message(message(text), "talk", user_id="ana")
        redis_server.kill()
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["I live in Oslo", "I like tea"]
        # The user's conversation is the one with the newest message.
        assert (await memory.get_context("ana")).conversation_id == "talk"
        with pytest.raises(ForeignUserError):
            await memory.get_context("bo", "talk")
        hits = await memory.recall("Oslo", user_id="ana", k=1)
        assert [hit.content for hit in hits] == ["I live in Oslo"]
        assert len(await memory.retrieve_messages("talk")) == 2
        for refused in (
            memory.store_message(message("no"), "talk", user_id="ana"),
            memory.save_user(UserContext(user_id="ana")),
            memory.create_session("ana"),
            memory.list_sessions("ana"),
        ):
            with pytest.raises(BackendUnavailable, match=str(redis_server.port)):
                await refused
        health = await memory.health()
        assert health["status"] == "degraded"
        assert "from the rows alone" in health["problems"]["sessions"]
        redis_server.start()
        await memory.store_message(message("back"), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["I live in Oslo", "I like tea", "back"]
        assert (await memory.health())["problems"] == {}


async def test_a_store_opens_without_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    url = f"{redis_server.url}?timeout=1&retries=0"
    store = str(tmp_path / "store")
    async with open_memory(store, embedder="hash", sessions=url) as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
    redis_server.kill()
    with pytest.raises(BackendUnavailable):
        await open_memory(store, embedder="hash", sessions=url)
    async with open_memory(store, embedder="hash", sessions=url, without_sessions="rows") as memory:
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one"]
        with pytest.raises(BackendUnavailable):
            await memory.store_message(message("two"), "talk", user_id="ana")
        redis_server.start()
        await memory.store_message(message("three"), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["one", "three"]
