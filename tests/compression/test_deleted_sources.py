"""Deleted means gone: no summary quotes what was deleted, whatever it was deleted by."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
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
