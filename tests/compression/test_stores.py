"""Compressed in another kind of store, and copied to another one, it is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.compression.support import archived, check_each_once, check_whole, turns


@pytest.mark.slow
async def test_in_qdrant(tmp_path: Path) -> None:
    said = turns(60)
    async with open_memory(f"qdrant+local:{tmp_path / 'rows'}") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        assert (await memory.compress("ana", policy={"block_turns": 20})).turns == 40
        await check_whole(memory, "ana", {"talk": said})
        await check_each_once(memory, "ana")
        await memory.delete_messages(said[3].id)
        # The summary of its block has gone, and that of the conversation.
        assert len(await memory.list_memories("ana")) == 1
        assert sum((await archived(memory, "ana")).values()) == 20
        restored = await memory.restore(user_id="ana")
        assert (restored.turns, restored.summaries) == (20, 1)
        assert not any((await archived(memory, "ana")).values())


@pytest.mark.slow
async def test_a_copy_is_restored_as_its_source(tmp_path: Path) -> None:
    said = turns(60)
    async with open_memory(str(tmp_path / "source")) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await memory.compress("ana", policy={"block_turns": 20})
        await memory.copy_to(tmp_path / "copy")
    async with open_memory(str(tmp_path / "copy")) as copy:
        await check_whole(copy, "ana", {"talk": said})
        assert (await copy.compress("ana")).turns == 0
        restored = await copy.restore(conversation_id="talk")
        assert (restored.turns, restored.summaries) == (40, 3)
        assert not any((await archived(copy, "ana")).values())


@pytest.mark.slow
async def test_a_re_embedded_store_keeps_its_summaries(tmp_path: Path) -> None:
    said = turns(60)
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await memory.compress("ana", policy={"block_turns": 20})
        await memory.reembed("static")
        await check_whole(memory, "ana", {"talk": said})
        assert (await memory.restore(user_id="ana")).turns == 40
