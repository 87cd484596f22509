"""LanceDB passes the suite as it is."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.testing import RowIndexConformance
from bruno_memory_vec.testing.engine_suite import ANY, EVERYONE, ROWS
from bruno_memory_vec.testing.rows import message


class TestLance(RowIndexConformance):
    async def make_index(self) -> LanceIndex:
        return await LanceIndex.open(str(self.folder / "rows"), self.dimension)

    async def test_another_dimension_is_refused(self, index: LanceIndex) -> None:
        await index.close()
        with pytest.raises(EngineError, match=r"hold 32 values a vector, not 16.*embedder"):
            await LanceIndex.open(str(self.folder / "rows"), 16)

    async def test_a_reader_needs_rows(self) -> None:
        with pytest.raises(BackendUnavailable, match="Open the store once without read_only"):
            await LanceIndex.open(str(self.folder / "none"), self.dimension, read_only=True)

    async def test_a_reader_sees_new_commits(self, index: LanceIndex) -> None:
        reader = await LanceIndex.open(str(self.folder / "rows"), self.dimension, read_only=True)
        assert await reader.count(EVERYONE, ANY) == len(ROWS)
        await index.upsert(self.rows(message(50, "new")), all_new=True)
        await index.maintain()
        assert await reader.count(EVERYONE, ANY) == len(ROWS) + 1
        assert not reader.due()
        await reader.close()

    async def test_many_rows_are_compacted_at_44_commits_unless_that_takes_long(
        self, index: LanceIndex
    ) -> None:
        upkeep = index._upkeep
        upkeep._rows, upkeep.commits = 100_000, 43
        assert not index.due()
        upkeep.commits = 44
        assert index.due()
        # It took a hundred seconds, a moment ago: it waits for one commit for each 4,000 rows.
        upkeep.last = replace(upkeep.last, seconds=100.0)
        upkeep._compacted_at = time.monotonic()
        assert not index.due()
        upkeep._compacted_at -= 50 * 100.0
        assert index.due()
        upkeep._compacted_at = time.monotonic()
        upkeep.commits = 57
        assert index.due()

    async def test_upkeep_is_due_by_counts(self, empty: LanceIndex) -> None:
        assert not empty.due()
        for seq in range(32):
            assert not empty.due()
            await empty.upsert(self.rows(message(seq)), all_new=True)
        assert empty.due()
        done = await empty.maintain()
        assert done.details["fragments_removed"] == 32
        assert not empty.due()
        health = await empty.health()
        assert (health["fragments"], health["upkeep"]["runs"]) == (1, 1)
