"""A memory that nobody closes: its folder stays whole, and opens again in the same process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreLockedError
from bruno_memory_vec.store import forgotten
from tests.amounts import amount
from tests.durability.support import ROOT, environment, message

# Far beyond what a busy machine needs: what has not ended by then hangs.
_HANGS = 240

_HEAD = """
import asyncio, gc, threading
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory


async def once(number):
    memory = await open_memory(folder, embedder="hash")
    await memory.store_message(Message(role="user", content=f"n{number}"), "talk", user_id="ana")
"""

WAYS = {
    "one event loop": """
async def main():
    for number in range(times):
        await once(number)
asyncio.run(main())
""",
    "with pauses, in which its tasks run": """
async def main():
    for number in range(times):
        await once(number)
        await asyncio.sleep((0.1, 0.6, 1.1, 0)[number] if times > 2 else 0.6)
asyncio.run(main())
""",
    "one event loop after the other": """
for number in range(times):
    asyncio.run(once(number))
""",
    "event loops that are not closed": """
loops = []
for number in range(times):
    loops.append(asyncio.new_event_loop())
    loops[-1].run_until_complete(once(number))
""",
    "threads, each with its loop": """
for number in range(times):
    thread = threading.Thread(target=lambda: asyncio.run(once(number)))
    thread.start()
    thread.join()
""",
    "only the collector finds it": """
async def circle(number):
    memory = await open_memory(folder, embedder="hash")
    memory.itself = memory
    await memory.store_message(Message(role="user", content=f"n{number}"), "talk", user_id="ana")
async def main():
    gc.disable()
    for number in range(times):
        await circle(number)
asyncio.run(main())
""",
    "after an error": """
async def fails(number):
    memory = await open_memory(folder, embedder="hash")
    await memory.store_message(Message(role="user", content=f"n{number}"), "talk", user_id="ana")
    raise ValueError
async def main():
    for number in range(times):
        try:
            await fails(number)
        except ValueError:
            pass
asyncio.run(main())
""",
}


@pytest.mark.slow
async def test_it_opens_again_with_every_row_once(tmp_path: Path) -> None:
    times = {name: amount(2, 4) for name in WAYS} | {"one event loop": 4}
    ways = [
        f"gc.enable(); folder, times = {str(tmp_path / name)!r}, {times[name]}\n{WAYS[name]}"
        for name in WAYS
    ]
    # One after the other in one process, or each in its own.
    scripts = amount(["".join(ways)], ways)
    running = [await asyncio.to_thread(_start, _HEAD + script) for script in scripts]
    for process in running:
        _, told = await asyncio.to_thread(process.communicate, timeout=_HANGS)
        assert process.returncode == 0, told
    for name in WAYS:
        async with open_memory(str(tmp_path / name), embedder="hash") as memory:
            found = [one.content for one in await memory.retrieve_messages("talk")]
            assert found == [f"n{number}" for number in reversed(range(times[name]))], name
            assert len(await memory.recall("n1", user_id="ana", k=9, profile="lexical")) == 1
            assert (await memory.maintain()).ok, name


def _start(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_one_that_is_still_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the folder is spelt, the second one is refused, and the first goes on."""
    folder = tmp_path / "store"
    memory = await open_memory(str(folder), embedder="hash")
    await memory.store_message(message("one"), "talk", user_id="ana")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "above").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    spellings = [
        str(folder),
        f"{folder}/",
        f"{tmp_path}/./x/../store",
        "store",
        "./store/",
        f"file://{folder}",
        "link",
        "above/store",
    ]
    (tmp_path / "x").mkdir()
    for url in spellings:
        with pytest.raises(StoreLockedError, match="open for writing in this process") as refusal:
            await VectorMemory(url, embedder="hash").connect()
        assert f"process {os.getpid()} " in str(refusal.value), url
    await memory.store_message(message("two"), "talk", user_id="ana")
    await memory.close()
    async with open_memory("link", embedder="hash") as memory:
        assert len(await memory.retrieve_messages("talk")) == 2


async def test_a_view_keeps_it_open(tmp_path: Path) -> None:
    view = (await open_memory(str(tmp_path), embedder="hash")).for_user("ana")
    with pytest.raises(StoreLockedError):
        await open_memory(str(tmp_path), embedder="hash")
    await view.store_message(message("one"), "talk")
    del view
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert len(await memory.retrieve_messages("talk")) == 1


def test_an_event_loop_in_its_last_turn_begins_no_closing() -> None:
    """A task that begins there takes no step, and is destroyed with a warning."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.shutdown_asyncgens())
    nothing: Any = None  # it is not looked at: the loop is not running
    assert not forgotten._close_in(loop, nothing)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert asyncio.all_tasks(loop) == set()
    loop.close()
