"""Calls cancelled at every await of the write path, beside others whose batches go on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreClosedError
from tests.durability.child_writer import word
from tests.durability.support import message, rows_of
from tests.torture.conftest import Torture, counts

pytestmark = pytest.mark.slow

# So many that the writer works on them in threads: there are more awaits to be cancelled at.
_MANY = 20
_HANGS = 30.0


class Awaits:
    """Counts the awaits at which tasks made meanwhile wait, and acts at one of them.

    Args:
        at: at which, from 1.
        act: called before the task waits there.
    """

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.count = 0
        self._at = at
        self._act = act

    def __enter__(self) -> Awaits:
        asyncio.get_running_loop().set_task_factory(self._make)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().set_task_factory(None)
        self._at = 0

    def _make(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(Watched(coro, self._awaited), loop=loop, **kwargs)

    def _awaited(self) -> None:
        self.count += 1
        if self.count == self._at:
            self._act()


class Watched(Coroutine[Any, Any, Any]):
    """A task's coroutine that tells each time it waits."""

    def __init__(self, coro: Coroutine[Any, Any, Any], awaited: Callable[[], None]) -> None:
        self._coro = coro
        self._awaited = awaited

    def send(self, value: Any) -> Any:
        waited = self._coro.send(value)
        self._awaited()
        return waited

    def throw(self, *error: Any) -> Any:
        waited = self._coro.throw(*error)
        self._awaited()
        return waited

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()


@dataclass
class Bystanders:
    """Other callers, who store beside the call that is cancelled, and must not notice."""

    memory: VectorMemory
    number: Iterator[int]
    stored: list[str] = field(default_factory=list)

    async def store(self, n: int) -> None:
        text = word(next(self.number))
        user = ("ana", "ana", "bo")[n % 3]
        await self.memory.store_message(message(text), f"{user}-talk", user_id=user)
        self.stored.append(text)


@dataclass
class Attempt:
    """A call that is to be cancelled, and the texts whose fate it decides together."""

    call: Callable[[], Coroutine[Any, Any, None]]
    texts: list[str]
    deletes: bool = False


async def a_new_conversation(memory: VectorMemory, number: Iterator[int]) -> Attempt:
    new = message(word(next(number)))
    conversation = f"ana-{new.content}"
    return Attempt(lambda: memory.store_message(new, conversation, user_id="ana"), [new.content])


async def many_messages(memory: VectorMemory, number: Iterator[int]) -> Attempt:
    new = [message(word(next(number))) for _ in range(_MANY)]
    texts = [m.content for m in new]
    return Attempt(lambda: memory.store_messages(new, "ana-talk", user_id="ana"), texts)


async def a_replacement(memory: VectorMemory, number: Iterator[int]) -> Attempt:
    """The old text goes where the new one comes; that is checked by its id."""
    old = entry(word(next(number)))
    await memory.store_memory(old)
    new = entry(word(next(number)), old.id)
    return Attempt(lambda: memory.store_memory(new), [new.content])


async def a_deletion(memory: VectorMemory, number: Iterator[int]) -> Attempt:
    old = entry(word(next(number)))
    await memory.store_memory(old)
    return Attempt(lambda: memory.delete_memory(str(old.id)), [old.content], deletes=True)


async def a_clearing(memory: VectorMemory, number: Iterator[int]) -> Attempt:
    new = [message(word(next(number))) for _ in range(3)]
    conversation = f"ana-{new[0].content}"
    await memory.store_messages(new, conversation, user_id="ana")
    texts = [m.content for m in new]
    return Attempt(lambda: memory.clear_history(conversation), texts, deletes=True)


_ATTEMPTS = [a_new_conversation, many_messages, a_replacement, a_deletion, a_clearing]


def entry(text: str, id_: UUID | None = None) -> MemoryEntry:
    given = {} if id_ is None else {"id": id_}
    return MemoryEntry(content=text, memory_type=MemoryType.FACT, user_id="ana", **given)


async def found(memory: VectorMemory, text: str) -> bool:
    hits = await memory.recall(text, user_id="ana", k=30, profile="lexical")
    return text in {hit.content for hit in hits}


async def check_whole(memory: VectorMemory, attempt: Attempt, end: object) -> bool:
    """Whether the call was done: wholly or not at all, and recall and rows say the same."""
    stored = Counter(row["content"] for row in await rows_of(memory))
    there = [stored[text] for text in attempt.texts]
    assert set(there) in ({0}, {1}), f"half of it is there: {there}"
    assert await found(memory, attempt.texts[0]) == (there[0] == 1)
    done = (there[0] == 1) != attempt.deletes
    assert done or isinstance(end, asyncio.CancelledError | StoreClosedError), (
        f"not done, though it ended with {end!r}"
    )
    return done


async def check_store(memory: VectorMemory) -> int:
    """No row twice, no turn twice, and every row is found by its word. Returns how many rows."""
    rows = await rows_of(memory)
    turns = [(r["conversation_id"], r["turn"]) for r in rows if r["kind"] == "message"]
    assert len(set(turns)) == len(turns)
    assert len({(r["kind"], r["id"]) for r in rows}) == len(rows)
    assert len({r["content"] for r in rows}) == len(rows)
    for row in random.Random(1).sample(rows, min(10, len(rows))):
        hits = await memory.recall(row["content"], user_id=row["user_id"], profile="lexical", k=30)
        assert row["id"] in {hit.id for hit in hits}
    return len(rows)


