"""A conversation that several writes begin at once is one user's, whichever of them fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec import Fingerprint, open_memory
from bruno_memory_vec.errors import EmbeddingError, EngineError, ForeignUserError


class Slow:
    """Fails at texts that say so, and takes its time."""

    fingerprint = Fingerprint(name="slow", version="1", dimension=4)

    async def embed(self, texts: Sequence[str], *, kind: str = "document") -> NDArray[np.float32]:
        await asyncio.sleep(0.1)
        if any("bad" in text for text in texts):
            raise RuntimeError("a bad text")
        return np.tile(np.array([1, 0, 0, 0], np.float32), (len(texts), 1))


def said(text: str) -> Message:
    return Message(role="user", content=text)


async def test_a_write_that_fails_frees_nothing_that_another_one_writes() -> None:
    async with open_memory("memory://", embedder=Slow()) as memory:
        bad = asyncio.create_task(memory.store_message(said("bad"), "talk", user_id="ana"))
        await asyncio.sleep(0.01)
        good = asyncio.create_task(memory.store_message(said("good"), "talk", user_id="ana"))
        with pytest.raises(EmbeddingError):
            await bad
        # The other one is still being embedded.
        assert not good.done()
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("mine"), "talk", user_id="ben")
        await good
        assert await memory.conversation_owner("talk") == "ana"
        assert {turn.user_id for turn in await memory.read_turns("talk")} == {"ana"}
        assert len((await memory.get_context("ana", "talk")).messages) == 1


async def test_where_all_fail_it_is_nobodys() -> None:
    fact = MemoryEntry(
        content="bad", memory_type=MemoryType.FACT, user_id="ana", conversation_id="talk"
    )
    async with open_memory("memory://", embedder=Slow()) as memory:
        failed = await asyncio.gather(
            *(memory.store_message(said(f"bad {n}"), "talk", user_id="ana") for n in range(3)),
            memory.store_memory(fact),
            return_exceptions=True,
        )
        assert {type(one) for one in failed} == {EmbeddingError}
        assert await memory.conversation_owner("talk") is None
        await memory.store_message(said("mine"), "talk", user_id="ben")
        assert await memory.conversation_owner("talk") == "ben"


async def test_a_refusal_does_not_tell_the_conversation_of_anothers_session() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        session = await memory.create_session("ana")
        with pytest.raises(ForeignUserError) as refusal:
            await memory.for_user("ben").store_message(said("x"), session.session_id)
        assert session.conversation_id not in str(refusal.value)


async def test_a_commit_with_an_unknown_end_keeps_its_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        rows = (await memory._lazy.get()).rows
        inner = rows.upsert

        async def stored_and_failed(table: pa.Table, *, all_new: bool) -> None:
            await inner(table, all_new=all_new)
            raise EngineError("rows", "commit", "the answer was lost", fix="Store it again.")

        with monkeypatch.context() as patched:
            patched.setattr(rows, "upsert", stored_and_failed)
            with pytest.raises(EngineError):
                await memory.store_message(said("secret"), "talk", user_id="ana")
        with pytest.raises(ForeignUserError):
            await memory.store_message(said("mine"), "talk", user_id="ben")
        await memory.store_message(said("again"), "talk", user_id="ana")
        assert {turn.user_id for turn in await memory.read_turns("talk")} == {"ana"}
        assert len((await memory.get_context("ana", "talk")).messages) == 2
