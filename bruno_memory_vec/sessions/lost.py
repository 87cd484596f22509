"""What a session store has lost, and how it comes back: the rows have it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import EVERYONE, On, RowFilter

# Seconds in which a conversation that the rows do not have is not looked for again: a commit asks
# for the owner first and for the turn next.
_ABSENT_FOR = 0.1
_MOST_ABSENT = 10_000
_PLACES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Within(RowFilter):
    """Rows of some conversations."""

    conversations: Annotated[tuple[str, ...], On("conversation_id", "in")] = ()


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

    async def places(self, conversations: Collection[str]) -> dict[str, tuple[str, int] | None]:
        """As :meth:`place`, of several; one look if none of them has a row, as of new ones.

        Raises:
            EngineError: the rows cannot be read.
        """
        now = time.monotonic()
        unknown = [one for one in conversations if self._absent.get(one, 0.0) <= now]
        if self.rows is not None and len(unknown) > 1:
            within = _Within(conversations=tuple(unknown))
            if not (await self.rows.read(EVERYONE, within, ["seq"], limit=1)).num_rows:
                for one in unknown:
                    self._is_absent(one)
        return {
            name: place
            for start in range(0, len(conversations), _PLACES_AT_ONCE)
            for name, place in await self._each(list(conversations)[start:][:_PLACES_AT_ONCE])
        }

    async def _each(self, conversations: Sequence[str]) -> list[tuple[str, tuple[str, int] | None]]:
        found = await asyncio.gather(*map(self.place, conversations))
        return list(zip(conversations, found, strict=True))

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
            self._is_absent(conversation_id)
            return None
        ((user, turn),) = ((row["user_id"], row["turn"]) for row in found.to_pylist())
        # A row without a turn is a memory: its conversation has no message yet.
        return user, 0 if turn is None else turn + 1

    def _is_absent(self, conversation_id: str) -> None:
        self._absent.pop(conversation_id, None)
        self._absent[conversation_id] = time.monotonic() + _ABSENT_FOR
        if len(self._absent) > _MOST_ABSENT:
            self._absent.popitem(last=False)

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