@pytest.mark.parametrize("make", _ATTEMPTS, ids=lambda make: make.__name__)
async def test_a_caller_is_cancelled_at_every_await(
    tmp_path: Path, torture: Torture, make: Any
) -> None:
    number, cancelled, done = itertools.count(), 0, 0
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        others = Bystanders(memory, number)
        at = 0
        for beside in torture.choose((2,), (0, 1, 3, 40)):
            for at in itertools.count(1):
                attempt = await make(memory, number)
                # Whether the others come before it or after it, so that they share its batch or
                # are the next one.
                before = at % (beside + 1)
                with Awaits(at, lambda: caller.cancel()) as awaits:  # noqa: B023
                    tasks = [asyncio.create_task(others.store(n)) for n in range(before)]
                    caller = asyncio.create_task(attempt.call())
                    tasks += [asyncio.create_task(others.store(n)) for n in range(before, beside)]
                    _, running = await asyncio.wait([caller, *tasks], timeout=_HANGS)
                assert not running
                assert [task.exception() for task in tasks] == [None] * beside
                end = asyncio.CancelledError() if caller.cancelled() else caller.exception()
                await memory.store_message(message(word(next(number))), "ana-talk", user_id="ana")
                if end is None:
                    assert await check_whole(memory, attempt, end)
                else:
                    cancelled += 1
                    done += await check_whole(memory, attempt, end)
                if awaits.count < at:
                    break
        stored = {row["content"] for row in await rows_of(memory)}
        assert set(others.stored) <= stored
        rows = await check_store(memory)
        assert (await memory.health())["status"] == "ok"
    assert cancelled > 0
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        assert await check_store(memory) == rows
    counts(awaits=at, cancelled=cancelled, done_all_the_same=done, rows=rows)


@pytest.mark.parametrize("make", _ATTEMPTS, ids=lambda make: make.__name__)
async def test_every_task_is_cancelled_at_every_await(
    tmp_path: Path, torture: Torture, make: Any
) -> None:
    """A shutdown that cancels all tasks, the store's own too; who was not told it was done is."""
    number, done = itertools.count(), 0
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        others = Bystanders(memory, number)
        at = 0
        me = asyncio.current_task()

        struck: set[asyncio.Task[Any]] = set()

        def cancel_all() -> None:
            struck.update(asyncio.all_tasks() - {me})
            for task in struck:
                task.cancel()

        for beside in torture.choose((1,), (0, 1, 3, 40)):
            for at in itertools.count(1):
                attempt = await make(memory, number)
                with Awaits(at, cancel_all) as awaits:
                    tasks = [asyncio.create_task(attempt.call())]
                    tasks += [asyncio.create_task(others.store(n)) for n in range(beside)]
                    # Wait for the store's own, as asyncio.run does.
                    await asyncio.wait(tasks, timeout=_HANGS)
                    _, running = await asyncio.wait({*tasks, *struck}, timeout=_HANGS)
                assert not running
                ends: list[BaseException | None] = [
                    asyncio.CancelledError() if task.cancelled() else task.exception()
                    for task in tasks
                ]
                for end in ends:
                    assert end is None or isinstance(end, asyncio.CancelledError | StoreClosedError)
                await memory.store_message(message(word(next(number))), "ana-talk", user_id="ana")
                done += await check_whole(memory, attempt, ends[0])
                if awaits.count < at:
                    break
        assert set(others.stored) <= {row["content"] for row in await rows_of(memory)}
        rows = await check_store(memory)
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        assert await check_store(memory) == rows
    counts(awaits=at, done_all_the_same=done, rows=rows)


async def test_callers_with_too_little_time(tmp_path: Path, torture: Torture) -> None:
    """Many at once, each with a timeout that may strike anywhere."""
    dice, number, late = random.Random(4), itertools.count(), 0
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        others = Bystanders(memory, number)
        for _ in range(torture.choose(4, 30)):
            attempts = [await dice.choice(_ATTEMPTS)(memory, number) for _ in range(30)]
            ends = await asyncio.gather(
                *(asyncio.wait_for(a.call(), dice.uniform(0, 0.1)) for a in attempts),
                *(others.store(n) for n in range(30)),
                return_exceptions=True,
            )
            await memory.store_message(message(word(next(number))), "ana-talk", user_id="ana")
            assert ends[30:] == [None] * 30
            for attempt, end in zip(attempts, ends, strict=False):
                assert end is None or isinstance(end, asyncio.TimeoutError), end
                late += end is not None
                cut_off = None if end is None else asyncio.CancelledError()
                await check_whole(memory, attempt, cut_off)
        assert set(others.stored) <= {row["content"] for row in await rows_of(memory)}
        rows = await check_store(memory)
        assert (await memory.health())["status"] == "ok"
    assert late > 0
    counts(late=late, rows=rows)
