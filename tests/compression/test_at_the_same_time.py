"""Others that change what is compressed at the same time: no turn is archived for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import pytest
from bruno_core.models.memory import MemoryEntry

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.compression.compressor import CompressionLocks, Compressor, _Run
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rows.models import memory_row
from bruno_memory_vec.rows.summaries import SUMMARY, stamp_text
from bruno_memory_vec.writing.dependants.summaries import SUMMARIES, Along, stored_summaries
from bruno_memory_vec.writing.writer import Writer
from tests.compression.support import archived, check_each_once, check_whole, turns

POLICY = CompressionPolicy(keep_newest=0, min_turns=2)


async def delete_it(memory: VectorMemory, entry: MemoryEntry) -> None:
    await memory.delete_memory(str(entry.id))


async def restore(memory: VectorMemory, entry: MemoryEntry) -> None:
    # As by a model that calls it while it is asked for a summary: it does not wait for itself.
    await memory.restore(conversation_id=entry.conversation_id)


@pytest.mark.parametrize("remove", [delete_it, restore])
async def test_a_summary_that_goes_before_its_turns_are_archived(
    remove: Callable[[VectorMemory, MemoryEntry], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = turns(30)
    write = Compressor._write

    async def then_removed(self: Compressor, run: _Run, entry: MemoryEntry) -> None:
        await write(self, run, entry)
        await remove(memory, entry)

    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        with monkeypatch.context() as patch:
            patch.setattr(Compressor, "_write", then_removed)
            report = await memory.compress("ana", policy=POLICY)
        assert (report.turns, len(report.failures)) == (0, 3)
        assert not any((await archived(memory, "ana")).values())
        assert (await memory.compress("ana", policy=POLICY)).turns == 30
        await check_whole(memory, "ana", {"talk": said})


async def test_another_process_deletes_a_summary_while_its_turns_are_archived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = turns(12)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        writer = await memory._handle.writer()
        rows, rewrite = (await memory._handle.store()).rows, writer.rewrite

        async def then_deleted(*given: Any, **named: Any) -> Any:
            found = await rewrite(*given, **named)
            # The other one has looked for archived turns before there were any.
            await rows.delete(EVERYONE, SUMMARIES)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "writes_alone", property(lambda _: False))
            patch.setattr(writer, "rewrite", then_deleted)
            report = await memory.compress("ana", policy=POLICY)
        assert (report.turns, len(report.failures)) == (0, 1)
        assert not any((await archived(memory, "ana")).values())


async def test_another_process_archives_turns_while_their_summary_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(turns(12), "talk", user_id="ana")
        await memory.compress("ana", policy=POLICY)
        (entry,) = await memory.list_memories("ana", categories="summary")
        writer = await memory._handle.writer()
        again, calls = Writer._recall_again, list[Along]()

        async def at_first_none_is_archived(self: Writer, along: Along) -> None:
            calls.append(along)
            if len(calls) > 1:
                await again(self, along)

        with monkeypatch.context() as patch:
            patch.setattr(type(writer._lease), "exclusive", property(lambda _: False))
            patch.setattr(Writer, "_recall_again", at_first_none_is_archived)
            await memory.delete_memory(str(entry.id))
        assert not any((await archived(memory, "ana")).values())


async def test_a_restoration_waits_for_a_compression_that_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, begun = turns(60), asyncio.Event()
    write = Compressor._write

    async def writes(self: Compressor, run: _Run, entry: MemoryEntry) -> None:
        begun.set()
        await write(self, run, entry)

    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        monkeypatch.setattr(Compressor, "_write", writes)
        compressing = asyncio.create_task(memory.compress("ana", policy=POLICY))
        await begun.wait()
        await memory.restore(conversation_id="talk")
        assert (await compressing).turns == 60
        assert not any((await archived(memory, "ana")).values())
        assert not await memory.list_memories("ana", categories="summary")


async def test_two_processes_compress_the_same() -> None:
    said = turns(30)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        both = [Compressor(memory._handle, CompressionLocks()) for _ in range(2)]
        await asyncio.gather(*(one.compress(POLICY, user_id="ana") for one in both))
        await check_whole(memory, "ana", {"talk": said})
        await check_each_once(memory, "ana")
        await memory.compress("ana", policy=POLICY)
        await check_whole(memory, "ana", {"talk": said})
        assert all((await archived(memory, "ana")).values())
        await memory.restore(conversation_id="talk")
        assert not any((await archived(memory, "ana")).values())


@pytest.mark.parametrize("gone", [0, 11])
async def test_a_turn_of_two_summaries_is_recalled_again_whichever_it_was_archived_for(
    gone: int,
) -> None:
    """Two processes of a shared store both archive a block; each row keeps the time of one."""
    said = turns(12)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        await memory.compress("ana", policy=POLICY)
        (entry,) = await memory.list_memories("ana", categories="summary")
        other, stamp = (
            entry.model_copy(update={"id": uuid4()}, deep=True),
            micros(datetime(2024, 5, 6, tzinfo=timezone.utc)),
        )
        other.metadata.custom_fields["archived_at"] = stamp_text(stamp)
        writer, rows = await memory._handle.writer(), (await memory._handle.store()).rows
        await writer.write([memory_row(other, None, memory.config.bounds, SUMMARY)])
        await writer.rewrite(
            Scope.user("ana").within("talk"),
            RowFilter(kinds=("message",)),
            lambda row: {"archived_at": stamp} if row["turn"] < 6 else None,
        )
        assert len(await stored_summaries(rows, {"ana"})) == 2
        await memory.delete_messages(said[gone].id)
        assert not await stored_summaries(rows, {"ana"})
        assert not any((await archived(memory, "ana")).values())
