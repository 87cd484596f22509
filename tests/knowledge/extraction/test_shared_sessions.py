"""Where sessions are in Redis, another process goes on where one has stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.knowledge.extraction.support import message

pytestmark = pytest.mark.redis_server


async def test_how_far_it_was_read_is_in_redis(tmp_path: Path, redis_url: str) -> None:
    settings = {"embedder": "hash", "sessions": redis_url, "extract": "patterns"}
    async with open_memory(str(tmp_path / "m"), **settings) as memory:
        await memory.store_message(message("I live in Lisbon"), "talk", user_id="ana")
        await memory.facts.wait()
        await memory.store_message(message("I love tea", 1), "talk", user_id="ana")
    async with open_memory(str(tmp_path / "m"), **settings) as memory:
        assert {fact.value for fact in await memory.facts.list("ana")} == {"Lisbon"}
        await memory.facts.wait()
        found = {fact.value: fact.times_seen for fact in await memory.facts.list("ana")}
        assert found == {"Lisbon": 1, "tea": 1}
        store = await memory._lazy.get()
        note = await store.sessions.note("ana", "talk")
        assert note is not None
        assert note.extracted_turns == 2
