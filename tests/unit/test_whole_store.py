"""All users' rows of a small store, held in memory for searches over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec import ALL_USERS, Hit, open_memory
from bruno_memory_vec.errors import ForeignUserError
from bruno_memory_vec.indexers import whole_store
from bruno_memory_vec.indexers.cache import CachedIndex, RowsVersion
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.testing.engine_suite import ANY, EVERYONE
from bruno_memory_vec.testing.rows import message, table
from tests.durability.support import message as said

DIMENSION = 8
NOW = message(0)["created_at"] + timedelta(days=100)
QUESTION = np.eye(1, DIMENSION, dtype=np.float32)[0]
BUDGET = 2**24


def rows(first: int, number: int, user: str, **changes: Any) -> pa.Table:
    made = [
        message(seq, user_id=user, conversation_id=f"{user}'s", **changes)
        for seq in range(first, first + number)
    ]
    draw = np.random.default_rng(first + 1).normal(size=(number, DIMENSION))
    unit = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    return table(made, DIMENSION, unit.astype(np.float32))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[CachedIndex]:
    inner = await LanceIndex.open(str(tmp_path / "rows"), DIMENSION)
    opened = CachedIndex(inner, BUDGET)
    await opened.upsert(rows(0, 30, "ana"), all_new=True)
    await opened.upsert(rows(30, 20, "bo"), all_new=True)
    yield opened
    await opened.close()


async def held(index: CachedIndex) -> int:
    """How many rows are held after a question over all users, once what it began has ended."""
    await index.search(QUESTION, EVERYONE, ANY, 5)
    waiting = [task for task in index._background if "_read_all" in str(task.get_coro())]
    await asyncio.gather(*waiting)
    return int((await index.health())["cache"]["all_users"])


async def check(index: CachedIndex, scope: Scope = EVERYONE, where: RowFilter = ANY) -> int:
    """It finds what the engine finds; returns how many."""
    for limit in (5, 200):
        ours = await index.search(QUESTION, scope, where, limit)
        theirs = await index.inner.search(QUESTION, scope, where, limit)
        assert ours.seq.tolist() == theirs.seq.tolist()
        assert ours.conversation_id == theirs.conversation_id
        np.testing.assert_allclose(ours.score, theirs.score, atol=1e-6)
    return len(ours)


async def test_the_second_question_asks_no_engine(
    index: CachedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not index.holds(EVERYONE)
    assert await held(index) == 50
    assert index.holds(EVERYONE)
    assert await check(index) == 50
    assert await check(index, EVERYONE.within("bo's")) == 20
    assert await check(index, where=RowFilter(since=message(40)["created_at"])) == 10
    read = await index.read(EVERYONE, ANY, ["seq", "user_id"], seqs=[3, 33])
    assert read.column("user_id").to_pylist() == ["ana", "bo"]

    async def unasked(*_: Any, **__: Any) -> None:
        raise AssertionError("the engine was asked")

    monkeypatch.setattr(index.inner, "search", unasked)
    assert len(await index.search(QUESTION, EVERYONE, ANY, 200)) == 50
    snapshot = await index.snapshot(EVERYONE)
    assert snapshot is not None
    assert snapshot.mixed


async def test_changes_reach_it(index: CachedIndex) -> None:
    assert await held(index) == 50
    await index.upsert(rows(50, 5, "cy"), all_new=True)
    assert index.holds(EVERYONE), "new rows are added"
    assert await check(index) == 55
    uses = pa.table({"seq": pa.array([3]), "access_count": pa.array([9], pa.int64())})
    await index.update(uses)
    assert index.holds(EVERYONE)
    snapshot = await index.snapshot(EVERYONE)
    assert snapshot is not None
    assert snapshot.columns["access_count"][3] == 9
    await index.delete(Scope.user("bo"), ANY, seqs=[31, 32])
    assert await check(index) == 53
    assert await held(index) == 53, "read again"
    await index.delete(Scope.user("bo"), ANY, seqs=[31])
    assert index.holds(EVERYONE), "nothing was deleted"
    replaced = rows(60, 1, "ana", id=message(4)["id"])
    await index.upsert(replaced, all_new=False)
    assert await check(index) == 53
    assert await held(index) == 53
    index.clear()
    assert not index.holds(EVERYONE)


async def test_expired_and_archived_rows(index: CachedIndex) -> None:
    await index.upsert(rows(50, 2, "bo", expires_at=NOW), all_new=True)
    assert await held(index) == 52
    assert await check(index, where=RowFilter(alive_at=NOW - timedelta(hours=1))) == 52
    assert await check(index, where=RowFilter(alive_at=NOW + timedelta(hours=1))) == 50
    await index.upsert(rows(60, 3, "bo", archived_at=NOW), all_new=True)
    assert not index.holds(EVERYONE)
    assert await held(index) == 52, "archived rows are not in memory"
    unarchived = RowFilter(unarchived_at=NOW + timedelta(hours=1))
    assert await check(index, where=unarchived) == 52
    # What asks for them is answered by the engine.
    assert await check(index) == 55


async def test_rows_that_change_while_it_is_read(
    index: CachedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a change that begins meanwhile, nor one that was under way, is missed or doubled."""
    after = index.inner.after

    async def and_write(*asked: Any) -> AsyncIterator[pa.RecordBatch]:
        async for batch in after(*asked):
            yield batch
        await index.upsert(rows(50, 1, "cy"), all_new=True)

    monkeypatch.setattr(index.inner, "after", and_write)
    assert await held(index) == 0
    monkeypatch.setattr(index.inner, "after", after)
    upsert, committed, goes_on = index.inner.upsert, asyncio.Event(), asyncio.Event()

    async def slowly(new: pa.Table, *, all_new: bool) -> None:
        await upsert(new, all_new=all_new)
        committed.set()
        await goes_on.wait()

    monkeypatch.setattr(index.inner, "upsert", slowly)
    writing = asyncio.create_task(index.upsert(rows(60, 1, "cy"), all_new=True))
    await committed.wait()
    assert await held(index) == 0
    goes_on.set()
    await writing
    assert await held(index) == 52
    assert await check(index) == 52


