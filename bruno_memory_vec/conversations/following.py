"""Following a conversation: its new messages, whichever process stores them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from bruno_core.models.message import Message

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
from bruno_memory_vec.rows.models import Row, from_table, message_from_json, to_message
from bruno_memory_vec.sessions.arrivals import Arrival
from bruno_memory_vec.store.store import Store

# Rows that are read at once where some were missed, at first.
_ROWS_A_LOOK = 100
# Turns that are remembered as shown, besides those in order.
_REMEMBERED = 10_000


class Follower:
    """What one follower of a conversation was shown, and what is next.

    Messages are shown in the order in which they are stored, each once. One that is missing on the
    way, because it came too fast or Redis had lost it, is read from the rows.

    Args:
        store: the open store.
        scope: whose messages are shown.
        conversation_id: where.
    """

    def __init__(self, store: Store, scope: Scope, conversation_id: str) -> None:
        self._store = store
        self._scope = scope.within(conversation_id)
        self._conversation_id = conversation_id
        # Messages of an earlier turn were stored before, or were under way when this began.
        self._began = self._next = 0
        self._shown: set[int] = set()
        self._looked = -1

    async def messages(self) -> AsyncGenerator[Message, None]:
        """The messages that are stored from now on; it ends when the memory is closed."""
        async with self._store.listen(self._conversation_id) as queue:
            self._began = self._next = self._looked = await self._next_turn()
            while (arrivals := await queue.take()) is not None:
                if not arrivals:
                    for message in await self._missed(await self._changed_since()):
                        yield message
                for arrival in arrivals:
                    for message in await self._of(arrival):
                        yield message

    async def _next_turn(self) -> int:
        known = await self._store.sessions.conversation(self._conversation_id)
        return 0 if known is None else known.next_turn

    async def _changed_since(self) -> int:
        """The next turn, if it is another one than at the last look."""
        now = await self._next_turn()
        changed, self._looked = now != self._looked, now
        return now if changed else self._next

    async def _of(self, arrival: Arrival) -> list[Message]:
        """What is to be shown now that this has arrived."""
        old = arrival.turn < self._began and arrival.kind != "new"
        if old or arrival.turn in self._shown:
            return []
        found = await self._missed(arrival.turn)
        self._show(arrival.turn)
        if self._scope.user_id in (None, arrival.user_id):
            found.append(message_from_json(arrival.payload))
        return found

    async def _missed(self, until: int) -> list[Message]:
        """Messages before this turn that were not told of. Some may still be under way."""
        if until <= self._next:
            return []
        limit, rows = _ROWS_A_LOOK, list[Row]()
        while True:
            found = await self._store.rows.read(
                self._scope, RowFilter(kinds=(MESSAGE,)), COLUMNS, order_by="turn", limit=limit
            )
            rows = list(from_table(found))
            if len(rows) < limit or min(row["turn"] for row in rows) < self._next:
                break
            limit *= 4
        fresh = [row for row in rows if self._next <= row["turn"] < until]
        fresh = [row for row in fresh if row["turn"] not in self._shown]
        fresh.sort(key=lambda row: row["turn"])
        for row in fresh:
            self._show(row["turn"])
        self._next = max(self._next, until)
        return [to_message(row) for row in fresh]

    def _show(self, turn: int) -> None:
        self._shown.add(turn)
        self._next = max(self._next, turn + 1)
        if len(self._shown) > 2 * _REMEMBERED:
            self._shown = set(sorted(self._shown)[-_REMEMBERED:])
