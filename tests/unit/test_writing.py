"""The write path, where something fails, is cancelled, waits, or is done out of sight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EmbeddingError, EngineError, StoreClosedError
from bruno_memory_vec.indexers.protocols import Maintenance
from bruno_memory_vec.rows.models import message_row
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.writing import queue as write_queue
from bruno_memory_vec.writing import writer
from bruno_memory_vec.writing.commit import prepare
from bruno_memory_vec.writing.known_ids import KnownIds, hash_ids
from bruno_memory_vec.writing.queue import Request, WriteQueue
from tests.durability.support import message, rows_of, turns_of


class Picky(HashEmbedder):
    """Refuses texts with a word; counts how many texts each call has."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def embed(self, texts: Sequence[str], **kind: Any) -> NDArray[np.float32]:
        self.calls.append(len(texts))
        if any("bad" in text for text in texts):
            raise ValueError("a text that it cannot read")
        return super().embed(texts, **kind)


@pytest.fixture
def embedder() -> Picky:
    return Picky()


@pytest.fixture
async def memory(embedder: Picky) -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder=embedder) as opened:
        yield opened


@pytest.fixture
async def store(memory: VectorMemory) -> Store:
    return await memory._lazy.get()


def failing(owner: Any, name: str, times: int, patch: pytest.MonkeyPatch) -> list[Any]:
    """Let a method fail so often; what it was called with."""
    inner, calls = getattr(owner, name), []

    async def call(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if len(calls) <= times:
            raise EngineError("test", name, "as asked", fix="None.")
        return await inner(*given, **named)

    patch.setattr(owner, name, call)
    return calls


def compacts(store: Store, patch: pytest.MonkeyPatch, due: Any, maintain: Any) -> None:
    """Let the rows of a store in memory need upkeep, as those of a folder do."""
    patch.setattr(store.rows, "due", due, raising=False)
    patch.setattr(store.rows, "maintain", maintain, raising=False)
    # What rows can do is looked up once.
    patch.setattr(store.writer, "_compacts", store.rows)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  # what happens out of sight has no event
        await asyncio.sleep(0.002)


async def texts_of(memory: VectorMemory) -> list[str]:
    rows = sorted(await rows_of(memory), key=lambda row: int(row["seq"]))
    assert len({row["seq"] for row in rows}) == len(rows)
    return [row["content"] for row in rows]


async def test_one_callers_failure_is_not_the_others(memory: VectorMemory, embedder: Picky) -> None:
    await memory.store_message(message("first"), "talk", user_id="ana")
    embedder.calls.clear()
    texts = ["one", "two", "a bad one", "three"]
    ended = await asyncio.gather(
        *(memory.store_message(message(text), "talk", user_id="ana") for text in texts),
        return_exceptions=True,
    )
    assert [type(one) for one in ended] == [type(None), type(None), EmbeddingError, type(None)]
    # Together, then each by itself.
    assert embedder.calls == [4, 1, 1, 1, 1]
    assert await texts_of(memory) == ["first", "one", "two", "three"]
    assert await turns_of(memory, "talk") == [(0, "first"), (1, "one"), (2, "two"), (3, "three")]
    await memory.store_message(message("four"), "talk", user_id="ana")
    assert (await turns_of(memory, "talk"))[-1] == (4, "four")


async def test_numbers_follow_each_other(memory: VectorMemory) -> None:
    await memory.store_messages([message(f"text {n}") for n in range(3)], "talk", user_id="ana")
    await memory.store_message(message("text 3"), "talk", user_id="ana")
    assert sorted(row["seq"] for row in await rows_of(memory)) == [0, 1, 2, 3]


async def test_a_call_of_nothing(memory: VectorMemory, store: Store) -> None:
    assert store.writer is not None
    await store.writer.write([])
    await memory.store_messages([], "talk", user_id="ana")
    await memory.store_memories([])
    assert await rows_of(memory) == []


async def test_of_equal_ids_in_one_call_the_last_counts_in_the_place_of_the_first() -> None:
    twice = message("first")
    said = [twice, message("second"), twice.model_copy(update={"content": "mended"})]
    rows = [message_row(one, "ana", "talk") for one in said]
    batch = prepare(rows, KnownIds())
    assert batch.texts == ["mended", "second"]
    assert [row["content"] for row in batch.rows] == batch.texts
    assert batch.perhaps_stored == ()
    assert batch.hashes.tolist() == hash_ids(pa.array([r["id"] for r in batch.rows])).tolist()
    known = KnownIds()
    known.add_hashed(batch.hashes[:1])
    # Whether one of them may be there decides that all are looked for.
    assert set(prepare(rows, known).perhaps_stored) == {row["id"] for row in rows}


async def test_sessions_that_fail_are_told_and_follow_before_the_next_write(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.store_message(message("one"), "talk", user_id="ana")
    failing(store.sessions, "apply", 1, monkeypatch)
    await memory.store_message(message("two"), "talk", user_id="ana")
    report = await memory.health()
    assert report["status"] == "degraded"
    assert "follow the rows in the sessions" in report["problems"]
    await memory.store_message(message("three"), "talk", user_id="ana")
    assert (await memory.health())["problems"] == {}
    assert await turns_of(memory, "talk") == [(0, "one"), (1, "two"), (2, "three")]
    context = await memory.get_context("ana", "talk")
    assert [one.content for one in context.messages] == ["one", "two", "three"]


async def test_maintenance_follows_too(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(store.sessions, "apply", 1, monkeypatch)
    await memory.store_message(message("one"), "talk", user_id="ana")
    assert await store.sessions.last_seq() == -1
    assert (await memory.maintain()).ok
    assert await store.sessions.last_seq() == 0
    assert (await memory.health())["problems"] == {}


async def test_rows_that_cannot_be_written(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(store.rows, "upsert", 1, monkeypatch)
    with pytest.raises(EngineError, match="as asked"):
        await memory.store_message(message("lost"), "talk", user_id="ana")
    assert await rows_of(memory) == []
    await memory.store_message(message("kept"), "talk", user_id="ana")
    assert await turns_of(memory, "talk") == [(0, "kept")]
    hits = await memory.recall("kept lost", user_id="ana")
    assert [hit.content for hit in hits] == ["kept"]


async def test_what_replaces_a_row_takes_its_words_away(memory: VectorMemory) -> None:
    said = message("about the zebra")
    await memory.store_messages([said, message("else")], "talk", user_id="ana")
    await memory.store_message(
        said.model_copy(update={"content": "about the falcon"}), "talk", user_id="ana"
    )
    hits = await memory.recall("zebra", user_id="ana", profile="lexical")
    assert "zebra" not in " ".join(hit.content for hit in hits)
    hits = await memory.recall("falcon", user_id="ana", profile="lexical")
    assert (hits[0].content, hits[0].turn) == ("about the falcon", 0)
    index = (await memory._lazy.get()).lexical
    await index.commit()
    assert await index.count() == 2


async def test_deleting_is_told_to_what_is_derived(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.store_messages([message("zebra one"), message("zebra two")], "talk", user_id="ana")
    assert len((await memory.get_context("ana", "talk")).messages) == 2
    failing(store.rows, "delete", 1, monkeypatch)
    with pytest.raises(EngineError):
        await memory.clear_history("talk")
    assert len((await memory.get_context("ana", "talk")).messages) == 2
    await memory.clear_history("talk")
    assert (await memory.get_context("ana", "talk")).messages == []
    assert await memory.recall("zebra", user_id="ana") == []
    await store.lexical.commit()
    assert await store.lexical.count() == 0
    await memory.store_message(message("zebra three"), "talk", user_id="ana")
    assert await turns_of(memory, "talk") == [(2, "zebra three")]


async def test_a_deletion_that_is_cancelled_ends_all_the_same(
    memory: VectorMemory, store: Store
) -> None:
    await memory.store_message(message("gone"), "talk", user_id="ana")
    assert store.writer is not None
    async with store.writer.exclusive:
        clearing = asyncio.ensure_future(memory.clear_history("talk"))
        for _ in range(10):
            await asyncio.sleep(0)
        clearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await clearing
        assert len(await rows_of(memory)) == 1
    await memory.close()


async def test_closing_waits_for_what_was_asked(tmp_path: Path) -> None:
    """Writes and deletions that are under way, and access counts that wait."""
    memory = await open_memory(str(tmp_path), embedder="hash")
    await memory.store_messages([message("one"), message("two")], "a", user_id="ana")
    await memory.store_message(message("three"), "b", user_id="ana")
    await memory.recall("one", user_id="ana", k=1)
    asked = [
        asyncio.ensure_future(memory.store_message(message("four"), "b", user_id="ana")),
        asyncio.ensure_future(memory.clear_history("a")),
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    await memory.close()
    assert await asyncio.gather(*asked) == [None, None]
    for call in (
        memory.store_message(message("late"), "b", user_id="ana"),
        memory.clear_history("b"),
    ):
        with pytest.raises(StoreClosedError):
            await call
    async with open_memory(str(tmp_path), embedder="hash", read_only=True) as reader:
        assert sorted(row["content"] for row in await rows_of(reader)) == ["four", "three"]


async def test_a_writer_that_is_stopped_leaves_nobody_waiting(
    memory: VectorMemory, store: Store
) -> None:
    assert store.writer is not None
    async with store.writer.exclusive:
        calls = [
            asyncio.ensure_future(memory.store_message(message(f"text {n}"), "talk", user_id="ana"))
            for n in range(3)
        ]
        await until(lambda: store.writer is not None and store.writer.health()["queued_rows"] == 3)
        assert store.writer._draining is not None
        for _ in range(10):  # it has begun, and waits
            await asyncio.sleep(0)
        store.writer._draining.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 120)
    assert [type(one) for one in ended] == [StoreClosedError] * 3
    assert store.writer.health()["queued_rows"] == 0
    await memory.store_message(message("again"), "talk", user_id="ana")
    assert await turns_of(memory, "talk") == [(0, "again")]


async def test_uses_are_counted_once_whatever_fails(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.store_messages([message("one"), message("two")], "talk", user_id="ana")
    for _ in range(3):
        await memory.recall("one", user_id="ana", k=1)
    assert store.writer is not None
    assert dict(store.writer.pending_uses) == {0: 3}
    assert store.writer.health()["uses_to_count"] == 1
    failing(store.rows, "update", 1, monkeypatch)
    with pytest.raises(EngineError):
        await store.writer.flush_uses()
    assert dict(store.writer.pending_uses) == {0: 3}
    await memory.recall("one", user_id="ana", k=1)
    await store.writer.flush_uses()
    await store.writer.flush_uses()
    assert dict(store.writer.pending_uses) == {}
    assert {row["seq"]: row["access_count"] for row in await rows_of(memory)} == {0: 4, 1: 0}


async def test_many_uses_are_written_in_the_background(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_USES_BEFORE_FLUSH", 3)
    maintained: list[bool] = []

    async def maintain(**_: Any) -> Maintenance:
        maintained.append(True)
        return Maintenance()

    compacts(store, monkeypatch, lambda **_: False, maintain)
    await memory.store_messages([message(f"text {n}") for n in range(4)], "talk", user_id="ana")
    assert store.writer is not None
    store.writer.use([0, 1])
    assert not store.writer._background.under_way
    store.writer.use([0, 2])
    await until(lambda: store.writer is not None and not store.writer.pending_uses)
    await until(lambda: len(maintained) == 1)
    counts = {row["seq"]: row["access_count"] for row in await rows_of(memory)}
    assert counts == {0: 2, 1: 1, 2: 1, 3: 0}


async def test_words_are_committed_though_nobody_searches(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those that come while they are."""
    monkeypatch.setattr(writer, "LEXICAL_DELAY", 0.01)
    inner, gate, commits = store.lexical.commit, asyncio.Event(), []

    async def commit() -> None:
        commits.append(store.lexical.pending)
        await inner()
        await gate.wait()

    monkeypatch.setattr(store.lexical, "commit", commit)
    await memory.store_message(message("one"), "talk", user_id="ana")
    await until(lambda: len(commits) == 1)
    await memory.store_message(message("two"), "talk", user_id="ana")
    await asyncio.sleep(0.03)
    gate.set()
    await until(lambda: store.lexical.pending == 0)
    assert commits[:2] == [1, 1]


async def test_a_failure_out_of_sight_is_told(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LEXICAL_DELAY", 0.0)
    told: list[dict[str, str]] = []

    async def keep(problems: Any) -> None:
        told.append(dict(problems))

    assert store.writer is not None
    store.writer.keep_problems(keep)
    calls = failing(store.lexical, "commit", 1, monkeypatch)
    await memory.store_message(message("one"), "talk", user_id="ana")
    await until(lambda: bool(calls))
    await until(lambda: bool(told))
    assert set((await memory.health())["problems"]) == {"commit the projections", "lexical"}
    assert list(told[0]) == ["commit the projections"]
    assert (await memory.maintain()).ok
    assert (await memory.health())["problems"] == {}


async def test_rows_are_compacted_when_that_is_due(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where enough was written, in a pause where some was, else not."""
    monkeypatch.setattr(writer, "_REST", 0.01)
    state = {"due": False, "untidy": False}
    compacted: list[dict[str, bool]] = []

    async def maintain(**_: Any) -> Maintenance:
        compacted.append(dict(state))
        state.update(due=False, untidy=False)
        return Maintenance()

    def due(*, at_rest: bool) -> bool:
        return state["untidy" if at_rest else "due"]

    compacts(store, monkeypatch, due, maintain)
    await memory.store_message(message("neither"), "talk", user_id="ana")
    await asyncio.sleep(0.05)
    assert compacted == []
    state["untidy"] = True
    await memory.store_message(message("untidy"), "talk", user_id="ana")
    await until(lambda: len(compacted) == 1)
    monkeypatch.setattr(writer, "_REST", 60.0)
    state["due"] = True
    await memory.store_message(message("due"), "talk", user_id="ana")
    await until(lambda: len(compacted) == 2)
    assert compacted == [{"due": False, "untidy": True}, {"due": True, "untidy": False}]


async def test_what_a_compaction_leaves_is_done_in_the_next_pause(
    memory: VectorMemory, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_REST", 0.01)
    left, compacted = [True, True, False], []

    async def maintain(**_: Any) -> Maintenance:
        compacted.append(True)
        left.pop(0)
        return Maintenance()

    compacts(store, monkeypatch, lambda *, at_rest: at_rest and bool(left) and left[0], maintain)
    await memory.store_message(message("untidy"), "talk", user_id="ana")
    await until(lambda: len(compacted) == 2)
    await asyncio.sleep(0.05)
    assert len(compacted) == 2


async def test_ids_of_an_older_process_are_known(tmp_path: Path) -> None:
    """Until they are read, every id may be stored; then new ones are appended, and old replaced."""
    said = [message(f"text {n}") for n in range(3)]
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        await memory.store_messages(said, "talk", user_id="ana")
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        store = await memory._lazy.get()
        assert store.writer is not None
        known = store.writer._known
        await until(lambda: store.writer is not None and not store.writer._background.under_way)
        ids = pa.array([str(one.id) for one in said], pa.string())
        assert all(known.any(ids[n : n + 1]) for n in range(3))
        assert not known.any(pa.array([str(message("new").id)], pa.string()))
        changed = said[1].model_copy(update={"content": "mended"})
        await memory.store_messages([changed, message("text 3")], "talk", user_id="ana")
        assert await turns_of(memory, "talk") == [
            (0, "text 0"), (1, "mended"), (2, "text 2"), (3, "text 3"),
        ]  # fmt: skip


async def test_memories_take_no_turn_and_are_replaced(memory: VectorMemory) -> None:
    note = MemoryEntry(content="one", memory_type=MemoryType.FACT, user_id="ana")
    await memory.store_memories([note, note.model_copy(update={"content": "two"})])
    await memory.store_memory(note.model_copy(update={"content": "three"}))
    (row,) = await rows_of(memory)
    assert (row["content"], row["turn"], row["conversation_id"]) == ("three", None, None)


# The queue


def asked(rows: int = 1, text: str = "x") -> Request:
    content: list[Any] = [{"content": text}] * rows
    return Request(content, asyncio.get_running_loop().create_future())


async def test_a_queue_that_is_full_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_CHARACTERS", 10)
    queue = WriteQueue()
    first, second, third = asked(1, "x" * 6), asked(1, "x" * 4), asked(1, "x")
    await queue.put(first)
    await queue.put(second)
    waits = asyncio.ensure_future(queue.put(third))
    await asyncio.sleep(0)
    assert (len(queue), queue.waiting, queue.rows) == (2, 1, 2)
    taken = queue.take()
    assert taken == [first, second]
    queue.finished(taken)
    await waits
    assert (len(queue), queue.waiting, queue.rows) == (1, 0, 1)
    queue.finished(queue.take())
    # All is let go of: as much fits as at first.
    await queue.put(asked(1, "x" * 6))
    await queue.put(asked(1, "x" * 4))
    assert queue.waiting == 0


async def test_a_batch_is_bounded_and_holds_one_request_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "_BATCH_ROWS", 4)
    queue = WriteQueue()
    requests = [asked(rows) for rows in (9, 2, 2, 1, 3)]
    for one in requests:
        await queue.put(one)
    assert [[len(one.rows) for one in queue.take()] for _ in range(3)] == [[9], [2, 2], [1, 3]]


async def test_what_nobody_waits_for_is_dropped() -> None:
    queue = WriteQueue()
    requests = [asked(2) for _ in range(3)]
    for one in requests:
        await queue.put(one)
        one.done.cancel()
    assert queue.take() == []
    assert (len(queue), queue.rows) == (0, 0)


async def test_a_caller_that_is_cancelled_as_it_is_let_in_is_written_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_queue, "QUEUE_ROWS", 2)
    queue = WriteQueue()
    first, second = asked(2), asked()
    await queue.put(first)
    waits = asyncio.ensure_future(queue.put(second))
    await asyncio.sleep(0)
    queue.finished(queue.take())
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert second.done.cancelled()
    assert (len(queue), queue.waiting) == (1, 0)


async def test_those_on_their_way_are_waited_for_and_nobody_else() -> None:
    queue = WriteQueue()
    await queue.put(asked())
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    # A lone caller waits for nobody.
    await queue.gather()
    assert steps == 0
    await queue.put(asked())

    async def come_later() -> None:
        for _ in range(4):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await queue.put(asked())

    coming = asyncio.ensure_future(come_later())
    await queue.gather()
    assert len(queue) == 6
    before = steps
    await queue.gather()
    # Nobody comes any more: some turns, and on.
    assert 1 <= steps - before <= 5
    counting.cancel()
    await coming


async def test_a_caller_that_gives_up_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands among those who wait."""
    monkeypatch.setattr(write_queue, "QUEUE_ROWS", 2)
    queue = WriteQueue()
    first, second, third = asked(2), asked(), asked()
    await queue.put(first)
    waits = [asyncio.ensure_future(queue.put(one)) for one in (second, third)]
    await asyncio.sleep(0)
    assert queue.waiting == 2
    waits[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.waiting == 1
    assert queue.give_up() == [first, second]
    await waits[0]


# What is known of ids


def test_hashes_that_were_read_are_known_and_no_others() -> None:
    hashes = np.array([5, 9, 2**63, 7], np.uint64)
    known = KnownIds.unread()
    assert known.any_hashed(hashes)
    assert not known.any_hashed(hashes[:0])
    known.add_hashed(np.array([20], np.uint64))
    known.complete([hashes[:2], hashes[2:]])
    for value in (*hashes.tolist(), 20):
        assert known.any_hashed(np.array([1, value], np.uint64)), value
    for value in (0, 6, 8, 2**63 - 1, 2**63 + 1, 2**64 - 1):
        assert not known.any_hashed(np.array([value], np.uint64)), value
    empty = KnownIds.unread()
    empty.complete([])
    assert not empty.any_hashed(hashes)


# At the end


async def test_maintenance_writes_the_uses(memory: VectorMemory, store: Store) -> None:
    await memory.store_message(message("one"), "talk", user_id="ana")
    await memory.recall("one", user_id="ana")
    assert store.writer is not None
    await store.writer.maintain()
    assert dict(store.writer.pending_uses) == {}
    assert [row["access_count"] for row in await rows_of(memory)] == [1]


@pytest.mark.parametrize("untidy", [False, True])
async def test_closing_compacts_what_is_untidy(
    untidy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = await open_memory("memory://", embedder="hash")
    store = await memory._lazy.get()
    compacted: list[dict[str, bool]] = []

    async def maintain(**given: bool) -> Maintenance:
        compacted.append(given)
        return Maintenance()

    compacts(store, monkeypatch, lambda *, at_rest: at_rest and untidy, maintain)
    await memory.store_message(message("one"), "talk", user_id="ana")
    await memory.close()
    # Nobody reads any more, so no older version is kept.
    assert compacted == [{"keep_none": True}] * untidy


@pytest.mark.parametrize(
    ("part", "work"),
    [("flush", "bring logged rows to the engine"), ("maintain", "compact the rows")],
)
async def test_what_fails_at_the_end_is_kept_and_no_error(
    part: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is stored, and the next opening does it."""
    memory = await open_memory("memory://", embedder="hash")
    store = await memory._lazy.get()
    told: list[dict[str, str]] = []

    async def keep(problems: Any) -> None:
        told.append(dict(problems))

    assert store.writer is not None
    store.writer.keep_problems(keep)
    await memory.store_message(message("one"), "talk", user_id="ana")

    async def fail(**_: Any) -> Maintenance:
        raise EngineError("test", part, "as asked", fix="None.")

    if part == "flush":
        monkeypatch.setattr(store.rows, "flush", fail, raising=False)
    else:
        compacts(store, monkeypatch, lambda *, at_rest: at_rest, fail)
    await memory.close()
    assert list(told[-1]) == [work]
