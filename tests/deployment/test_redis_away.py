"""What docs/deployment.md says of a Redis that is away: what goes on, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable
from tests.durability.support import message
from tests.faults.load import impatient
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server


@pytest.mark.parametrize("without", ["refuse", "rows"])
async def test_what_goes_on_while_redis_is_away(
    redis_server: RedisServer, store_name: str, without: Any
) -> None:
    async with open_memory(
        f"qdrant+local::memory:?collection={store_name}",
        sessions=impatient(redis_server.url),
        embedder="hash",
        without_sessions=without,
    ) as memory:
        await memory.store_message(message("the boiler is loud"), "talk", user_id="ana")
        assert len(await memory.recall("boiler", user_id="ana")) == 1
        redis_server.kill()
        with pytest.raises(BackendUnavailable):
            await memory.store_message(message("unheard"), "talk", user_id="ana")
        if without == "refuse":
            with pytest.raises(BackendUnavailable):
                await memory.get_context("ana", "talk")
            with pytest.raises(BackendUnavailable):
                await memory.recall("boiler", user_id="ana")
        else:
            context = await memory.get_context("ana", "talk")
            assert [one.content for one in context.messages] == ["the boiler is loud"]
            assert len(await memory.recall("boiler", user_id="ana")) == 1
            assert "rows alone" in (await memory.health())["sessions"]["problem"]
        redis_server.start()
        await memory.store_message(message("heard"), "talk", user_id="ana")
        context = await memory.get_context("ana", "talk")
        assert [one.content for one in context.messages] == ["the boiler is loud", "heard"]


async def test_a_profile_is_in_redis_alone(
    redis_server: RedisServer,
) -> None:
    """The back-up of the rows does not have it."""
    async with open_memory("memory://", sessions=redis_server.url, embedder="hash") as memory:
        user = await memory.get_user("ana")
        await memory.save_user(user.model_copy(update={"preferences": {"tea": "green"}}))
        await memory.store_message(message("hello"), "talk", user_id="ana")
        assert (await memory.get_user("ana")).preferences == {"tea": "green"}
        redis_server.client.flushall()
        assert (await memory.get_user("ana")).preferences == {}
        assert len((await memory.get_context("ana", "talk")).messages) == 1
