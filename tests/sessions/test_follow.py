"""``memory.follow``: the new messages of a conversation, from this process and from others."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError, ReadOnlyError
from bruno_memory_vec.sessions.redis import following
from tests.durability.support import message
from tests.servers.redis_server import RedisServer

SOON = 20.0  # seconds; only a hang reaches it


class Heard:
    """What a follower was shown."""

    def __init__(self, memory: VectorMemory, talk: str = "talk") -> None:
        self.texts: list[str] = []
        self.messages: list[Message] = []
        self._new = asyncio.Event()
        self.task = asyncio.create_task(self._follow(memory, talk))

    async def _follow(self, memory: VectorMemory, talk: str) -> None:
        async for one in memory.follow(talk):
            self.messages.append(one)
            self.texts.append(one.content)
            self._new.set()

    async def until(self, *texts: str) -> None:
        """Wait until all of these were shown, and nothing else."""
        while len(self.texts) < len(texts):
            self._new.clear()
            await asyncio.wait_for(self._new.wait(), SOON)
        assert self.texts == list(texts)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def listening(memory: VectorMemory, count: int = 1) -> None:
    """Wait until so many follow."""
    for _ in range(int(SOON / 0.01)):
        if await followers(memory) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody follows")


async def followers(memory: VectorMemory) -> int:
    store = await memory._lazy.get()
    source: Any = store.listen.__self__  # type: ignore[attr-defined]
    held = getattr(source, "_followers", source)
    return int(held.count if hasattr(held, "count") else held.listeners)


@pytest.fixture(params=["SQLite", pytest.param("Redis", marks=pytest.mark.redis_server)])
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[VectorMemory]:
    named = {}
    if request.param == "Redis":
        named["sessions"] = request.getfixturevalue("redis_url")
    async with open_memory("memory://", embedder="hash", max_messages=4, **named) as opened:
        yield opened


async def say(memory: VectorMemory, *texts: str, talk: str = "talk", user: str = "ana") -> None:
    await memory.store_messages([message(text) for text in texts], talk, user_id=user)


async def test_new_messages_are_shown_as_they_come(memory: VectorMemory) -> None:
    await say(memory, "before")
    heard = Heard(memory)
    await listening(memory)
    await say(memory, "one")
    await heard.until("one")
    await say(memory, "elsewhere", talk="other")
    await say(memory, "two", "three")
    await heard.until("one", "two", "three")
    await heard.stop()
    shown = heard.messages[0]
    (stored,) = [one for one in await memory.retrieve_messages("talk") if one.content == "one"]
    assert shown == stored


async def test_a_conversation_that_has_not_begun(memory: VectorMemory) -> None:
    heard = Heard(memory)
    await listening(memory)
    await say(memory, "first")
    await heard.until("first")
    await heard.stop()


async def test_each_message_is_shown_once(memory: VectorMemory) -> None:
    """Stored again, deleted, or read from the rows again, it is not new."""
    old = message("old")
    await memory.store_message(old, "talk", user_id="ana")
    heard = Heard(memory)
    await listening(memory)
    new = message("new")
    await memory.store_message(new, "talk", user_id="ana")
    await heard.until("new")
    await memory.store_message(new.model_copy(update={"content": "anew"}), "talk", user_id="ana")
    await memory.store_message(old.model_copy(update={"content": "older"}), "talk", user_id="ana")
    await memory.delete_messages(new.id, "talk")
    await memory.get_context("ana", "talk")  # fills the hot context from the rows
    await say(memory, "last")
    await heard.until("new", "last")
    await heard.stop()


async def test_more_than_is_kept_hot(memory: VectorMemory) -> None:
    heard = Heard(memory)
    await listening(memory)
    texts = [f"text {number}" for number in range(50)]
    await say(memory, *texts[:30])
    await say(memory, *texts[30:])
    await heard.until(*texts)
    await heard.stop()


async def test_a_view_is_shown_its_users_own(memory: VectorMemory) -> None:
    ana, bo = Heard(memory.for_user("ana")), Heard(memory.for_user("bo"))
    await listening(memory, 2)
    await say(memory, "one", "two")
    await ana.until("one", "two")
    # Whoever follows another user's conversation hears as much as of one that has not begun.
    late = Heard(memory.for_user("bo"))
    await listening(memory, 3)
    await say(memory, "three")
    await ana.until("one", "two", "three")
    assert bo.texts == late.texts == []
    for one in (ana, bo, late):
        await one.stop()


async def test_by_the_id_of_a_session(memory: VectorMemory) -> None:
    session = await memory.create_session("ana")
    heard = Heard(memory, session.session_id)
    await listening(memory)
    await say(memory, "hello", talk=session.conversation_id)
    await heard.until("hello")
    await heard.stop()


async def test_cancelling_leaves_nothing(memory: VectorMemory) -> None:
    tasks = asyncio.all_tasks()
    heard = Heard(memory)
    await listening(memory)
    await heard.stop()
    assert await followers(memory) == 0
    assert not [one for one in asyncio.all_tasks() - tasks if "follow" in one.get_name()]
    # Nor does a loop that is left.
    follow = memory.follow("talk")
    first = asyncio.ensure_future(anext(follow))
    await listening(memory)
    await say(memory, "one")
    assert (await first).content == "one"
    await follow.aclose()
    assert await followers(memory) == 0
    gc.collect()


async def test_closing_the_memory_ends_it() -> None:
    memory = await open_memory("memory://", embedder="hash")
    heard = Heard(memory)
    await listening(memory)
    await say(memory, "one")
    await memory.close()
    await asyncio.wait_for(heard.task, SOON)
    assert heard.texts == ["one"]


async def test_what_names_no_conversation(memory: VectorMemory) -> None:
    with pytest.raises(InvalidInputError):
        await anext(memory.follow(" "))


async def test_a_reader_of_a_folder_is_told_so(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash"):
        pass
    async with open_memory(str(tmp_path / "store"), embedder="hash", read_only=True) as reader:
        with pytest.raises(ReadOnlyError, match="share sessions in Redis"):
            await anext(reader.follow("talk"))


@pytest.mark.redis_server
async def test_from_another_process(tmp_path: Path, redis_url: str) -> None:
    """A reader beside the writer, which has its own engines and its own connections."""
    store = str(tmp_path / "store")
    async with (
        open_memory(store, embedder="hash", sessions=redis_url) as writer,
        open_memory(store, embedder="hash", sessions=redis_url, read_only=True) as reader,
    ):
        heard = Heard(reader)
        await listening(reader)
        await say(writer, "one", "two")
        await heard.until("one", "two")
        await heard.stop()


@pytest.mark.redis_server
async def test_closing_ends_it_in_redis(redis_url: str) -> None:
    memory = await open_memory("memory://", embedder="hash", sessions=redis_url)
    heard = Heard(memory)
    await listening(memory)
    await memory.close()
    await asyncio.wait_for(heard.task, SOON)


@pytest.mark.redis_server
async def test_it_goes_on_when_redis_is_back(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And shows what came while nothing could be heard."""
    monkeypatch.setattr(following, "_HOLD", 200)
    url = f"{redis_server.url}?timeout=1&retries=1"
    async with open_memory("memory://", embedder="hash", sessions=url) as memory:
        heard = Heard(memory)
        await listening(memory)
        await say(memory, "one")
        await heard.until("one")
        redis_server.kill()
        with pytest.raises(BackendUnavailable):
            await say(memory, "refused")
        redis_server.start()
        await say(memory, "two")
        await heard.until("one", "two")
        redis_server.client.flushall()
        await say(memory, "three")
        await heard.until("one", "two", "three")
        await heard.stop()
