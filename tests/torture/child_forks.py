"""Forks while it writes. Each child tries every way to use the memory, and ends in its own way.

``child_forks.py FOLDER SEED FORKS``; the last line of its output is JSON: what was acknowledged,
how many calls of children were refused, and which were not.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, StoreError
from tests.durability.support import message

# A child that has not ended by then hangs.
_HANGS = 60


def entries(memory: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
    view = memory.for_user("ana")
    return {
        "store_message": lambda: memory.store_message(message("child"), "talk", user_id="ana"),
        "a view's store_message": lambda: view.store_message(message("child"), "talk"),
        "recall": lambda: memory.recall("word", user_id="ana"),
        "a view's recall": lambda: view.recall("word"),
        "get_context": lambda: memory.get_context("ana", "talk"),
        "retrieve_messages": lambda: memory.retrieve_messages("talk"),
        "clear_history": lambda: memory.clear_history("talk"),
        "create_session": lambda: memory.create_session("ana"),
        "list_users": lambda: memory.list_users(),
        "maintain": lambda: memory.maintain(),
        "health": lambda: memory.health(),
    }


async def use(memory: Any, folder: str) -> tuple[int, list[str]]:
    """How many calls were refused, and which were not, in a child."""
    refused, wrong = 0, []
    calls = entries(memory)
    calls["opening it"] = lambda: VectorMemory(folder, embedder="hash", read_only=True).connect()
    calls["opening another"] = lambda: VectorMemory(f"{folder}-2", embedder="hash").connect()
    for name, call in calls.items():
        try:
            await call()
        except (EngineError, StoreError) as error:
            refused += "fork" in str(error)
            if "fork" not in str(error):
                wrong.append(f"{name}: {error}")
        except Exception as error:
            wrong.append(f"{name}: {error!r}")
        else:
            wrong.append(f"{name} was not refused")
    return refused, wrong


def live(memory: Any, folder: str, dice: random.Random, pipe: int) -> None:
    """A child's life."""
    signal.alarm(_HANGS)
    told = asyncio.new_event_loop().run_until_complete(use(memory, folder))
    if dice.random() < 0.5:
        asyncio.new_event_loop().run_until_complete(memory.close())
    os.write(pipe, json.dumps(told).encode())
    os.close(pipe)
    if dice.random() < 0.5:
        del memory
        gc.collect()
        atexit._run_exitfuncs()
    os._exit(0)


async def main(folder: str, seed: str, forks: str) -> None:
    dice = random.Random(seed)
    acknowledged: list[str] = []
    wrong: list[str] = []
    refused, number, stop = 0, 0, False
    memory = await open_memory(folder, embedder="hash", recall_in_context=False)

    async def write(writer: int) -> None:
        nonlocal number
        while not stop:
            number += 1
            text = f"word{number} of the writer {writer}"
            await memory.store_message(message(text), f"talk-{writer}", user_id="ana")
            acknowledged.append(text)
            await asyncio.sleep(dice.uniform(0, 0.01))

    writers = [asyncio.create_task(write(one)) for one in range(3)]
    for turn in range(int(forks)):
        await asyncio.sleep(dice.uniform(0, 0.1))
        read, pipe = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            live(memory, folder, random.Random(turn), pipe)
        os.close(pipe)
        with os.fdopen(read, "rb") as heard:
            answer = await asyncio.to_thread(heard.read)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        if not answer or status:
            wrong.append(f"child {turn} ended with {status} and said {answer!r}")
            continue
        its_refused, its_wrong = json.loads(answer)
        refused += its_refused
        wrong.extend(its_wrong)
        if dice.random() < 0.1:
            await memory.maintain()
    stop = True
    await asyncio.gather(*writers)
    await memory.close()
    print(json.dumps({"acknowledged": acknowledged, "refused": refused, "wrong": wrong}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
