"""Two writers of one store, each in a process of its own as far as they know of each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError
from bruno_memory_vec.sessions.owners import foreign_conversation
from bruno_memory_vec.writing.lease import Wanted


async def begun_by_another(memory: VectorMemory, conversation: str, owner: str) -> None:
    """Let another process begin the conversation for ``owner``, just before the next numbering."""
    store = await memory._lazy.get()
    lease, sessions = store.lease, store.sessions
    assert lease is not None
    inner = lease.next_turns

    async def next_turns(
        wanted: Mapping[str, Wanted], begun: Collection[str] = ()
    ) -> dict[str, int]:
        lease.next_turns = inner  # type: ignore[method-assign]
        await sessions.restore([(conversation, owner, 0)], await sessions.last_seq())
        if conversation in wanted and wanted[conversation].user_id != owner:
            raise foreign_conversation(conversation, wanted[conversation].user_id)
        return await inner(wanted)

    lease.next_turns = next_turns  # type: ignore[method-assign]


async def test_a_write_that_names_nobody_is_the_owners() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await begun_by_another(memory, "talk", "bo")
        await memory.store_message(Message(role="user", content="hello"), "talk")
        assert [m.content for m in await memory.for_user("bo").retrieve_messages("talk")] == [
            "hello"
        ]


async def test_a_write_of_another_user_is_refused() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await begun_by_another(memory, "talk", "bo")
        with pytest.raises(ForeignUserError, match="'talk'"):
            await memory.store_message(Message(role="user", content="hello"), "talk", user_id="ana")
        assert not await memory.retrieve_messages("talk")
