"""Which ids are stored, an encrypted store knows by their hashes: no row is opened for that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.writing.writer import Writer
from tests.encryption.support import KEY, message, opened


async def _learnt(writer: Writer) -> None:
    """Wait until the ids that were stored at the opening are known: then a new one is new."""
    for _ in range(1_000):
        if not writer._known.any_hashed(writer._known.hashes([str(uuid4())])):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the ids were not learnt")


async def test_ids_are_learnt_without_opening_a_row(tmp_path: Path) -> None:
    said = [message(number) for number in range(2, 42)]
    async with await opened(tmp_path / "store", key=KEY) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
    async with await opened(tmp_path / "store", key=KEY, user_files=False) as memory:
        store = await memory._lazy.get()
        sealed, writer = capability(store.rows, SealedIndex), store.writer
        assert sealed is not None
        assert writer is not None
        await _learnt(writer)
        assert sealed.opened_rows == 0
        ids = [str(one.id) for one in said]
        assert all(writer._known.any_hashed(writer._known.hashes([one])) for one in ids)
        # So what is stored again takes its place, and what is new is added.
        again = Message(id=said[5].id, role=MessageRole.USER, content="other words")
        await memory.store_message(again, "talk", user_id="ana")
        await memory.store_message(message(50), "talk", user_id="ana")
        told = [one.content for one in await memory.retrieve_messages("talk", 100)]
        assert told.count("other words") == 1
        assert len(told) == 41
        assert said[5].content not in told
