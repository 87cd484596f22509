"""The cache in front of an index answers as the index does, whatever changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.indexers import cache as cached
from bruno_memory_vec.indexers.cache import CachedIndex, RowsVersion
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing import RowIndexConformance
from bruno_memory_vec.testing.engine_suite import ANA, ANY
from bruno_memory_vec.testing.rows import START, message


class TestCachedLance(RowIndexConformance):
    async def make_index(self) -> CachedIndex:
        inner = await LanceIndex.open(str(self.folder / "rows"), self.dimension)
        return CachedIndex(inner, 2**20)

    async def test_freed_memory_is_returned_when_nothing_more_is_read(
        self, index: CachedIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where fewer rows were read than are given back for at once; once for many reads."""
        given: list[int] = []
        returned = asyncio.Event()
        loop = asyncio.get_running_loop()

        def give_back() -> None:
            given.append(1)
            loop.call_soon_threadsafe(returned.set)

        monkeypatch.setattr(cached, "give_back", give_back)
        monkeypatch.setattr(cached, "_AT_REST", 0.05)
        monkeypatch.setattr(cached, "_READ_AT_REST", 0)
        for _ in range(3):
            index.clear()
            await index.snapshot(ANA)
            assert index.holds(ANA)
        await asyncio.wait_for(returned.wait(), 60)
        assert given == [1]

    async def test_what_is_kept_follows_every_change(self, index: CachedIndex) -> None:
        """Asked before and after each change, from memory, the answer is the engine's."""

        async def agree() -> None:
            vector = self.vector("hotel pool key")
            kept = await index.search(vector, ANA, ANY, 50)
            read = await index.inner.search(vector, ANA, ANY, 50)
            # The last digit of a score may differ, and so the order of what all but ties.
            assert sorted(kept.seq.tolist()) == sorted(read.seq.tolist())
            np.testing.assert_allclose(kept.score, read.score, atol=1e-6)
            seqs = kept.seq.tolist()
            columns = list(COLUMNS)
            ours = await index.read(ANA, ANY, columns, seqs=seqs)
            theirs = await index.inner.read(ANA, ANY, columns, seqs=seqs)
            assert ours.sort_by("seq").to_pylist() == theirs.sort_by("seq").to_pylist()

        await agree()
        assert index.holds(ANA)
        await index.upsert(
            self.rows(message(20, "a new hotel"), message(21, "x", user_id="bo")), all_new=True
        )
        await agree()
        await count_uses(index, {20: 3, 0: 1, 21: 5}, START)
        await agree()
        await index.delete(ANA, RowFilter(kinds=("memory",)))
        await agree()
        await index.upsert(
            self.rows(message(22, "another hotel", id=str(UUID(int=0)))), all_new=False
        )
        await agree()
        for seq in range(30, 60):
            await index.upsert(self.rows(message(seq, f"hotel number {seq}")), all_new=True)
            await agree()
        assert (await index.health())["cache"]["hits"] > 30

    async def test_archived_rows_are_not_held(self, empty: CachedIndex) -> None:
        at = START + timedelta(days=1)
        await empty.upsert(
            self.rows(message(0, "a hotel"), message(1, "a pool", archived_at=at)), all_new=True
        )
        now = RowFilter(unarchived_at=at)
        held = await empty.snapshot(ANA, now)
        assert held is not None
        assert held.columns["seq"].tolist() == [0]
        # The engine answers what asks for more: all rows, or those of before.
        before = RowFilter(unarchived_at=at - timedelta(seconds=1))
        for where, found in ((now, [0]), (before, [0, 1]), (ANY, [0, 1])):
            best = await empty.search(self.vector("a hotel with a pool"), ANA, where, 9)
            assert sorted(best.seq.tolist()) == found
            read = await empty.read(ANA, where, ["seq"], seqs=[0, 1])
            assert sorted(read.column("seq").to_pylist()) == found
        assert await empty.snapshot(ANA) is None
        # One that comes archived, as from another store, is not held either.
        late = at + timedelta(days=1)
        await empty.upsert(self.rows(message(2, "a bar", archived_at=late)), all_new=True)
        assert await empty.snapshot(ANA, now) is None
        held = await empty.snapshot(ANA, RowFilter(unarchived_at=late))
        assert held is not None
        assert held.columns["seq"].tolist() == [0]

    async def test_a_user_who_is_too_large_is_left_to_the_engine(
        self, empty: CachedIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cached, "MOST_ROWS", 3)
        await empty.upsert(self.rows(*(message(seq) for seq in range(3))), all_new=True)
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 9)) == 3
        assert empty.holds(ANA)
        await empty.upsert(self.rows(message(3)), all_new=True)
        assert not empty.holds(ANA)
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 9)) == 4
        assert not empty.holds(ANA)
        # Fewer again, they are kept again.
        await empty.delete(ANA, RowFilter(ids=(str(UUID(int=0)), str(UUID(int=1)))))
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 9)) == 2
        assert empty.holds(ANA)

    async def test_who_names_many_rows_has_no_user_read(
        self, index: CachedIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are mostly changed next, so what was read for it would be dropped again."""
        monkeypatch.setattr(cached, "_FEW_NAMED", 2)
        many = await index.read(ANA, ANY, ["seq"], seqs=[0, 1, 2])
        assert sorted(many.column("seq").to_pylist()) == [0, 1, 2]
        assert not index.holds(ANA)
        await index.read(ANA, ANY, ["seq"], seqs=[0, 1])
        assert index.holds(ANA)

    async def test_who_asked_longest_ago_makes_room(self, empty: CachedIndex) -> None:
        users = [f"user {n}" for n in range(40)]
        await empty.upsert(
            self.rows(*(message(n, "y" * 50_000, user_id=user) for n, user in enumerate(users))),
            all_new=True,
        )
        for user in users:
            await empty.search(self.vector("hotel"), Scope.user(user), ANY, 5)
        health = (await empty.health())["cache"]
        assert 0 < health["bytes"] <= health["budget"]
        assert 0 < health["users"] < len(users)
        assert empty.holds(Scope.user(users[-1]))
        assert not empty.holds(Scope.user(users[0]))

    async def test_what_is_read_beside_a_change_is_not_kept(self, empty: CachedIndex) -> None:
        await empty.upsert(self.rows(message(0, "hotel one")), all_new=True)

        async def ask() -> None:
            for _ in range(20):
                await empty.search(self.vector("hotel"), ANA, ANY, 99)

        async def write() -> None:
            for seq in range(1, 20):
                await empty.upsert(self.rows(message(seq, f"hotel {seq}")), all_new=True)

        async def write_and_ask(first: int) -> None:
            for seq in range(first, first + 20):
                await lock.acquire()  # changes come one at a time
                await empty.upsert(self.rows(message(seq, f"hotel {seq}")), all_new=True)
                lock.release()
                found = await empty.search(self.vector("hotel"), ANA, ANY, 999)
                assert seq in found.seq.tolist()
                empty.clear()

        lock = asyncio.Lock()
        await asyncio.gather(*(write_and_ask(first) for first in (100, 200, 300)))
        await asyncio.gather(ask(), write(), ask())
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 999)) == 80

    async def test_a_reader_keeps_nothing_of_an_older_version(self, index: CachedIndex) -> None:
        folder = str(self.folder / "rows")
        inner = await LanceIndex.open(folder, self.dimension, read_only=True)
        reader = CachedIndex(inner, 2**20, versions=RowsVersion(inner))
        before = len(await reader.search(self.vector("hotel"), ANA, ANY, 99))
        assert reader.holds(ANA)
        await index.upsert(self.rows(message(40, "one more hotel")), all_new=True)
        assert len(await reader.search(self.vector("hotel"), ANA, ANY, 99)) == before + 1
        await reader.close()

    async def test_a_reader_does_not_wait_for_rows_of_an_older_version(
        self, index: CachedIndex
    ) -> None:
        """A question that came behind a write has to see it, whoever else is being answered."""
        folder = str(self.folder / "rows")
        inner = await LanceIndex.open(folder, self.dimension, read_only=True)
        reader = CachedIndex(inner, 2**20, versions=RowsVersion(inner))
        read, go_on = asyncio.Event(), asyncio.Event()
        scan = inner.read

        async def slow(*args: Any, **options: Any) -> pa.Table:
            found = await scan(*args, **options)
            read.set()
            await go_on.wait()
            return found

        inner.read = slow  # type: ignore[method-assign]
        hot = RowFilter(unarchived_at=START + timedelta(days=3))
        first = asyncio.create_task(reader.read(ANA, hot, ["seq"], seqs=[40]))
        await read.wait()
        await index.upsert(self.rows(message(40, "one more hotel")), all_new=True)
        second = asyncio.create_task(reader.read(ANA, hot, ["seq"], seqs=[40]))
        await asyncio.wait([second], timeout=1)
        go_on.set()
        assert ((await first).num_rows, (await second).num_rows) == (0, 1)
        await reader.close()

    async def test_a_user_of_many_rows_is_read_while_the_engine_answers(
        self, empty: CachedIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cached, "ROWS_AT_ONCE", 5)
        monkeypatch.setattr(cached, "_SEARCHED_ON_THE_LOOP", 5)
        await empty.upsert(
            self.rows(*(message(seq, f"hotel {seq}") for seq in range(9))), all_new=True
        )
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 99)) == 9
        for _ in range(12_000):
            await asyncio.sleep(0.01)
            if empty.holds(ANA):
                break
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 99)) == 9
        assert empty.holds(ANA)
        held, plain = await empty.snapshot(ANA), await empty.inner.read(ANA, ANY, list(COLUMNS))
        assert held is not None
        taken = held.taken(np.arange(9), COLUMNS)
        assert taken.to_pylist() == plain.sort_by("seq").to_pylist()
        await empty.upsert(self.rows(message(9)), all_new=True)
        assert len(await empty.search(self.vector("hotel"), ANA, ANY, 99)) == 10
        assert (await empty.health())["cache"]["hits"] == 3
        # One that has more rows than may be kept is left to the engine.
        empty.clear()
        monkeypatch.setattr(cached, "MOST_ROWS", 9)
        for _ in range(20):
            assert len(await empty.search(self.vector("hotel"), ANA, ANY, 99)) == 10
            await asyncio.sleep(0.01)
        assert not empty.holds(ANA)
