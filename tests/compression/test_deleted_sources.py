"""Deleted means gone: no summary quotes what was deleted, whatever it was deleted by."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.compression.compressor import Compressor, _Run
from tests.compression.support import archived, check_whole, pin, turns

SECRET = "Zanzibar"
POLICY = {"keep_newest": 0, "ratio": 0.6, "block_turns": 10, "period": "day"}


@pytest.fixture
def said() -> list[Message]:
    said = turns(40)
    told = f"The safe in {SECRET} opens with 7719."
    said[12] = said[12].model_copy(update={"content": told})
    return said


@pytest.fixture
async def memory(tmp_path: Path, said: list[Message]) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "memory")) as opened:
        await opened.store_messages(said, "talk", user_id="ana")
        await opened.store_messages(turns(40, seed=2), "other", user_id="ana")
        await opened.store_messages(turns(40, seed=3), "his", user_id="ben")
        report = await opened.compress("ana", policy=POLICY)
        assert await quoted(opened) == {"block", "session", "period"}, str(report)
        yield opened


async def quoted(memory: VectorMemory) -> set[str]:
    """The levels of the summaries that hold the secret."""
    entries = await memory.list_memories("ana", include_archived=True, limit=None)
    return {str(one.metadata.custom_fields["level"]) for one in entries if SECRET in one.content}


async def delete_one(memory: VectorMemory, message: Message) -> None:
    assert await memory.delete_messages(message.id) == 1


async def clear(memory: VectorMemory, message: Message) -> None:
    await memory.clear_history("talk", keep_system_messages=False)


async def store_other_words(memory: VectorMemory, message: Message) -> None:
    changed = message.model_copy(update={"content": "The safe is somewhere else."})
    await memory.store_message(changed, "talk", user_id="ana")


@pytest.mark.parametrize("how", [delete_one, clear, store_other_words])
async def test_every_summary_of_it_goes_with_it(
    memory: VectorMemory,
    said: list[Message],
    how: Callable[[VectorMemory, Message], Awaitable[None]],
) -> None:
    await how(memory, said[12])
    assert await quoted(memory) == set()
    hits = await memory.recall(SECRET, user_id="ana", include_archived=True, k=50)
    assert not [hit for hit in hits if SECRET in hit.content]
    # What else the block stood for is recalled again; the other blocks are as they were.
    state = await archived(memory, "ana")
    left = await memory.read_turns("talk", limit=None)
    for one in left:
        assert state[str(one.message.id)] == (not 10 <= one.turn < 20)
    if how is not clear:
        # The next run makes them anew, of what is there.
        report = await memory.compress("ana", policy={**POLICY, "min_turns": 2})
        assert {one.level for one in report.summaries} == {"block", "session", "period"}
        assert all((await archived(memory, "ana")).values())
        assert await quoted(memory) == set()
        await check_whole(memory, "ana", {"talk": [one.message for one in left]})
    assert not any((await archived(memory, "ben")).values())


async def test_no_file_holds_it_after_upkeep(
    memory: VectorMemory, said: list[Message], tmp_path: Path
) -> None:
    await memory.delete_messages(said[12].id)
    await memory.maintain()
    for path in (tmp_path / "memory").rglob("*"):
        if path.is_file():
            assert not re.search(SECRET.encode(), path.read_bytes(), re.IGNORECASE), path


async def test_a_deleted_summary_leaves_its_turns_to_recall(memory: VectorMemory) -> None:
    entries = await memory.list_memories("ana", limit=None)
    block = next(
        one
        for one in entries
        if SECRET in one.content and one.metadata.custom_fields["level"] == "block"
    )
    await memory.delete_memory(str(block.id))
    state = await archived(memory, "ana")
    assert all(not state[str(id_)] for id_ in block.metadata.related_memories)
    assert sum(state.values()) == 70


async def test_what_was_archived_for_another_reason_stays_so(
    memory: VectorMemory, said: list[Message]
) -> None:
    from bruno_memory_vec.indexers.query import RowFilter, Scope

    writer = await memory._handle.writer()
    where = RowFilter(ids=(str(said[14].id),))
    await writer.rewrite(
        Scope.user("ana"), where, lambda row: {"archived_at": row["archived_at"] + 1}
    )
    await memory.delete_messages(said[12].id)
    state = await archived(memory, "ana")
    assert state[str(said[14].id)]
    assert not state[str(said[15].id)]


async def test_a_message_that_is_deleted_while_it_is_summarised(tmp_path: Path) -> None:
    from tests.scripted_llm import ScriptedLLM

    said = turns(40)

    class Slow(ScriptedLLM):
        async def generate(self, messages: list[Message], **given: object) -> str:
            # Everything has been read by now.
            await memory.delete_messages([said[3].id])
            await pin(memory, "ana", said[25])
            return await super().generate(messages, **given)

    llm = Slow(lambda messages: "\n".join(messages[-1].content.splitlines()[:4]))
    async with open_memory("memory://", llm=llm) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        report = await memory.compress("ana", policy={"keep_newest": 0, "block_turns": 20})
        assert [one.problem for one in report.failures] == ["they were changed meanwhile"] * 2
        assert not report.turns
        assert not await memory.list_memories("ana", include_archived=True)
        assert not any((await archived(memory, "ana")).values())


async def test_a_run_that_is_broken_off_leaves_nothing_of_what_was_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was cancelled when a summary of each level had been written; its sources went before."""
    write = Compressor._write
    policy = {**POLICY, "min_turns": 2}

    for level, mend in (("block", "compress"), ("session", "compress"), ("session", "maintain")):

        async def then_cancelled(self: Compressor, run: _Run, entry: MemoryEntry) -> None:
            if entry.metadata.custom_fields["level"] == level:  # noqa: B023
                await memory.delete_messages([str(one.id) for one in said])  # noqa: B023
                await write(self, run, entry)
                raise asyncio.CancelledError
            await write(self, run, entry)

        said = turns(30)
        async with open_memory("memory://", embedder="hash") as memory:
            await memory.store_messages(said, "talk", user_id="ana")
            await memory.store_messages(turns(12, seed=2), "other", user_id="ana")
            with monkeypatch.context() as patch:
                patch.setattr(Compressor, "_write", then_cancelled)
                with pytest.raises(asyncio.CancelledError):
                    await memory.compress("ana", conversation_id="talk", policy=policy)
            assert len(await memory.list_memories("ana")) == 1
            if mend == "maintain":
                report = await memory.maintain()
                assert (report.ok, report.summaries_removed) == (True, 1)
                assert "summaries of what was deleted removed: 1" in str(report)
            else:
                await memory.compress("ana", policy={**policy, "min_turns": 100})
            assert not await memory.list_memories("ana", include_archived=True)


@pytest.mark.parametrize("how", ["delete", "restore"])
async def test_what_is_recalled_again_stays_archived_with_its_conversation(how: str) -> None:
    said = turns(40)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await memory.compress("ana", policy={**POLICY, "keep_newest": 10})
        await memory.conversations.archive("talk")
        if how == "delete":
            await memory.delete_messages(said[12].id)
        else:
            await memory.restore(conversation_id="talk")
        assert all((await archived(memory, "ana")).values())
        await memory.conversations.restore("talk")
        state = await archived(memory, "ana")
        still = {str(one.id) for at, one in enumerate(said[:30]) if not 10 <= at < 20}
        assert {id_ for id_, at in state.items() if at} == (still if how == "delete" else set())


async def test_a_summary_that_was_archived_by_itself_is_restored_all_the_same() -> None:
    said = turns(20)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await memory.compress("ana", policy={**POLICY, "sessions": False})
        await memory.forget(
            [str(one.id) for one in await memory.list_memories("ana")], archive=True
        )
        await memory.restore(conversation_id="talk")
        assert not any((await archived(memory, "ana")).values())
