"""What a session store has lost, and how it comes back: the rows have it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter

# Seconds in which a conversation that the rows do not have is not looked for again: a commit asks
# for the owner first and for the turn next.
_ABSENT_FOR = 0.1
_MOST_ABSENT = 10_000


class SessionsLost(BackendUnavailable):
    """The session store has lost data, or may have. Nothing of the call was done.

    It is made anew from the rows by ``SessionsProjection.catch_up``; then the call may be repeated.
    """


class FromRows:
    """What the rows say of a conversation that a session store does not know."""

    def __init__(self) -> None:
        #: The rows; None where there are none to ask, so that what is not known has not begun.
        self.rows: RowIndex | None = None
        self._absent: OrderedDict[str, float] = OrderedDict()

    async def place(self, conversation_id: str) -> tuple[str, int] | None:
        """Its owner and its next turn; None for one without a row.

        Raises:
            EngineError: the rows cannot be read.
        """
        if self.rows is None or self._absent.get(conversation_id, 0.0) > time.monotonic():
            return None
        found = await self.rows.read(
            EVERYONE.within(conversation_id),
            RowFilter(),
            ["user_id", "turn"],
            order_by="turn",
            limit=1,
        )
        if not found.num_rows:
            self._absent.pop(conversation_id, None)
            self._absent[conversation_id] = time.monotonic() + _ABSENT_FOR
            if len(self._absent) > _MOST_ABSENT:
                self._absent.popitem(last=False)
            return None
        ((user, turn),) = ((row["user_id"], row["turn"]) for row in found.to_pylist())
        # A row without a turn is a memory: its conversation has no message yet.
        return user, 0 if turn is None else turn + 1

    def forget_absent(self, conversations: Iterable[str] | None = None) -> None:
        """Look for these conversations again, for all if none is named."""
        if conversations is None:
            self._absent.clear()
        else:
            for conversation in conversations:
                self._absent.pop(conversation, None)

    async def current(self, user_id: str) -> str | None:
        """The conversation of the user's newest message."""
        assert self.rows is not None
        found = await self.rows.read(
            EVERYONE.user(user_id),
            RowFilter(kinds=("message",)),
            ["conversation_id"],
            order_by="seq",
            limit=1,
        )
        return found.column(0).to_pylist()[0] if found.num_rows else None
