"""What a process leaves that ends between its rows and Redis' turn, and who mends it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.reference import SearchingReferenceIndex
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.sessions.redis.store import RedisSessionStore
from bruno_memory_vec.store.deployment import Parts, analyser_for, language_of
from tests.durability.support import Child, message, turns_of
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server

CHILD = Path(__file__).resolve().parents[1] / "faults" / "child_killed.py"


class Killed(Exception):
    """In place of a kill: nothing of what follows is done."""


class SharedRows:
    """Rows that every memory of a test shares, as those on a server, and sessions in Redis."""

    schemes = ("memory",)

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: Any = None

    async def open(self, config: Any, made_by: Any, progress: Any) -> Parts:
        if self.rows is None:
            analyser = analyser_for(language_of(config))
            self.rows = SearchingReferenceIndex(made_by.dimension, analyser)
        opened = await session_store_of(config.sessions).open(config.sessions, self.name, config)
        rows: Any = CachedIndex(self.rows, 2**24, versions=opened.versions)
        return Parts(rows, None, opened.sessions, opened.lease)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, store_name: str) -> SharedRows:
    rows = SharedRows(store_name)
    monkeypatch.setattr("bruno_memory_vec.store.store.deployment_of", lambda url: rows)
    return rows


def memory_at(url: str, **settings: Any) -> Any:
    return open_memory("memory://", embedder="hash", sessions=url, **settings)


async def say(memory: VectorMemory, text: str, talk: str = "talk", user: str = "ana") -> None:
    await memory.store_message(message(text), talk, user_id=user)


async def shown(memory: VectorMemory, talk: str = "talk", user: str = "ana") -> list[str]:
    return [one.content for one in (await memory.get_context(user, talk)).messages]


async def ends(memory: VectorMemory) -> RedisSessionStore:
    """Let a memory end as a killed process does: it says nothing more, and cleans nothing up."""
    store = await memory._lazy.get()
    sessions: Any = store.sessions
    store.writer._background.refuse()  # type: ignore[union-attr]
    sessions._changes._task.cancel()
    await asyncio.wait([sessions._changes._task])
    return sessions  # type: ignore[no-any-return]


async def test_processes_see_each_others_writes_at_once(shared: SharedRows, redis_url: str) -> None:
    async with memory_at(redis_url) as one, memory_at(redis_url) as other:
        texts = []
        for number in range(12):
            writer, reader = (one, other) if number % 2 else (other, one)
            await say(writer, f"word{number} is said")
            texts.append(f"word{number} is said")
            assert await shown(reader) == texts
            hits = await reader.recall(f"word{number}", user_id="ana", k=1)
            assert [hit.content for hit in hits] == texts[-1:]
        turns = [turn for turn, _ in await turns_of(one, "talk")]
        assert turns == list(range(12))
        with pytest.raises(ForeignUserError):
            await say(other, "hers", user="bo")
        (first,) = [one for one in await one.retrieve_messages("talk") if "word0 " in one.content]
        await other.delete_messages(first.id)
        assert await shown(one) == texts[1:]
        hits = await one.recall("word0", user_id="ana", k=3)
        assert texts[0] not in [hit.content for hit in hits]
        for memory in (one, other):
            assert (await memory.health())["problems"] == {}


async def test_a_process_that_goes_on_mends_what_another_has_left(
    shared: SharedRows, redis_url: str
) -> None:
    url = f"{redis_url}?heartbeat=0.6"
    async with memory_at(url) as left, memory_at(url) as stays:
        await say(left, "one")
        assert await shown(stays) == ["one"]
        store = await left._lazy.get()

        async def nothing(*_: Any, **__: Any) -> None:
            raise Killed

        store.writer._projections.apply = nothing  # type: ignore[union-attr]
        with pytest.raises(Killed):
            await say(left, "two")
        await ends(left)
        # At once: it may be shown or not, and its number is not given again.
        assert await shown(stays) == ["one", "two"]
        await say(stays, "three")
        told = await turns_of(stays, "talk")
        assert told == [(0, "one"), (1, "two"), (2, "three")]
        there = await stays._lazy.get()
        sessions: Any = there.sessions
        for _ in range(200):
            if not await sessions.under_way():
                break
            await asyncio.sleep(0.05)
        assert await sessions.under_way() == []
        assert (await sessions.ledger.read()).alive.tolist() == [0, 1, 2]
        assert await shown(stays) == ["one", "two", "three"]
        known = await sessions.conversation("talk")
        assert (known.stale, known.next_turn) == (0, 3)
        assert (await stays.health())["problems"] == {}


@pytest.mark.parametrize("deleted", [False, True])
async def test_rows_that_come_after_another_has_mended_their_change(
    shared: SharedRows, redis_url: str, deleted: bool
) -> None:
    """As of a process that went on, but so slowly that it was taken for one that had ended."""
    async with memory_at(redis_url) as slow, memory_at(redis_url) as other:
        await say(slow, "one")
        await say(slow, "two")
        (one,) = [each for each in await slow.retrieve_messages("talk") if each.content == "one"]
        store = await slow._lazy.get()
        sessions: Any = (await other._lazy.get()).sessions
        projections: Any = store.writer._projections  # type: ignore[union-attr]
        apply = projections.apply

        async def late(*rows: Any, **named: Any) -> Any:
            (change,) = await sessions.under_way()
            await sessions.mend(change, {}, added=[])
            if deleted:
                await shared.rows.delete(EVERYONE, RowFilter(), seqs=[2])
            return await apply(*rows, **named)

        projections.apply = late
        await say(slow, "three")
        projections.apply = apply
        there = [0, 1] if deleted else [0, 1, 2]
        assert (await sessions.ledger.read()).alive.tolist() == there
        if not deleted:  # else who deletes it takes it out of the context, which is none here
            assert await shown(slow) == await shown(other) == ["one", "two", "three"]
        await other.delete_messages(one.id)
        assert (await sessions.ledger.read()).alive.tolist() == there[1:]
        assert await sessions.under_way() == []
        async with memory_at(redis_url) as again:
            assert (await again.health())["problems"] == {}


async def test_a_deletion_that_was_broken_off(shared: SharedRows, redis_url: str) -> None:
    url = f"{redis_url}?heartbeat=0.6"
    async with memory_at(url) as left, memory_at(url) as stays:
        for text in ("one", "two", "three"):
            await say(left, text)
        gone = [one for one in await left.retrieve_messages("talk") if one.content == "two"]
        assert await shown(stays) == ["one", "two", "three"]
        await stays.recall("two", user_id="ana", k=1)  # the user's rows are held in memory
        store = await left._lazy.get()

        async def nothing(*_: Any, **__: Any) -> None:
            raise Killed

        store.writer._projections.apply = nothing  # type: ignore[union-attr]
        with pytest.raises(Killed):
            await left.delete_messages(gone[0].id)
        await ends(left)
        there = await stays._lazy.get()
        sessions: Any = there.sessions
        for _ in range(200):
            if not await sessions.under_way():
                break
            await asyncio.sleep(0.05)
        assert await shown(stays) == ["one", "three"]
        known = await sessions.ledger.read()
        assert known.alive.tolist() == [0, 2]
        assert known.leaving.tolist() == []
        hits = await stays.recall("two", user_id="ana", k=3)
        assert "two" not in [hit.content for hit in hits]
        assert (await stays.health())["problems"] == {}


async def test_a_process_that_others_may_have_given_up_writes_nothing(
    shared: SharedRows, redis_url: str
) -> None:
    """Its commit was held up for so long that its claims may be another's by now."""
    url = f"{redis_url}?heartbeat=0.5"
    async with memory_at(url) as memory:
        await say(memory, "one")
        store = await memory._lazy.get()
        sessions: Any = store.sessions
        inner = store.writer._store  # type: ignore[union-attr]

        async def late(*arguments: Any, **named: Any) -> Any:
            sessions._changes._beat_at -= 10  # as after a pause of the whole process
            return await inner(*arguments, **named)

        store.writer._store = late  # type: ignore[union-attr]
        with pytest.raises(BackendUnavailable, match="others may be mending"):
            await say(memory, "two")
        store.writer._store = inner  # type: ignore[union-attr]
        await say(memory, "three")
        assert await shown(memory) == ["one", "three"]
        assert (await memory.health())["problems"] == {}


