"""A memory under load from tasks of this process, and whether it was right in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import BackendUnavailable
from tests.durability.support import message, rows_of, turns_of

# Far beyond what a client waits for a server that is away.
NEVER = 60.0

# A command is given up soon, and a process that was killed is noticed soon.
_IMPATIENT = "timeout=0.5&retries=1&heartbeat=1"


def impatient(url: str) -> str:
    """The URL of a Redis, with settings under which nobody waits long for it."""
    return f"{url}{'&' if '?' in url else '?'}{_IMPATIENT}"


class Writers:
    """Tasks that store one message after the other until they are told to stop.

    A message that was refused is stored again, the same one.
    """

    def __init__(self, memory: VectorMemory, conversations: int = 3) -> None:
        self.acknowledged: dict[str, list[str]] = {f"talk-{n}": [] for n in range(conversations)}
        self.refused: list[BackendUnavailable] = []
        self._memory = memory
        self._over = False
        self._tasks = [asyncio.create_task(self._write(place)) for place in self.acknowledged]

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def more(self, count: int = 10) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.count + count
        await until(lambda: self.count >= wanted or any(task.done() for task in self._tasks))

    async def refusals(self, count: int = 1) -> None:
        """Wait until so many more were refused."""
        wanted = len(self.refused) + count
        await until(lambda: len(self.refused) >= wanted or any(t.done() for t in self._tasks))

    async def stop(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _write(self, place: str) -> None:
        number = 0
        while not self._over:
            await self._store(message(f"{place} number {number}"), place)
            number += 1

    async def _store(self, said: Message, place: str) -> None:
        while True:
            try:
                await self._memory.store_message(said, place, user_id="ana")
            except BackendUnavailable as error:
                self.refused.append(error)
                await asyncio.sleep(0.02)
            else:
                self.acknowledged[place].append(said.content)
                return


async def until(see: Callable[[], bool]) -> None:
    end = time.monotonic() + NEVER
    while not see():
        assert time.monotonic() < end, "it does not happen"
        await asyncio.sleep(0.01)


async def right(memory: VectorMemory, writers: Writers) -> None:
    """Each message once, in order, without a number given twice, and in the context."""
    seqs = [row["seq"] for row in await rows_of(memory)]
    assert len(seqs) == len(set(seqs)) == writers.count
    for place, said in writers.acknowledged.items():
        told = await turns_of(memory, place)
        assert [content for _, content in told] == said
        assert len({turn for turn, _ in told}) == len(told)
        context = await memory.get_context("ana", place)
        assert [one.content for one in context.messages] == said[-memory.config.max_messages :]
    # Heartbeat and upkeep have to come by once more.
    await until_true(lambda: _healthy(memory))


async def until_true(see: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so; fail when it never is."""
    end = time.monotonic() + NEVER
    while not await see():
        assert time.monotonic() < end, "it does not happen"
        await asyncio.sleep(0.02)


async def _healthy(memory: VectorMemory) -> bool:
    return bool((await memory.health())["problems"] == {})
