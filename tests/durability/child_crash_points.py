"""A process that changes and clears messages, and kills itself at one point between two steps.

As ``child_writer.py``. "point" in its order is the crossing at which it dies: each step that
changes the store is crossed twice, before and after. It says where it dies, or "done".
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.protocols import Flushes
from tests.durability.child_writer import Load, bear_children, open_load

_STEPS = {
    "rows": ("delete",),
    "sessions": ("apply", "mark_stale", "refill"),
}
# On the way of logged rows to the engine: blocking steps of the log, and the engine's.
_LOG_STEPS = ("append", "remove")


class Crossings:
    """Counts crossings, and kills the process at one of them."""

    def __init__(self, deadly: int) -> None:
        self._left = deadly

    def watch_upsert(self, rows: Any, appends: str, replaces: str | None) -> None:
        """Count the crossings of a row index's upsert, called so where they are told."""
        upsert: Callable[..., Awaitable[None]] = rows.upsert

        async def crossed(table: Any, *, all_new: bool) -> None:
            called = appends if all_new else replaces
            if called is not None:
                self._cross(f"before {called}")
            await upsert(table, all_new=all_new)
            if called is not None:
                self._cross(f"after {called}")

        rows.upsert = crossed

    def watch(self, engine: Any, name: str) -> None:
        """Count the crossings of a method from now on."""
        step: Callable[..., Awaitable[Any]] = getattr(engine, name)

        async def crossed(*arguments: Any, **named: Any) -> Any:
            self._cross(f"before {name}")
            result = await step(*arguments, **named)
            self._cross(f"after {name}")
            return result

        setattr(engine, name, crossed)

    def watch_log(self, rows: Any) -> None:
        """Count the crossings of what happens between the log and LanceDB from now on."""
        logged = capability(rows, WriteAheadLogIndex)
        assert logged is not None
        self.watch_upsert(logged.inner, "land", None)
        log = logged._memtables._log
        for name in _LOG_STEPS:
            self._watch_blocking(log, name)

    def _watch_blocking(self, log: Any, name: str) -> None:
        step: Callable[..., Any] = getattr(log, name)

        def crossed(*arguments: Any) -> Any:
            self._cross(f"before log {name}")
            result = step(*arguments)
            self._cross(f"after log {name}")
            return result

        setattr(log, name, crossed)

    def _cross(self, where: str) -> None:
        self._left -= 1
        if self._left == 0:
            print(where, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


async def prepare(load: Load) -> list[Any]:
    """Messages in two conversations, whose contexts are hot."""
    stay, go, change = (load.message() for _ in range(3))
    await load.put([stay, go, change], "ana", "ana-0", single=False)
    await load.put([load.message()], "ana", "ana-1", single=True)
    for conversation in ("ana-0", "ana-1"):
        await load.memory.get_context("ana", conversation)
    return [go, change]


async def main(order: dict[str, Any]) -> None:
    load = await open_load(order)
    go, change = await prepare(load)
    store = await load.memory._lazy.get()
    crossings = Crossings(order["point"])
    for engine, names in _STEPS.items():
        for name in names:
            crossings.watch(getattr(store, engine), name)
    crossings.watch_upsert(store.rows, "append", "replace")
    crossings.watch_log(store.rows)
    await load.put([load.message(str(go.id))], "ana", "ana-1", single=True)  # a copy there
    await load.memory.get_context("ana", "ana-0")
    await load.put([load.message(str(change.id))], "ana", "ana-0", single=True)
    await load.clear_one("ana", "ana-1", keep=False)
    await load.memory.get_context("ana", "ana-1")  # filled again from the rows
    await load.put([load.message()], "ana", "ana-1", single=True)
    await load.put([load.message()], "ana", "ana-0", single=True)
    flushes = capability(store.rows, Flushes)
    assert flushes is not None
    await flushes.flush()
    await load.put([load.message()], "ana", "ana-1", single=True)
    print("done", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    bear_children(main)
