"""What a commit works out about its rows, and what the writer remembers between commits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from bruno_core.models.message import Message, MessageRole
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders import Fingerprint
from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import TIMESTAMP, row_schema
from bruno_memory_vec.rows.models import message_row, to_table
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.store.lease import LocalLease
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.writing.commit import embed
from bruno_memory_vec.writing.known_ids import KnownIds, hash_ids, hash_texts
from bruno_memory_vec.writing.lease import Wanted


def message(text: str) -> Message:
    return Message(role=MessageRole.ASSISTANT, content=text)


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder=HashEmbedder()) as opened:
        yield opened


async def turns(memory: VectorMemory, conversation: str) -> dict[str, int]:
    rows = (await memory._lazy.get()).rows
    scope = Scope.all_users().within(conversation)
    found = await rows.read(scope, RowFilter(), ("content", "turn"), order_by="turn")
    return {row["content"]: row["turn"] for row in found.to_pylist()}


class Failing:
    """Lets the next call of a method fail, before or after it was done."""

    def __init__(self, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.when = ""
        inner = getattr(owner, name)

        async def call(*given: Any, **named: Any) -> Any:
            when, self.when = self.when, ""
            if when == "before":
                raise EngineError("test", "fail", "as asked", fix="None.")
            result = await inner(*given, **named)
            if when == "after":
                raise EngineError("test", "fail", "as asked", fix="None.")
            return result

        monkeypatch.setattr(owner, name, call)


async def test_turns_are_asked_for_once() -> None:
    sessions = await SQLiteSessionStore.open(":memory:", 4)
    await sessions.restore([("a", "ana", 7)], 0)
    asked: list[list[str]] = []
    inner = sessions.named

    async def named(ids: Collection[str]) -> Any:
        asked.append(list(ids))
        return await inner(ids)

    sessions.named = named  # type: ignore[method-assign]
    lease = LocalLease(sessions)
    one = Wanted("ana", 1)
    assert await lease.next_turns({"a": one, "b": one}) == {
        "a": 7,
        "b": 0,
    }
    # Not before the sessions know it.
    assert await lease.next_turns({"a": one}) == {"a": 7}
    assert asked == [["a", "b"], ["a"]]
    lease.record_turns({"a": 8, "b": 1})
    assert await lease.next_turns({"b": one, "a": one}) == {
        "b": 1,
        "a": 8,
    }
    assert asked == [["a", "b"], ["a"]]
    # One that begins now has none in the sessions.
    assert await lease.next_turns({"a": one, "c": one}, {"c"}) == {"a": 8, "c": 0}
    assert asked == [["a", "b"], ["a"]]
    lease.forget_turns()
    assert await lease.next_turns({"a": one}) == {"a": 7}
    await sessions.close()


async def test_turns_are_remembered_of_the_newest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruno_memory_vec.store.lease._REMEMBERED_TURNS", 3)
    sessions = await SQLiteSessionStore.open(":memory:", 20)
    lease = LocalLease(sessions)
    lease.record_turns({"a": 1, "b": 1, "c": 1})
    lease.record_turns({"a": 2})
    lease.record_turns({"d": 1, "e": 1})
    assert lease._turns == {"a": 2, "d": 1, "e": 1}
    await sessions.close()


@pytest.mark.parametrize("part", ["sessions", "rows"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_turn_is_never_given_twice(
    memory: VectorMemory, part: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a failed commit has left behind, the next one goes on behind it."""
    store: Store = await memory._lazy.get()
    if part == "sessions":
        failing = Failing(store.sessions, "apply", monkeypatch)
    else:
        failing = Failing(store.rows, "upsert", monkeypatch)
    for number in range(6):
        failing.when = when if number in (1, 3) else ""
        with contextlib.suppress(EngineError):
            await memory.store_message(message(f"text {number}"), "c", user_id="ana")
    lost = {1, 3} if (part, when) == ("rows", "before") else set()
    stored = [f"text {number}" for number in range(6) if number not in lost]
    assert await turns(memory, "c") == {text: turn for turn, text in enumerate(stored)}


async def test_a_conversation_that_was_cleared_goes_on_counting(memory: VectorMemory) -> None:
    await memory.store_messages([message(f"text {n}") for n in range(3)], "c", user_id="ana")
    await memory.clear_history("c")
    await memory.store_message(message("later"), "c", user_id="ana")
    assert await turns(memory, "c") == {"later": 3}


