"""A context that is answered from memory is what SQLite would have said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.rows.models import Row, message_row
from bruno_memory_vec.sessions import cache as hot_cache
from bruno_memory_vec.sessions.protocol import ContextRecord, Conversation, HotTurn
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

LIMIT = 4
Store = SQLiteSessionStore


def row(text: str, conversation: str = "c", **metadata: Any) -> Row:
    given = Message(role=MessageRole.USER, content=text, metadata=metadata)
    return message_row(given, "ana", conversation) | {"seq": 0}


def turn(number: int, text: str, conversation: str = "c", **metadata: Any) -> HotTurn:
    return HotTurn("ana", conversation, number, row(text, conversation, **metadata))


def session(conversation: str = "c", **given: Any) -> SessionContext:
    return SessionContext(user_id="ana", conversation_id=conversation, **given)


async def read(store: Store, conversation: str = "c", limit: int = LIMIT) -> ContextRecord:
    return await store.context("ana", conversation, limit)


class Asked:
    """How often SQLite was asked since the last look."""

    def __init__(self, store: Store) -> None:
        self.times = 0
        inner = store._read

        async def counting(statement: str, values: Any = ()) -> list[Any]:
            self.times += 1
            return await inner(statement, values)

        store._read = counting  # type: ignore[method-assign]

    def since(self) -> int:
        times, self.times = self.times, 0
        return times


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "sessions.sqlite", LIMIT)
    await opened.save_session(session(metadata={"tags": ["a"]}))
    await opened.save_user(UserContext(user_id="ana", profile={"likes": ["tea"]}))
    await opened.set_current_conversation("ana", "elsewhere")
    await opened.apply([turn(n, f"text {n}", seen={"at": ["x", {1}]}) for n in range(3)], 2)
    yield opened
    await opened.close()


@pytest.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Store]:
    """Another process: it keeps nothing, so it says what is in the file."""
    opened = await Store.open(tmp_path / "sessions.sqlite", LIMIT, read_only=True)
    yield opened
    await opened.close()


async def test_the_second_one_asks_nobody(store: Store) -> None:
    asked = Asked(store)
    first = await read(store)
    assert asked.since() == 1
    assert await read(store) == first
    assert asked.since() == 0
    assert [message.content for message in first.messages] == ["text 0", "text 1", "text 2"]


async def _stale(store: Store) -> Conversation:
    await store.mark_stale("c")
    found = await store.conversation("c")
    assert found is not None
    return found


async def _refill(store: Store) -> None:
    seen = await _stale(store)
    await read(store)  # what is kept now is stale, which the filling changes
    await store.refill("c", [turn(2, "from the rows")], seen)


async def _leave(store: Store) -> None:
    await store.set_current_conversation("ana", "c")
    await read(store)
    await store.leave("c", "ana")


async def _begin(store: Store) -> None:
    if await store.conversation("free") is None:
        await store.begin_session(SessionContext(user_id="ana", conversation_id="free"))


async def _end(store: Store) -> None:
    found = (await read(store)).session
    if found is not None:  # else it has ended already
        found.end_session()
        await store.save_session(found)


CHANGES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "apply": lambda store: store.apply([turn(3, "new")], 3),
    "apply again": lambda store: store.apply([turn(1, "text 1, mended")], 3),
    "restore": lambda store: store.restore([("c", "ana", 9)], 9),
    "mark stale": _stale,
    "refill": _refill,
    "noted": lambda store: store.apply([], 3, {"free": "ana"}),
    "leave": _leave,
    "begin": _begin,
    "current": lambda store: store.set_current_conversation("ana", "c"),
    "session": lambda store: store.save_session(session()),
    "session ends": _end,
    "user": lambda store: store.save_user(UserContext(user_id="ana", profile={"likes": ["milk"]})),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_no_change_is_missed(
    store: Store, reader: Store, change: Callable[[Store], Awaitable[object]]
) -> None:
    before = [await read(store, name) for name in ("c", "free")]
    await change(store)
    after = [await read(store, name) for name in ("c", "free")]
    assert after == [await read(reader, name) for name in ("c", "free")]
    if change is not _leave:  # it ends as it began
        assert after != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_a_change_while_it_is_read(
    store: Store, reader: Store, change: Callable[[Store], Awaitable[object]]
) -> None:
    """What was read before a change, and comes after it, is not kept."""
    inner = store._read
    changed = False

    async def slow(statement: str, values: Any = (), **how: Any) -> list[Any]:
        nonlocal changed
        rows = await inner(statement, values, **how)
        if not changed:
            changed = True
            await change(store)
        return rows

    for name in ("c", "free"):
        changed = False
        store._read = slow  # type: ignore[method-assign]
        await read(store, name)
        store._read = inner  # type: ignore[method-assign]
        assert await read(store, name) == await read(reader, name)


async def test_a_change_that_fails_or_is_cancelled(store: Store, reader: Store) -> None:
    await read(store)
    with pytest.raises(KeyError):  # behind the counter, at the message
        await store.apply([HotTurn("ana", "c", 3, {})], 3)
    assert await read(store) == await read(reader)
    for steps in range(6):
        caller = asyncio.ensure_future(store.apply([turn(3, f"step {steps}")], 3))
        for _ in range(steps):
            await asyncio.sleep(0)
            await read(store)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert await read(store) == await read(reader)


async def test_health_tells_how_many_found_theirs(store: Store) -> None:
    for _ in range(4):
        await read(store)
    found = (await store.health())["cache"]
    assert found == {"contexts": 1, "hits": 3, "misses": 1, "hit_rate": 0.75}


async def test_others_stay(store: Store) -> None:
    await store.apply([turn(0, "there", "d")], 3)
    await read(store)
    asked = Asked(store)
    await store.apply([turn(1, "there too", "d")], 4)
    await store.mark_stale("d")
    await store.save_user(UserContext(user_id="ben"))
    await read(store)
    assert asked.since() == 0


async def test_who_asks_and_for_how_many_counts(store: Store, reader: Store) -> None:
    for limit in (LIMIT, 1, 2, LIMIT):
        assert await read(store, limit=limit) == await read(reader, limit=limit)
    for user in ("ben", "ana"):
        assert await store.context(user, "c", LIMIT) == await reader.context(user, "c", LIMIT)


async def test_a_caller_may_change_what_it_got(store: Store, reader: Store) -> None:
    for _ in range(2):
        record = await read(store)
        assert record == await read(reader)
        assert record.session is not None
        assert record.user is not None
        for message in record.messages:
            message.metadata["seen"]["at"][1].add(2)
            message.metadata["seen"]["at"].append("y")
            message.metadata["more"] = True
            message.content = "changed"
            message.__pydantic_fields_set__.clear()
        record.messages.clear()
        record.session.metadata["tags"].append("b")
        record.user.profile["likes"].append("milk")


async def test_a_reader_sees_what_another_process_writes(store: Store, reader: Store) -> None:
    await read(reader)
    await store.apply([turn(3, "new")], 3)
    assert [message.content for message in (await read(reader)).messages][-1] == "new"


async def test_memory_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_cache, "_MOST_CONTEXTS", 5)
    monkeypatch.setattr(hot_cache, "_MOST_CHARACTERS", 20_000)
    asked = Asked(store)
    for n in range(40):
        await store.apply([turn(0, f"{n} " + "x" * 50 * n, f"c{n}")], n)
        await read(store, f"c{n}")
        kept = store._hot
        assert len(kept._contexts) <= 5
        held = [parts.characters for _, _, parts in kept._contexts.values()]
        assert sum(held) == kept._context_characters <= 20_000
        assert sum(map(len, kept._messages)) == kept._message_characters <= 20_000
    asked.since()
    # The newest that fits stays; one that would take the place of all others is not kept.
    await read(store, "c39")
    assert asked.since() == 0
    await store.apply([turn(0, "x" * 3_000, "large")], 50)
    await read(store, "large")
    await read(store, "large")
    assert asked.since() == 2


def test_another_loop_asks_again(tmp_path: Path) -> None:
    """A write that was under way when its loop ended may have told nobody of its end."""

    async def begin() -> Store:
        store = await Store.open(tmp_path / "sessions.sqlite", LIMIT)
        await store.apply([], 0, {"c": "ana"})
        await read(store)
        return store

    async def go_on(store: Store) -> None:
        asked = Asked(store)
        await read(store)
        assert asked.since() == 1
        await store.close()

    store = asyncio.run(begin())
    asyncio.run(go_on(store))


async def test_a_closed_one_answers_nothing(store: Store) -> None:
    await read(store)
    await store.close()
    with pytest.raises(EngineError):
        await read(store)
