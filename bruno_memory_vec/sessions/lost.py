"""What a session store has lost, and how it comes back: the rows have it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

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


class _Together(NamedTuple):
    """Conversations that are looked for in the rows together."""

    names: set[str]
    look: asyncio.Future[None]


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
        self._together: _Together | None = None

    async def places(self, conversations: Collection[str]) -> dict[str, tuple[str, int] | None]:
        """As :meth:`place`, of several.

        Raises:
            EngineError: the rows cannot be read.
        """
        names = [name for name in conversations if not self._known_absent(name)]
        if names:
            await self._look_together(names)
        found: dict[str, tuple[str, int] | None] = {}
        for start in range(0, len(conversations), _PLACES_AT_ONCE):
            part = list(conversations)[start : start + _PLACES_AT_ONCE]
            found.update(zip(part, await asyncio.gather(*map(self.place, part)), strict=True))
        return found

    def _known_absent(self, conversation_id: str) -> bool:
        return self.rows is None or self._absent.get(conversation_id, 0.0) > time.monotonic()

    async def _look_together(self, conversations: Iterable[str]) -> None:
        """Note those that have no row, with one look for all that are asked for at this moment.

        Where one of several has a row, nothing is noted, and each is looked for by itself.
        """
        together = self._together
        if together is None or together.look.get_loop() is not asyncio.get_running_loop():
            names: set[str] = set()
            look = asyncio.ensure_future(self._look(names))
            # Whoever waits for it is told of a failure.
            look.add_done_callback(lambda done: done.cancelled() or done.exception())
            together = self._together = _Together(names, look)
        together.names.update(conversations)
        await asyncio.shield(together.look)

    async def _look(self, names: set[str]) -> None:
        await asyncio.sleep(0)  # those who ask at the same time come along
        self._together = None
        if len(names) == 1:
            return
        assert self.rows is not None
        within = _Within(conversations=tuple(names))
        if not (await self.rows.read(EVERYONE, within, ["seq"], limit=1)).num_rows:
            for name in names:
                self._is_absent(name)

    async def place(self, conversation_id: str) -> tuple[str, int] | None:
        """Its owner and its next turn; None for one without a row.

        Raises:
            EngineError: the rows cannot be read.
        """
        if self._known_absent(conversation_id):
            return None
        await self._look_together([conversation_id])
        if self._known_absent(conversation_id):
            return None
        assert self.rows is not None
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
