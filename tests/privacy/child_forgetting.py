"""Forgets a user in a store, and is killed at a point that is named: FOLDER USER POINT ...

It imports everything once, and bears a child for each folder and point.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bruno_memory_vec import open_memory
from bruno_memory_vec.privacy.erasure import forgetting, keeping
from bruno_memory_vec.writing.writer import Writer


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str) -> None:
    """Let a function be the last thing that happens."""
    inner: Callable[..., Any] = getattr(owner, name)

    async def last(*args: Any, **kwargs: Any) -> Any:
        await inner(*args, **kwargs)
        die()

    setattr(owner, name, last)


POINTS: dict[str, Callable[[], None]] = {
    "the note is written": lambda: after(keeping, "note"),
    "the rows are gone": lambda: setattr(forgetting, "_forget_in_sessions", die),
    "the sessions are gone": lambda: after(Writer, "forget_user"),
    "the words are gone": lambda: after(Writer, "settle"),
    "the files are erased": lambda: after(Writer, "erase"),
    "it was looked for": lambda: after(forgetting, "remains"),
    "the receipt is kept": lambda: after(keeping, "keep_receipt"),
}


async def forget(folder: str, user: str) -> None:
    async with open_memory(folder, embedder="hash") as memory:
        await memory.forget_user(user)


def main() -> None:
    user, *orders = sys.argv[1:]
    for folder, point in zip(orders[::2], orders[1::2], strict=True):
        child = os.fork()
        if not child:
            POINTS[point]()
            asyncio.run(forget(folder, user))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"it was not killed: {point}"


if __name__ == "__main__":
    main()
