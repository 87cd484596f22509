"""What a RowIndex has to do, as tests that any engine's own test suite can inherit.

::

    from bruno_memory_vec.testing import RowIndexConformance

    class TestMyIndex(RowIndexConformance):
        async def make_index(self):
            return await MyIndex.open(self.folder, self.dimension)

``self.folder`` is an empty folder of the test. Where an engine deviates, override
the test and say why, or set one of the class attributes; nothing is skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timezone
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Compacts, Maintenance, RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing.engine_suite import (
    ANA,
    ANY,
    CONDITION_IDS,
    CONDITIONS,
    EVERYONE,
    PLACE_CONDITIONS,
    ROWS,
    TEXT_CONDITIONS,
    EngineSuite,
    by_seq,
    check_shape,
)
from bruno_memory_vec.testing.rows import START, memory, message


class RowIndexConformance(EngineSuite):
    """Tests of a ``RowIndex``. A subclass says how to open one."""

    async def make_index(self) -> RowIndex:
        """Open the engine under test in ``self.folder``; called again to open it again."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def empty(self) -> AsyncIterator[RowIndex]:
        """An engine without a row."""
        index = await self.make_index()
        yield index
        await index.close()

    @pytest_asyncio.fixture
    async def index(self, empty: RowIndex) -> RowIndex:
        """An engine with ``ROWS``, of two commits."""
        await empty.upsert(self.rows(*ROWS[:4]), all_new=True)
        await empty.upsert(self.rows(*ROWS[4:]), all_new=True)
        return empty

    # Empty

    async def test_empty_answers_everything_with_nothing(self, empty: RowIndex) -> None:
        assert len(await empty.search(self.vector("hotel"), EVERYONE, ANY, 5)) == 0
        assert (await empty.read(EVERYONE, ANY, ["seq"], order_by="seq", limit=3)).num_rows == 0
        assert (await empty.read(EVERYONE, ANY, ["seq"], seqs=[0, 1])).num_rows == 0
        assert await empty.count(EVERYONE, ANY) == 0
        assert await empty.last_seq() == -1
        assert [batch.num_rows async for batch in empty.after(-1, ["seq"])] in ([], [0])
        assert (await empty.delete(EVERYONE, ANY)).tolist() == []

    async def test_empty_can_be_maintained(self, empty: RowIndex) -> None:
        assert (await maintained(empty)).error is None
        compacts = capability(empty, Compacts)
        assert compacts is None or isinstance(compacts.due(), bool)

    # Writing

    async def test_every_column_comes_back(self, index: RowIndex) -> None:
        found = await index.read(EVERYONE, ANY, [*COLUMNS, "vector"])
        assert by_seq(found) == by_seq(self.rows(*ROWS))

    async def test_extreme_values_come_back(self, empty: RowIndex) -> None:
        row = memory(
            2**40,
            "\x00 'quoted' \"text\" \\ \n مرحبا 👩‍👩‍👧‍👦 " + "long " * 50_000,
            user_id="O'Brien; DROP TABLE rows; --",
            created_at=datetime(1, 1, 1, tzinfo=timezone.utc),
            expires_at=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
            tags=["", "'", "日本"],
            access_count=2**60,
        )
        await empty.upsert(self.rows(row), all_new=True)
        found = await empty.read(Scope.user("O'Brien; DROP TABLE rows; --"), ANY, COLUMNS)
        assert by_seq(found) == {2**40: row}

    async def test_replace_takes_the_place_of_the_same_key(self, index: RowIndex) -> None:
        changed = {**ROWS[0], "content": "We stayed in Porto", "seq": 20}
        await index.upsert(self.rows(changed, message(21, "new")), all_new=False)
        assert await index.count(EVERYONE, ANY) == len(ROWS) + 1
        found = by_seq(await index.read(EVERYONE, RowFilter(ids=(ROWS[0]["id"],)), COLUMNS))
        # The row of another user with the same id stays.
        assert found == {20: changed, 8: ROWS[8]}
        best = await index.search(self.vector("We stayed in Porto"), ANA, ANY, 1)
        assert best.seq.tolist() == [20]

    async def test_replace_tells_kinds_apart(self, index: RowIndex) -> None:
        await index.upsert(
            self.rows(memory(30, "same id, a memory", id=ROWS[0]["id"])), all_new=False
        )
        assert await index.count(ANA, RowFilter(ids=(ROWS[0]["id"],))) == 2

    async def test_replace_tells_conversations_apart(self, index: RowIndex) -> None:
        copy = message(31, "the same message", id=ROWS[0]["id"], conversation_id="a branch")
        await index.upsert(self.rows(copy), all_new=False)
        assert await index.count(ANA, RowFilter(ids=(ROWS[0]["id"],))) == 2
        # A memory is one row, wherever it was made.
        elsewhere = memory(32, "moved", id=str(UUID(int=77)), conversation_id="one")
        await index.upsert(self.rows(elsewhere), all_new=False)
        await index.upsert(
            self.rows({**elsewhere, "conversation_id": "two", "seq": 33}), all_new=False
        )
        await index.upsert(
            self.rows({**elsewhere, "conversation_id": None, "seq": 34}), all_new=False
        )
        found = await index.read(ANA, RowFilter(ids=(elsewhere["id"],)), ["seq"])
        assert found.column("seq").to_pylist() == [34]

    async def test_replace_takes_both_kinds_at_once(self, index: RowIndex) -> None:
        changed = {**ROWS[0], "content": "We stayed in Porto", "seq": 20}
        await index.upsert(
            self.rows(changed, memory(21, "a memory", id=ROWS[0]["id"])), all_new=False
        )
        found = await index.read(ANA, RowFilter(ids=(ROWS[0]["id"],)), ["seq"])
        assert sorted(found.column("seq").to_pylist()) == [20, 21]

    async def test_replace_again_and_again(self, index: RowIndex) -> None:
        for seq in range(40, 45):
            await index.upsert(
                self.rows({**ROWS[1], "content": f"version {seq}", "seq": seq}), all_new=False
            )
        found = await index.read(ANA, RowFilter(ids=(ROWS[1]["id"],)), ["seq", "content"])
        assert found.to_pylist() == [{"seq": 44, "content": "version 44"}]

    @pytest.mark.parametrize(("_", "scope", "where", "kept"), CONDITIONS, ids=CONDITION_IDS)
    async def test_delete_takes_what_matches(
        self, index: RowIndex, _: str, scope: Scope, where: RowFilter, kept: set[int]
    ) -> None:
        assert set((await index.delete(scope, where)).tolist()) == kept
        left = await index.read(EVERYONE, ANY, ["seq"])
        assert set(left.column("seq").to_pylist()) == set(range(len(ROWS))) - kept

    async def test_delete_takes_those_that_are_named(self, index: RowIndex) -> None:
        assert (await index.delete(EVERYONE, ANY, seqs=[])).tolist() == []
        gone = await index.delete(ANA, RowFilter(kinds=("message",)), seqs=[0, 3, 6, 99])
        assert gone.tolist() == [0]
        assert await index.count(EVERYONE, ANY) == len(ROWS) - 1

    async def test_touch_adds_to_what_is_there(self, index: RowIndex) -> None:
        at = datetime(2025, 5, 5, 5, 5, 5, 5, tzinfo=timezone.utc)
        await count_uses(index, {0: 2, 3: 1, 99: 7}, START)
        await count_uses(index, {0: 3}, at)
        found = by_seq(await index.read(EVERYONE, ANY, COLUMNS))
        assert [found[seq]["access_count"] for seq in range(9)] == [5, 0, 0, 1, 0, 0, 0, 0, 0]
        assert found[0]["last_accessed"] == at
        assert found[3]["last_accessed"] == START
        assert found[1] == ROWS[1]
        assert {**found[0], "access_count": 0, "last_accessed": START} == ROWS[0]

    # Reading

    @pytest.mark.parametrize(("_", "scope", "where", "wanted"), CONDITIONS, ids=CONDITION_IDS)
    async def test_conditions(
        self, index: RowIndex, _: str, scope: Scope, where: RowFilter, wanted: set[int]
    ) -> None:
        scanned = await index.read(scope, where, ["seq"])
        assert sorted(scanned.column("seq").to_pylist()) == sorted(wanted)
        assert await index.count(scope, where) == len(wanted)
        found = await index.search(self.vector("hotel"), scope, where, 100)
        assert sorted(found.seq.tolist()) == sorted(wanted)
        around = await index.read(scope, where, ["seq"], seqs=range(50), turns={"bo's": [0]})
        assert sorted(around.column("seq").to_pylist()) == sorted(wanted)

    async def test_a_filter_on_any_other_column(self, index: RowIndex) -> None:
        """A field of a filter is named in one place, which is no engine."""
        for where, wanted in (*PLACE_CONDITIONS, *TEXT_CONDITIONS):
            scanned = await index.read(EVERYONE, where, ["seq"])
            assert set(scanned.column("seq").to_pylist()) == wanted, where
            found = await index.search(self.vector("hotel"), EVERYONE, where, 100)
            assert set(found.seq.tolist()) == wanted, where
            own = {seq for seq in wanted if ROWS[seq]["user_id"] == "ana"}
            found = await index.search(self.vector("hotel"), ANA, where, 100)
            assert set(found.seq.tolist()) == own, where

    async def test_search_is_by_cosine_best_first(self, index: RowIndex) -> None:
        question = self.vector("a quiet hotel")
        found = await index.search(question, ANA, ANY, 4)
        contents = {row["seq"]: row["content"] for row in ROWS if row["user_id"] == "ana"}
        cosine = {seq: float(self.vector(text) @ question) for seq, text in contents.items()}
        best = sorted(cosine, key=lambda seq: -cosine[seq])[:4]
        assert found.seq.tolist() == best
        np.testing.assert_allclose(found.score, [cosine[seq] for seq in best], atol=1e-5)
        check_shape(found)

    async def test_search_says_where_a_row_stands(self, index: RowIndex) -> None:
        found = await index.search(self.vector("hotel"), EVERYONE, ANY, 100)
        assert dict(zip(found.seq.tolist(), found.conversation_id, strict=True)) == {
            row["seq"]: row["conversation_id"] for row in ROWS
        }
        assert dict(zip(found.seq.tolist(), found.turn.tolist(), strict=True)) == {
            row["seq"]: -1 if row["turn"] is None else row["turn"] for row in ROWS
        }

    async def test_rows_outside_a_scope_take_no_place(self, empty: RowIndex) -> None:
        near = [message(seq, "exactly this", user_id="bo") for seq in range(60)]
        await empty.upsert(
            self.rows(*near, message(60, "something else"), message(61, "more")), all_new=True
        )
        found = await empty.search(self.vector("exactly this"), ANA, ANY, 2)
        assert sorted(found.seq.tolist()) == [60, 61]

    async def test_equal_rows_newest_first(self, empty: RowIndex) -> None:
        await empty.upsert(
            self.rows(*[message(seq, "the same words") for seq in range(5)]), all_new=True
        )
        found = await empty.search(self.vector("the same words"), ANA, ANY, 5)
        assert found.seq.tolist() == [4, 3, 2, 1, 0]

    async def test_a_question_without_meaning_finds_rows_with_score_zero(
        self, index: RowIndex
    ) -> None:
        found = await index.search(np.zeros(self.dimension, np.float32), ANA, ANY, 3)
        assert len(found) == 3
        np.testing.assert_allclose(found.score, 0.0, atol=1e-6)

    async def test_around_brings_rowsby_seq_and_by_place(self, index: RowIndex) -> None:
        found = await index.read(ANA, ANY, COLUMNS, seqs=[4], turns={"talk": [1, 7], "bo's": [0]})
        assert by_seq(found) == {1: ROWS[1], 4: ROWS[4]}
        filtered = await index.read(
            ANA, RowFilter(roles=("user",)), ["seq"], seqs=[4], turns={"talk": [0, 1]}
        )
        assert filtered.column("seq").to_pylist() == [0]

    async def test_around_nothing_is_an_empty_table(self, index: RowIndex) -> None:
        for seqs, places in (([], {}), ([], {"talk": []}), ([77], {"nowhere": [0]})):
            found = await index.read(EVERYONE, ANY, ["seq", "content"], seqs=seqs, turns=places)
            assert (found.num_rows, found.column_names) == (0, ["seq", "content"])

    async def test_fetch_keeps_to_its_scope(self, index: RowIndex) -> None:
        found = await index.read(ANA, ANY, ["seq", "user_id"], seqs=[0, 3, 6, 99])
        assert sorted(found.column("seq").to_pylist()) == [0, 3]
        assert found.column_names == ["seq", "user_id"]

    @pytest.mark.parametrize("column", ["seq", "created_at", "turn"])
    async def test_scan_gives_the_largest_first_nothing_last(
        self, index: RowIndex, column: str
    ) -> None:
        values = [row[column] for row in ROWS if row["user_id"] == "ana"]
        ordered = sorted((v for v in values if v is not None), reverse=True)
        ordered += [None] * (len(values) - len(ordered))
        for limit in (1, 3, 100, None):
            found = await index.read(ANA, ANY, [column], order_by=column, limit=limit)
            assert found.column(column).to_pylist() == ordered[:limit]

    async def test_after_streams_what_is_newer(self, index: RowIndex) -> None:
        for seq in (-1, 3, 8):
            batches = [batch async for batch in index.after(seq, ["seq", "content"])]
            found = {row["seq"]: row["content"] for batch in batches for row in batch.to_pylist()}
            assert found == {row["seq"]: row["content"] for row in ROWS if row["seq"] > seq}
            batches = [batch async for batch in index.after(seq, ["seq"], ANA)]
            own = sorted(row["seq"] for batch in batches for row in batch.to_pylist())
            newer = [row for row in ROWS if row["seq"] > seq]
            assert own == [row["seq"] for row in newer if row["user_id"] == "ana"]
        assert await index.last_seq() == 8

    # Life

    async def test_maintenance_changes_no_row(self, index: RowIndex) -> None:
        await index.delete(ANA, RowFilter(kinds=("message",)))
        before = by_seq(await index.read(EVERYONE, ANY, [*COLUMNS, "vector"]))
        assert (await maintained(index)).error is None
        assert by_seq(await index.read(EVERYONE, ANY, [*COLUMNS, "vector"])) == before
        assert len(await index.search(self.vector("hotel"), ANA, ANY, 10)) == 3
        await index.upsert(self.rows(message(50, "after the maintenance")), all_new=True)
        assert await index.count(ANA, ANY) == 4

    async def test_health_names_the_engine_and_counts(self, index: RowIndex) -> None:
        health = await index.health()
        assert health["engine"] == index.name
        assert health["rows"] == len(ROWS)

    async def test_rows_are_there_after_reopening(self, index: RowIndex) -> None:
        await index.close()
        again = await self.make_index()
        try:
            found = by_seq(await again.read(EVERYONE, ANY, COLUMNS))
            wanted = {row["seq"]: row for row in ROWS} if self.persistent else {}
            assert found == wanted
        finally:
            await again.close()

    async def test_closing_twice_does_nothing(self, index: RowIndex) -> None:
        await index.close()
        await index.close()


async def maintained(index: RowIndex) -> Maintenance:
    """What the upkeep of an engine did, where it needs any."""
    compacts = capability(index, Compacts)
    return Maintenance() if compacts is None else await compacts.maintain()
