"""New messages as they come, for those who follow a conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from bruno_memory_vec.rows.models import message_to_json
from bruno_memory_vec.sessions.protocol import HotTurn

# Of a follower who is slower than that, the rows are asked for what was left out.
_MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message that was stored.

    Attributes:
        turn: its position in the conversation.
        user_id: whose it is.
        payload: the message (``rows.models.message_to_json``).
        kind: "new"; "again" if it has replaced itself; "refill" if it was read from the rows.
    """

    turn: int
    user_id: str
    payload: str
    kind: Literal["new", "again", "refill"]


class Queue:
    """What has arrived in one conversation and was not taken yet, for one follower."""

    def __init__(self) -> None:
        self._waiting: deque[Arrival] = deque(maxlen=_MOST_WAITING)
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, arrivals: Iterable[Arrival]) -> None:
        """Something has arrived. Where too much waits, the oldest is left out."""
        self._waiting.extend(arrivals)
        self._changed.set()

    def look(self) -> None:
        """Something may have arrived that nobody has told of."""
        self._changed.set()

    def close(self) -> None:
        """Nothing arrives any more."""
        self._closed = True
        self._changed.set()

    async def take(self) -> list[Arrival] | None:
        """Wait for what has arrived; empty to look into the rows, None at the end."""
        await self._changed.wait()
        self._changed.clear()
        found = list(self._waiting)
        self._waiting.clear()
        if not found and self._closed:
            return None
        if self._closed:
            self._changed.set()
        return found


class Announcer:
    """Tells the followers in this process what it stores."""

    def __init__(self) -> None:
        self._queues: dict[str, set[Queue]] = {}
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many follow a conversation."""
        return sum(map(len, self._queues.values()))

    def announce(self, turns: Iterable[HotTurn]) -> None:
        """Tell of messages that were stored just now."""
        if not self._queues:
            return
        for turn in turns:
            for queue in self._queues.get(turn.conversation_id, ()):
                kind: Literal["new", "again"] = "again" if turn.again else "new"
                payload = message_to_json(turn.row)
                queue.put([Arrival(turn.turn, turn.user_id, payload, kind)])

    @asynccontextmanager
    async def listen(self, conversation_id: str) -> AsyncIterator[Queue]:
        """What arrives from now on."""
        queue = Queue()
        if self._closed:
            queue.close()
        self._queues.setdefault(conversation_id, set()).add(queue)
        try:
            yield queue
        finally:
            queues = self._queues[conversation_id]
            queues.discard(queue)
            if not queues:
                del self._queues[conversation_id]

    def close(self) -> None:
        """Nothing is told any more."""
        self._closed = True
        for queues in self._queues.values():
            for queue in queues:
                queue.close()
