"""Several stores that have their sessions in one Redis share nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
from bruno_core.models.context import UserContext

from bruno_memory_vec import open_memory
from tests.durability.support import message

pytestmark = pytest.mark.redis_server


@pytest.mark.parametrize("scheme", ["", "qdrant+local:"])
async def test_stores_of_one_name(tmp_path: Path, redis_url: str, scheme: str) -> None:
    """Their folders are called the same, and so are their conversations and users."""
    urls = [f"{scheme}{tmp_path / where / 'memory'}" for where in ("here", "there")]
    for number, url in enumerate(urls):
        async with open_memory(url, embedder="hash", sessions=redis_url) as memory:
            user = f"user {number}"
            await memory.store_message(message(f"hello {number}"), "talk", user_id=user)
            await memory.save_user(UserContext(user_id="ana", profile={"number": number}))
            await memory.create_session("ana")
    for number, url in enumerate(urls):
        async with open_memory(url, embedder="hash", sessions=redis_url) as memory:
            context = await memory.get_context(f"user {number}", "talk")
            assert [one.content for one in context.messages] == [f"hello {number}"]
            assert (await memory.get_user("ana")).profile == {"number": number}
            assert len(await memory.list_sessions("ana")) == 1
            assert (await memory.health())["problems"] == {}