async def test_callers_in_a_loop_share_commits(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (await memory._lazy.get()).rows
    commits: list[int] = []
    inner = rows.upsert

    async def upsert(table: pa.Table, *, all_new: bool) -> None:
        commits.append(table.num_rows)
        await inner(table, all_new=all_new)

    monkeypatch.setattr(rows, "upsert", upsert)

    async def caller(name: str) -> None:
        for n in range(10):
            await memory.store_message(message(f"text {n}"), name, user_id="ana")

    await asyncio.gather(*(caller(f"c{n}") for n in range(60)))
    assert sum(commits) == 600
    # The first ones of a caller bind its conversation one after another.
    assert commits.count(60) >= 8, commits


class Light:
    """Says that it is light, and notes in which thread it was called."""

    fingerprint = Fingerprint(name="light", version="1", dimension=2)

    def __init__(self, light: bool) -> None:
        self.light = light
        self.threads: list[int] = []

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> NDArray[np.float32]:
        self.threads.append(threading.get_ident())
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


@pytest.mark.parametrize(
    ("light", "texts", "here"),
    [
        (True, ["one"], True),
        (True, ["one"] * 128, True),
        (True, ["one"] * 129, False),
        (True, ["x" * 16_000], True),
        (True, ["x" * 8_000, "x" * 8_001], False),
        (False, ["one"], False),
    ],
)
async def test_where_texts_are_embedded(light: bool, texts: list[str], here: bool) -> None:
    embedder = Light(light)
    assert (await embed(embedder, texts, None)).shape == (len(texts), 2)
    (thread,) = embedder.threads
    assert (thread == threading.get_ident()) == here


@pytest.mark.parametrize("count", [0, 1, 16, 17, 300])
def test_hashes_of_texts(count: int) -> None:
    ids = [str(uuid4()) for _ in range(count)]
    hashes = hash_texts(ids)
    assert hashes.dtype == np.uint64
    np.testing.assert_array_equal(hashes, hash_ids(pa.array(ids, pa.string())))
    short = [id_[:32] for id_ in ids]
    np.testing.assert_array_equal(hash_texts(short, 32), hash_ids(pa.array(short, pa.string()), 32))
    known = KnownIds()
    assert not known.any_hashed(hashes)
    known.add_hashed(hashes)
    assert all(known.any_hashed(hash_texts([id_])) for id_ in ids)
    assert KnownIds.unread().any_hashed(hashes) == (count > 0)


def _by_column(rows: Sequence[dict[str, Any]], field: pa.Field) -> pa.Array:
    values = [row[field.name] for row in rows]
    if field.type == TIMESTAMP:
        return pa.array(values, pa.int64()).cast(TIMESTAMP)
    return pa.array(values, field.type)


@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
def test_a_table_of_rows(count: int) -> None:
    texts: list[Callable[[int], str]] = [str, "ünï {}".format, "x{}?".format]
    rows = []
    for n in range(count):
        row = message_row(message(texts[n % 3](n)), "ana", "c")
        row |= {"seq": n, "turn": n if n % 2 else None, "tags": ["a"] * (n % 3), "expires_at": n}
        rows.append(row)
    schema = row_schema(3)
    vectors = np.random.default_rng(1).random((count, 3), np.float32)
    table = to_table(rows, vectors, schema)
    assert table.schema == schema
    for field in schema:
        if field.name not in ("vector", "checksum"):
            assert table.column(field.name).combine_chunks() == _by_column(rows, field)
    assert table.column("vector").to_pylist() == vectors.tolist()
    assert not changed(table).any()


async def test_a_conversation_in_progress_is_not_asked_for(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.store_message(message("first"), "c", user_id="ana")
    sessions = (await memory._lazy.get()).sessions

    async def conversation(name: str) -> Any:
        raise AssertionError(name)

    monkeypatch.setattr(sessions, "conversation", conversation)
    await memory.store_messages([message("second"), message("third")], "c", user_id="ana")
    await memory.store_message(message("fourth"), "c", user_id="ana")
    assert await turns(memory, "c") == {"first": 0, "second": 1, "third": 2, "fourth": 3}
