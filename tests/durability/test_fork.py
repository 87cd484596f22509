"""A memory that was open when its process forked, or that is sent to another one."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreError
from tests.durability.support import ROOT, environment

# Far beyond what a busy machine needs: what has not ended by then hangs.
_HANGS = 60

_SCRIPT = """
import asyncio, os, sys
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import StoreError

folder, read_only = sys.argv[1], sys.argv[2] == "reader"
loop = asyncio.new_event_loop()


def message(text):
    return Message(role="user", content=text)


async def begin():
    writer = await open_memory(folder, embedder="hash")
    await writer.store_message(message("logged"), "talk", user_id="ana")
    return writer, await open_memory(folder, embedder="hash", read_only=True)


async def use(memory):
    try:
        await memory.recall("logged", user_id="ana")
    except StoreError as error:
        print("after the fork" in str(error), flush=True)
    await memory.close()
    print("closed", flush=True)


async def end():
    await writer.store_message(message("later"), "talk", user_id="ana")
    await reader.close()
    await writer.close()


writer, reader = loop.run_until_complete(begin())
child = os.fork()
if child == 0:
    asyncio.new_event_loop().run_until_complete(use(reader if read_only else writer))
    os._exit(0)
os.waitpid(child, 0)
loop.run_until_complete(end())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("who", ["writer", "reader"])
async def test_closing_it_in_the_child_leaves_the_parents_store_whole(
    tmp_path: Path, who: str
) -> None:
    folder = str(tmp_path / "store")
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, folder, who],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_HANGS,
    )
    assert told.stdout.split("\n") == ["True", "closed", ""], told.stderr
    # The child's flush had put the logged row into the engine a second time.
    async with open_memory(folder, embedder="hash") as memory:
        assert [m.content for m in await memory.retrieve_messages("talk")] == ["later", "logged"]
        assert (await memory.maintain()).ok


_UNOPENED = """
import asyncio, gc, os, sys
from bruno_core.models.message import Message
from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import StoreLockedError

memory = VectorMemory(sys.argv[1], embedder="hash")


async def say(text):
    await memory.store_message(Message(role="user", content=text), "talk", user_id="ana")


async def live(text):
    await say(text)
    await memory.close()


child = os.fork()
if child == 0:
    asyncio.run(live("the child's"))
    sys.exit(0)
_, status = os.waitpid(child, 0)
asyncio.run(say("the parent's"))
child = os.fork()
if child == 0:
    # Nobody closes its copy: it is collected, and the interpreter ends as it does.
    del memory
    gc.collect()
    sys.exit(0)
_, second = os.waitpid(child, 0)


async def end():
    try:
        await open_memory(sys.argv[1], embedder="hash")
    except StoreLockedError as error:
        print("this process" in str(error), flush=True)
    await live("the end")

asyncio.run(end())
print(status, second, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_what_was_not_open_is_used_in_the_child_and_the_lock_stays_the_parents(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path / "store")
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", "-c", _UNOPENED, folder],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_HANGS,
    )
    assert told.stdout.split("\n") == ["True", "0 0", ""], told.stderr
    async with open_memory(folder, embedder="hash") as memory:
        texts = [one.content for one in await memory.retrieve_messages("talk")]
        assert texts == ["the end", "the parent's", "the child's"]
        assert (await memory.maintain()).ok


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
async def test_it_is_not_sent_to_another_process(tmp_path: Path, send: Any) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        for one in (memory, memory.for_user("ana"), VectorMemory(str(tmp_path / "other"))):
            with pytest.raises(StoreError, match="open a memory of it there"):
                send(one)


async def test_nor_as_an_argument(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        child = multiprocessing.get_context("spawn").Process(target=print, args=(memory,))
        with pytest.raises(StoreError, match="cannot be copied"):
            child.start()