async def test_a_failed_change_leaves_nothing_held(
    index: CachedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await held(index) == 50
    upsert = index.inner.upsert

    async def and_fail(new: pa.Table, *, all_new: bool) -> None:
        await upsert(new, all_new=all_new)
        raise OSError("after it was stored")

    monkeypatch.setattr(index.inner, "upsert", and_fail)
    with pytest.raises(OSError, match="after it was stored"):
        await index.upsert(rows(50, 1, "cy"), all_new=True)
    assert not index.holds(EVERYONE)
    assert await check(index) == 51


async def test_it_is_bounded(index: CachedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_store, "MOST_ROWS", 49)
    assert await held(index) == 0
    monkeypatch.setattr(whole_store, "MOST_ROWS", 51)
    assert await held(index) == 0, "it is not looked at each time"
    index._whole._not_before = 0.0
    assert await held(index) == 50
    await index.upsert(rows(50, 2, "cy"), all_new=True)
    assert not index.holds(EVERYONE), "one too many"
    monkeypatch.undo()
    monkeypatch.setattr(whole_store, "_MOST_UNASKED", 3)
    assert await held(index) == 52
    for seq in (60, 61, 62):
        await index.upsert(rows(seq, 1, "cy"), all_new=True)
    assert index.holds(EVERYONE)
    await index.upsert(rows(63, 1, "cy"), all_new=True)
    assert not index.holds(EVERYONE), "nobody has asked since"


async def test_its_bytes_are_the_caches(index: CachedIndex, tmp_path: Path) -> None:
    """It takes a quarter at most, and users' rows make room for it."""
    assert await held(index) == 50
    taken = index._whole.nbytes
    assert (await index.health())["cache"]["bytes"] == taken
    small = CachedIndex(index.inner, taken * 2)
    assert await held(small) == 0
    just = CachedIndex(index.inner, taken * 5)
    for user in ("ana", "bo"):
        await just.search(QUESTION, Scope.user(user), ANY, 1)
    just._budget = just._bytes + taken - 1
    assert await held(just) == 50
    assert [just.holds(Scope.user(user)) for user in ("ana", "bo")] == [False, True]


async def test_not_beside_other_writers(index: CachedIndex) -> None:
    """What they change is told by user."""
    inner: Any = index.inner
    shared = CachedIndex(inner, BUDGET, versions=RowsVersion(inner))
    assert await held(shared) == 0


async def asked_of_both(folder: Path, change: Callable[..., Any]) -> list[list[Hit]]:
    """The hits of all users' rows by the engine, and from memory, where they differ by nothing."""
    async with open_memory(str(folder), embedder="hash") as memory:
        await change(memory)
        # So that the first recall counts as no use.
        found, then = [], datetime.now(timezone.utc)
        for _ in range(2):
            hits = await memory.recall("a note on the harbour", user_id=ALL_USERS, k=8, as_of=then)
            found.append(list(hits))
            for _ in range(200):
                if (await memory.health())["rows"]["cache"]["all_users"]:
                    break
                await asyncio.sleep(0.05)
        with pytest.raises(ForeignUserError):
            await memory.for_user("ana").recall("a note", user_id=ALL_USERS)
        return found


async def test_hits_are_the_same_from_memory(tmp_path: Path) -> None:
    async def fill(memory: Any) -> None:
        for user in ("ana", "bo", "cy"):
            texts = [f"{user} has note {n} on the {place}" for n in range(9) for place in PLACES]
            await memory.store_messages([said(text) for text in texts], f"of-{user}", user_id=user)
        await memory.maintain()

    engine, held = await asked_of_both(tmp_path / "store", fill)
    assert len({hit.conversation_id for hit in held}) > 1
    assert [(hit.id, hit.conversation_id) for hit in held] == [
        (hit.id, hit.conversation_id) for hit in engine
    ]
    np.testing.assert_allclose([hit.score for hit in held], [hit.score for hit in engine], 1e-4)


PLACES = ("harbour", "garden", "station", "market")
