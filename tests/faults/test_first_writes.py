"""The first writes of a process, while its first heartbeat is still on its way to Redis."""

from __future__ import annotations

import asyncio

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory

pytestmark = pytest.mark.redis_server


async def test_writes_that_come_before_the_first_heartbeat_are_taken(redis_url: str) -> None:
    async with open_memory("memory://", embedder="hash", sessions=redis_url) as memory:

        async def talk(number: int) -> int:
            user = f"user-{number}"
            session = await memory.create_session(user)  # so that not all come at one moment
            said = Message(role="user", content="One.")
            await memory.store_message(said, session.conversation_id, user_id=user)
            return len(await memory.retrieve_messages(session.conversation_id))

        assert await asyncio.gather(*map(talk, range(20))) == [1] * 20
