"""The log in front of an index answers as the index does, whatever has been flushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.forwarding import ForwardingRowIndex, capability
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.lance.memtable import MEMTABLE_ROWS
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.protocols import Flushes, RowIndex
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import COLUMNS, LOG, row_schema
from bruno_memory_vec.testing import RowIndexConformance
from bruno_memory_vec.testing.engine_suite import ANA, ANY, EVERYONE, ROWS, by_seq
from bruno_memory_vec.testing.rows import message, table


async def open_logged(folder: Path, dimension: int, **how: bool) -> WriteAheadLogIndex:
    inner = await LanceIndex.open(str(folder), dimension, **how)
    index = WriteAheadLogIndex(inner, folder / LOG, row_schema(dimension), **how)
    await index.replay()
    return index


class TestLogged(RowIndexConformance):
    """All rows are in the log, unless a change brought them to the engine."""

    async def make_index(self) -> WriteAheadLogIndex:
        return await open_logged(self.folder / "rows", self.dimension)

    def logs(self) -> list[Path]:
        return sorted((self.folder / "rows" / LOG).glob("*"))

    def long_row(self, seq: int, length: int) -> pa.Table:
        """A row whose vector is given: the embedder would take seconds for such a text."""
        vector = np.full((1, self.dimension), self.dimension**-0.5, np.float32)
        return table([message(seq, "x" * length)], self.dimension, vector)

    async def test_an_append_is_no_commit(self, empty: WriteAheadLogIndex) -> None:
        before = await empty.inner.version()
        for seq in range(20):
            await empty.upsert(self.rows(message(seq)), all_new=True)
        assert await empty.inner.version() == before
        assert await empty.inner.count(EVERYONE, ANY) == 0
        assert await empty.count(EVERYONE, ANY) == 20
        assert len(self.logs()) == 1
        log = (await empty.health())["log"]
        assert (log["rows"], log["segments"], log["problem"]) == (20, 1, None)
        assert log["bytes"] > 20 * 4 * self.dimension
        await empty.flush()
        assert await empty.inner.version() == before + 1
        assert await empty.inner.count(EVERYONE, ANY) == 20
        assert self.logs() == []
        assert (await empty.health())["log"] == {
            "rows": 0,
            "bytes": 0,
            "segments": 0,
            "problem": None,
        }

    async def test_every_append_is_another_version(self, empty: WriteAheadLogIndex) -> None:
        reader = await open_logged(self.folder / "rows", self.dimension, read_only=True)
        seen: list[tuple[int, int]] = []
        for seq in range(4):
            await empty.upsert(self.rows(message(seq)), all_new=True)
            seen.append((await empty.version(), await reader.version()))
            assert (await empty.version(), await reader.version()) == seen[-1]
        assert [len(set(versions)) for versions in zip(*seen, strict=True)] == [4, 4]
        await reader.close()

    async def test_many_rows_go_past_the_log(self, empty: WriteAheadLogIndex) -> None:
        await empty.upsert(self.rows(message(0, "the first")), all_new=True)
        await empty.upsert(self.rows(*(message(seq) for seq in range(1, 700))), all_new=True)
        assert await empty.inner.count(EVERYONE, ANY) == 700
        assert self.logs() == []
        # The same for few rows with very much text.
        await empty.upsert(self.long_row(700, 5_000_000), all_new=True)
        assert await empty.inner.count(EVERYONE, ANY) == 701

    async def test_rows_behind_others_go_past_the_log(self, empty: WriteAheadLogIndex) -> None:
        """A log is replayed by ``seq``, so it holds rows in their order only."""
        for seq in (5, 3, 9, 4):
            await empty.upsert(self.rows(message(seq, f"number {seq}")), all_new=True)
        await empty.upsert(self.rows(message(21), message(20)), all_new=True)
        found = await empty.read(EVERYONE, ANY, ["seq"], order_by="seq")
        assert found.column("seq").to_pylist() == [21, 20, 9, 5, 4, 3]
        again = await open_logged(self.folder / "rows", self.dimension)
        assert await again.count(EVERYONE, ANY) == 6
        await again.close()

    async def test_the_tail_is_bounded(self, empty: WriteAheadLogIndex) -> None:
        most = 0
        for first in range(0, 12_000, 300):
            await empty.upsert(self.rows(*(message(first + n) for n in range(300))), all_new=True)
            most = max(most, (await empty.health())["log"]["rows"])
        assert 0 < most <= MEMTABLE_ROWS
        assert await empty.count(EVERYONE, ANY) == 12_000
        for first in range(12_000, 12_020):
            await empty.upsert(self.long_row(first, 2_000_000), all_new=True)
            most = max(most, (await empty.health())["log"]["bytes"])
        assert most <= 16 * 2**20
        assert await empty.last_seq() == 12_019

    async def test_whoever_is_cancelled_breaks_nothing(self, empty: WriteAheadLogIndex) -> None:
        for seq in range(60):
            call = asyncio.ensure_future(empty.upsert(self.rows(message(seq)), all_new=True))
            flush = asyncio.ensure_future(empty.flush())
            for _ in range(seq % 7):
                await asyncio.sleep(0)
            call.cancel()
            flush.cancel()
            await asyncio.gather(call, flush, return_exceptions=True)
        held = (await empty.read(EVERYONE, ANY, ["seq"])).column("seq").to_pylist()
        assert len(held) == len(set(held))
        await empty.upsert(self.rows(message(100)), all_new=True)
        await empty.flush()
        assert await empty.inner.count(EVERYONE, ANY) == len(held) + 1

    async def test_a_change_finds_what_is_only_logged(self, empty: WriteAheadLogIndex) -> None:
        await empty.upsert(self.rows(message(0), message(1), message(2)), all_new=True)
        await empty.upsert(self.rows(message(3, "again", id=str(UUID(int=1)))), all_new=False)
        assert (await empty.delete(ANA, RowFilter(ids=(str(UUID(int=2)),)))).tolist() == [2]
        await empty.upsert(self.rows(message(4)), all_new=True)
        found = by_seq(await empty.read(EVERYONE, ANY, COLUMNS))
        assert {seq: row["content"] for seq, row in found.items()} == {
            0: "hello",
            3: "again",
            4: "hello",
        }


@pytest.mark.slow
class TestLoggedHalf(RowIndexConformance):
    """Some rows are in the log, and some in the engine."""

    async def make_index(self) -> WriteAheadLogIndex:
        return await open_logged(self.folder / "rows", self.dimension)

    @pytest_asyncio.fixture
    async def index(self, empty: WriteAheadLogIndex) -> RowIndex:
        await empty.upsert(self.rows(*ROWS[:4]), all_new=True)
        await empty.flush()
        await empty.upsert(self.rows(*ROWS[4:6]), all_new=True)
        await empty.upsert(self.rows(*ROWS[6:]), all_new=True)
        assert (await empty.health())["log"]["rows"] == 5
        return empty


class _Flushing(WriteAheadLogIndex):
    """Flushes behind each append."""

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        await super().upsert(rows, all_new=all_new)
        if all_new:
            await self.flush()


@pytest.mark.slow
class TestLoggedFlushed(RowIndexConformance):
    async def make_index(self) -> RowIndex:
        folder = self.folder / "rows"
        inner = await LanceIndex.open(str(folder), self.dimension)
        index = _Flushing(inner, folder / LOG, row_schema(self.dimension))
        await index.replay()
        return index


class TestCachedLogged(RowIndexConformance):
    """The layers as a store has them, being flushed all the time."""

    async def make_index(self) -> RowIndex:
        return CachedIndex(await open_logged(self.folder / "rows", self.dimension), 2**20)

    @pytest_asyncio.fixture
    async def empty(self) -> AsyncIterator[RowIndex]:
        index = await self.make_index()
        logged = capability(index, Flushes)
        assert logged is not None

        async def flush() -> None:
            while True:
                await logged.flush()
                await asyncio.sleep(0.003)

        flushing = asyncio.create_task(flush())
        yield index
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await index.close()


@pytest.mark.slow
class TestLoggedReader(RowIndexConformance):
    """Answers of a reader beside the writer that the suite writes to."""

    async def make_index(self) -> RowIndex:
        index = await open_logged(self.folder / "rows", self.dimension)
        reader = await open_logged(self.folder / "rows", self.dimension, read_only=True)
        return _Pair(index, reader)


class _Pair(ForwardingRowIndex):
    """Writes by one index, and reads by another."""

    def __init__(self, writer: WriteAheadLogIndex, reader: WriteAheadLogIndex) -> None:
        super().__init__(reader)
        self.upsert, self.update, self.delete = writer.upsert, writer.update, writer.delete
        self.due, self.maintain = writer.due, writer.maintain
        self.writer = writer

    async def close(self) -> None:
        await self.writer.close()
        await super().close()
