"""Rows held in memory by several processes follow what any of them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timezone

import numpy as np
import pytest

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.protocols import Version
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing.rows import memory, message, table

ANA, ANY = Scope.user("ana"), RowFilter()
DIMENSION = 32


class Versions:
    """What a server keeps for all processes: a number a user, and one for all."""

    def __init__(self) -> None:
        self.known = True
        self.asked = 0
        self.everyone = 0
        self.users: dict[str, int] = {}

    async def current(self, user_id: str) -> Version | None:
        self.asked += 1
        return (self.everyone, self.users.get(user_id, 0)) if self.known else None

    async def changed(self, users: Collection[str] | None) -> Mapping[str, Version]:
        if users is None:
            self.everyone += 1
            return {}
        for user in users:
            self.users[user] = self.users.get(user, 0) + 1
        return {user: (self.everyone, self.users[user]) for user in users}


class Shared:
    """Two processes' caches in front of one index."""

    def __init__(self) -> None:
        self.rows, self.versions = ReferenceIndex(DIMENSION), Versions()
        self.here, self.there = (
            CachedIndex(self.rows, 2**24, versions=self.versions) for _ in range(2)
        )

    async def seen(self, index: CachedIndex, user: str = "ana") -> list[int]:
        vector = HashEmbedder(DIMENSION).embed(["hotel"])[0]
        found = await index.search(vector, Scope.user(user), ANY, 50)
        return sorted(found.seq.tolist())


@pytest.fixture
async def shared() -> Shared:
    both = Shared()
    await both.here.upsert(table([message(0), message(1)], DIMENSION), all_new=True)
    assert await both.seen(both.here) == await both.seen(both.there) == [0, 1]
    return both


async def test_rows_of_another_process_are_seen_at_once(shared: Shared) -> None:
    await shared.there.upsert(table([memory(2)], DIMENSION), all_new=True)
    assert await shared.seen(shared.here) == [0, 1, 2]
    await shared.here.delete(ANA, RowFilter(kinds=("memory",)))
    assert await shared.seen(shared.there) == [0, 1]
    await shared.there.delete(Scope.all_users(), ANY, seqs=[0])
    assert await shared.seen(shared.here) == [1]
    moved = await shared.rows.read(ANA, ANY, ["seq", "turn"])
    moved = moved.set_column(1, moved.schema.field(1), [[9]])
    await shared.here.update(moved)
    snapshot = await shared.there.snapshot(ANA)
    assert snapshot is not None
    assert snapshot.columns["turn"].tolist() == [9]


async def test_what_nobody_else_changes_stays_in_memory(shared: Shared) -> None:
    reads = 0
    inner = shared.rows.read

    async def read(*given: object, **named: object) -> object:
        nonlocal reads
        reads += 1
        return await inner(*given, **named)  # type: ignore[arg-type]

    shared.rows.read = read  # type: ignore[method-assign,assignment]
    for seq in range(10, 14):
        await shared.here.upsert(table([message(seq)], DIMENSION), all_new=True)
        assert seq in await shared.seen(shared.here)
    assert reads == 0
    # Another user's rows are no reason to read this one's again, nor are uses.
    await shared.there.upsert(table([message(20, user_id="bo")], DIMENSION), all_new=True)
    assert len(await shared.seen(shared.here)) == 6
    assert reads == 0
    await count_uses(shared.there, {0: 1}, datetime.now(timezone.utc))
    before = reads
    assert len(await shared.seen(shared.here)) == 6
    assert reads == before
    told = (await shared.here.health())["cache"]
    assert (told["hits"], told["misses"], told["hit_rate"]) == (6, 1, 6 / 7)


async def test_rows_held_are_not_used_where_no_version_is_known(shared: Shared) -> None:
    await shared.rows.upsert(table([message(5)], DIMENSION), all_new=True)
    assert await shared.seen(shared.here) == [0, 1]
    shared.versions.known = False
    assert await shared.seen(shared.here) == [0, 1, 5]
    assert await shared.here.snapshot(ANA) is None
    shared.versions.known = True
    await shared.versions.changed(["ana"])
    assert await shared.seen(shared.here) == [0, 1, 5]


async def test_a_change_beside_a_reading_is_seen_by_the_next(shared: Shared) -> None:
    """The rows were read before the other process's change, and kept under the version of then."""
    inner = shared.rows.read

    async def read(*given: object, **named: object) -> object:
        found = await inner(*given, **named)  # type: ignore[arg-type]
        shared.rows.read = inner  # type: ignore[method-assign]
        await shared.there.upsert(table([message(7)], DIMENSION), all_new=True)
        return found

    await shared.versions.changed(["ana"])
    shared.rows.read = read  # type: ignore[method-assign,assignment]
    assert await shared.seen(shared.here) == [0, 1]
    assert await shared.seen(shared.here) == [0, 1, 7]


async def test_two_writers_at_once_leave_nobody_with_old_rows(shared: Shared) -> None:
    for seq in range(30, 60, 2):
        await asyncio.gather(
            shared.here.upsert(table([message(seq)], DIMENSION), all_new=True),
            shared.there.upsert(table([message(seq + 1)], DIMENSION), all_new=True),
        )
        expected = sorted((await shared.rows.read(ANA, ANY, ["seq"])).column("seq").to_pylist())
        assert await shared.seen(shared.here) == expected
        assert await shared.seen(shared.there) == expected
        np.testing.assert_array_equal(expected[-2:], [seq, seq + 1])