async def test_flushed_under_way_by_two_processes(
    shared: SharedRows, redis_server: RedisServer
) -> None:
    """No number is given twice, nothing is lost, and every context is true."""
    url = f"{redis_server.url}?timeout=2&retries=2"
    async with memory_at(url) as one, memory_at(url) as other:
        said: dict[str, list[str]] = {}

        async def talk(memory: VectorMemory, name: str) -> None:
            for number in range(40):
                text = f"{name} {number}"
                while True:
                    try:
                        await say(memory, text, talk=name)
                        break
                    except BackendUnavailable:
                        await asyncio.sleep(0.01)
                said.setdefault(name, []).append(text)

        async def flush() -> None:
            for _ in range(5):
                await asyncio.sleep(0.1)
                redis_server.client.flushall()

        await asyncio.gather(
            *(
                talk(memory, f"{number} of {at}")
                for number in range(2)
                for at, memory in enumerate((one, other))
            ),
            talk(one, "both"),
            flush(),
        )
        seqs = []
        for name, texts in said.items():
            told = await turns_of(one, name)
            assert [text for _, text in told] == texts
            assert len({turn for turn, _ in told}) == len(texts)
            for memory in (one, other):
                assert await shown(memory, name) == texts[-memory.config.max_messages :]
        async for batch in shared.rows.after(-1, ["seq"]):
            seqs += batch.column("seq").to_pylist()
        assert len(set(seqs)) == len(seqs) == sum(map(len, said.values()))
        # The next write brings everything up to the rows.
        await say(one, "last", talk="both")
        await say(other, "very last", talk="both")
        known = await (await one._lazy.get()).sessions.ledger.read()
        assert len(known.alive) == len(seqs) + 2
        for memory in (one, other):
            assert (await memory.health())["problems"] == {}


@pytest.mark.parametrize("first", [["one"], []], ids=["later", "its first row"])
async def test_killed_between_the_rows_and_redis(
    tmp_path: Path, redis_url: str, first: list[str]
) -> None:
    """A real process; the folder is opened again by this one."""
    store = str(tmp_path / "store")
    order = {"url": store, "sessions": redis_url, "place": "talk", "user": "ana", "paths": []}
    child = Child(CHILD, json.dumps({**order, "first": first, "texts": ["left behind"]}))
    assert child.hear() == ""
    assert child.end() == -signal.SIGKILL
    async with open_memory(store, embedder="hash", sessions=redis_url) as memory:
        assert await shown(memory) == [*first, "left behind"]
        with pytest.raises(ForeignUserError):
            await say(memory, "no", user="bo")
        await say(memory, "next")
        assert [turn for turn, _ in await turns_of(memory, "talk")] == list(range(len(first) + 2))
        assert await shown(memory) == [*first, "left behind", "next"]
        assert (await memory.health())["problems"] == {}
