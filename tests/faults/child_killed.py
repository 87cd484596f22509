"""A process that is killed between the commit of its rows and Redis' turn.

Its argument is JSON: ``url``, ``paths`` (for Python's), ``sessions``, ``place``, ``user``,
``texts``, ``first`` (texts that are stored and acknowledged before). With ``before`` it is killed
before its rows are committed, when their numbers have been reserved.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.writing.projections.sessions import SessionsProjection


async def _killed(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _kill_at(memory: VectorMemory, *, before: bool) -> None:
    if before:
        store = await memory._lazy.get()
        store.writer._rows.upsert = _killed  # type: ignore[method-assign]
    else:
        SessionsProjection.apply = _killed  # type: ignore[method-assign]


async def main() -> None:
    order = json.loads(sys.argv[1])
    sys.path[:0] = order["paths"]
    async with open_memory(order["url"], sessions=order["sessions"], embedder="hash") as memory:
        for texts in (order["first"], order["texts"]):
            if texts is order["texts"]:
                await _kill_at(memory, before=order.get("before", False))
            if texts:
                said = [Message(role=MessageRole.USER, content=text) for text in texts]
                await memory.store_messages(said, order["place"], user_id=order["user"])
    print("not killed", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
