"""A conversation's stream in Redis as it grows, whichever process writes to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.arrivals import Arrival, Queue
from bruno_memory_vec.sessions.redis.access import Access, flat
from bruno_memory_vec.sessions.redis.connection import command

_log = get_logger(__name__)

# How long Redis holds a question, in milliseconds; then it is asked whether something was missed.
_HOLD = 5_000
_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Followers:
    """Those of this process who follow a conversation. Each has a connection of its own.

    Args:
        access: the store in Redis.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: dict[Queue, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    @asynccontextmanager
    async def listen(self, conversation_id: str) -> AsyncIterator[Queue]:
        """What arrives in a conversation from now on."""
        stream = self._access.keys.conversation(conversation_id, "hot")
        newest = await self._access.connections.run(
            "follow a conversation", command("XREVRANGE", stream, "+", "-", "COUNT", 1)
        )
        after = newest[0][0].decode() if newest else "0-0"
        queue = Queue()
        reading = asyncio.create_task(self._read(stream, after, queue), name="bruno-memory-follow")
        self._open[queue] = reading
        try:
            yield queue
        finally:
            self._open.pop(queue, None)
            await _ended(reading)

    async def close(self) -> None:
        """Let all of them come to their end."""
        for queue, reading in list(self._open.items()):
            queue.close()
            if reading.get_loop() is asyncio.get_running_loop():
                await _ended(reading)

    async def _read(self, stream: str, after: str, queue: Queue) -> None:
        client, pause = self._access.connections.apart(_HOLD / 1000), _PAUSE
        try:
            while True:
                try:
                    words = ("XREAD", "COUNT", 100, "BLOCK", _HOLD, "STREAMS", stream, after)
                    answer = await client.execute_command(*words)
                except Exception as error:  # whatever a connection may raise; it is made again
                    _log.warning("follows_again", error=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    # What came meanwhile may be gone from the stream.
                    queue.look()
                    continue
                pause = _PAUSE
                entries = _entries(answer)
                if not entries:
                    queue.look()
                    continue
                after = entries[-1][0].decode()
                queue.put(_arrival(flat(fields)) for _, fields in entries)
        finally:
            with contextlib.suppress(Exception):  # it is given up in any case
                await client.aclose()


async def _ended(task: asyncio.Task[None]) -> None:
    # Again until it has ended: a client that is connecting may swallow a cancellation.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PAUSE)


def _entries(answer: Any) -> Sequence[tuple[bytes, Any]]:
    """The entries in the answer to XREAD, as id and fields."""
    if not answer:
        return []
    by_stream = answer.values() if isinstance(answer, dict) else [part[1] for part in answer]
    (entries,) = by_stream
    # The client gives a dict of streams a list of lists.
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple):
        (entries,) = entries
    return [(name, _words(fields)) for name, fields in entries]


def _words(fields: Any) -> list[bytes]:
    if isinstance(fields, dict):
        return [word for pair in fields.items() for word in pair]
    return list(fields)


def _arrival(of: dict[str, str]) -> Arrival:
    kind = cast("Literal['new', 'again', 'refill']", of["kind"])
    return Arrival(int(of["turn"]), of["user"], of["message"], kind)
