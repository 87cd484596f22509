"""One event loop at a time uses a memory: two at once are refused, one after the other go on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import StoreError
from tests.durability.support import ROOT, environment, message


def said(folder: Path) -> list[str]:
    async def read() -> list[str]:
        async with VectorMemory(str(folder), embedder="hash") as memory:
            assert (await memory.maintain()).ok
            turns = await memory.read_turns("talk")
            assert [turn.turn for turn in turns] == list(range(len(turns)))
            return [turn.message.content for turn in turns]

    return asyncio.run(read())


@pytest.fixture
def loops() -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    made: list[asyncio.AbstractEventLoop] = []

    def make() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    yield make
    for loop in made:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.mark.parametrize("url", ["folder", "memory://"])
def test_a_second_loop_at_the_same_time_is_refused(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "store"
    memory = VectorMemory(str(folder) if url == "folder" else url, embedder="hash")
    view = memory.for_user("ana")
    inside, leave = threading.Event(), threading.Event()

    async def first() -> None:
        await memory.store_message(message("one"), "talk", user_id="ana")
        inside.set()
        await asyncio.to_thread(leave.wait)
        await memory.store_message(message("two"), "talk", user_id="ana")

    async def second() -> None:
        calls: list[Callable[[], Any]] = [
            lambda: memory.store_message(message("no"), "talk", user_id="ana"),
            lambda: memory.recall("one", user_id="ana"),
            lambda: view.recall("one"),
            lambda: view.retrieve_messages("talk"),
            lambda: memory.get_context("ana", "talk"),
            lambda: memory.clear_history("talk"),
            lambda: memory.connect(),
            lambda: memory.health(),
            lambda: memory.maintain(),
            lambda: memory.close(),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="another event loop, which is running") as no:
                await call()
            assert "run_coroutine_threadsafe" in no.value.fix

    runner = threading.Thread(target=lambda: asyncio.run(first()))
    runner.start()
    inside.wait()
    try:
        asyncio.run(second())
    finally:
        leave.set()
        runner.join()

    async def third() -> None:
        assert len(await memory.retrieve_messages("talk")) == 2
        await memory.close()

    asyncio.run(third())
    if url == "folder":
        assert said(folder) == ["one", "two"]


def test_two_loops_that_begin_together(tmp_path: Path) -> None:
    """Also of a memory that is not connected yet: one of them opens it."""
    for turn in range(5):
        folder = tmp_path / str(turn)
        memory = VectorMemory(str(folder), embedder="hash")
        gate, ends = threading.Barrier(2), list[object]()
        left = threading.Barrier(2)

        async def write(
            name: int,
            memory: VectorMemory = memory,
            gate: threading.Barrier = gate,
            left: threading.Barrier = left,
            ends: list[object] = ends,
        ) -> None:
            gate.wait()
            try:
                await memory.store_message(message(f"from {name}"), "talk", user_id="ana")
                ends.append(f"from {name}")
            except StoreError as error:
                ends.append(error)
            await asyncio.to_thread(left.wait)

        threads = [
            threading.Thread(target=lambda n=n, write=write: asyncio.run(write(n)))
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = [end for end in ends if isinstance(end, str)]
        refusals = [end for end in ends if isinstance(end, StoreError)]
        assert (len(stored), len(refusals)) == (1, 1), ends
        asyncio.run(memory.close())
        assert said(folder) == stored


def test_loops_that_take_turns(
    tmp_path: Path, loops: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Neither runs while the other does, and none is closed."""
    memory = VectorMemory(str(tmp_path / "store"), embedder="hash")
    first, second = loops(), loops()
    texts = []
    for number in range(16):
        loop = (first, second)[number % 2]
        text = f"number {number}"
        loop.run_until_complete(memory.store_message(message(text), "talk", user_id="ana"))
        texts.append(text)
        if number % 7 == 3:
            loop.run_until_complete(asyncio.sleep(1.2))  # a flush begins, and is left halfway
        found = loop.run_until_complete(memory.recall(text, user_id="ana", k=1))
        assert [hit.content for hit in found] == [text]
    second.run_until_complete(memory.close())
    first.run_until_complete(asyncio.sleep(0.5))
    assert said(tmp_path / "store") == texts


def test_a_call_that_a_paused_loop_has_left_halfway(
    tmp_path: Path, loops: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Until it has ended, another loop is refused: it would give its turn to another message."""
    refusals = 0
    for steps in (1, 3, 8, 20):
        folder = tmp_path / str(steps)
        memory = VectorMemory(str(folder), embedder="hash")
        first, second = loops(), loops()
        first.run_until_complete(memory.store_message(message("one"), "talk", user_id="ana"))

        async def begin(memory: VectorMemory = memory, steps: int = steps) -> asyncio.Task[None]:
            task = asyncio.create_task(
                memory.store_message(message("halfway"), "talk", user_id="ana")
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            return task

        task = first.run_until_complete(begin())
        two = memory.store_message(message("two"), "talk", user_id="ana")
        ended = ["one", "two"]
        try:
            second.run_until_complete(two)
        except StoreError:
            ended, refusals = ["one"], refusals + 1
        (end,) = first.run_until_complete(asyncio.gather(task, return_exceptions=True))
        assert end is None or isinstance(end, StoreError), end
        second.run_until_complete(memory.store_message(message("three"), "talk", user_id="ana"))
        second.run_until_complete(memory.close())
        texts = said(folder)
        assert [text for text in texts if text != "halfway"] == [*ended, "three"]
        assert texts.count("halfway") == (end is None)
    assert refusals


_CLOSED_AMID = """
import asyncio, sys
from bruno_core.models.message import Message
from bruno_memory_vec import VectorMemory

def store(text):
    return memory.store_message(Message(role="user", content=text), "talk", user_id="ana")

async def begin():
    task = asyncio.create_task(store("cut"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

memory = VectorMemory(sys.argv[1], embedder="hash")
first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
first.run_until_complete(store("one"))
first.run_until_complete(begin())
first.close()
second.run_until_complete(store("two"))
second.run_until_complete(memory.close())
"""


@pytest.mark.slow
def test_a_loop_that_was_closed_amid_a_write(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CLOSED_AMID, str(tmp_path / "store")],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [text for text in said(tmp_path / "store") if text != "cut"] == ["one", "two"]


async def test_where_no_event_loop_runs() -> None:
    memory = VectorMemory("memory://", embedder="hash")

    def drive() -> None:
        with pytest.raises(StoreError, match="no event loop"):
            memory.recall("x", user_id="ana").send(None)
        with pytest.raises(StoreError, match="no event loop"):
            memory.store_message(message("x"), "talk", user_id="ana").send(None)

    await asyncio.to_thread(drive)
    await memory.close()
