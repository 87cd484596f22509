"""A throttle for calls: many at once must not hold the event loop, nor one user the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bruno_memory_vec.writing.turns import Lanes

# A call works for some 50 microseconds before it first awaits.
_CALLS_A_TURN = 32


@dataclass(slots=True, eq=False)
class _Call:
    users: tuple[str, ...]
    through: asyncio.Future[None]


class Throttle:
    """Lets a bounded number of calls through in each iteration of the event loop.

    The calls of one user keep their order, and users take turns.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: Lanes[_Call] = Lanes()
        self._this_turn = 0
        self._turning = False

    async def wait(self, user: str) -> None:
        """Return at once, or in a later iteration if this one has let enough calls through.

        Args:
            user: whose call it is, or another name for what keeps its order.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A new event loop: the callers that waited in the earlier one have ended with it.
            self._loop, self._waiting, self._turning, self._this_turn = loop, Lanes(), False, 0
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._this_turn < _CALLS_A_TURN and not len(self._waiting):
            self._this_turn += 1
            return
        through = loop.create_future()
        self._waiting.add(_Call((user,), through))
        await through

    def _turn(self) -> None:
        self._this_turn = 0
        while len(self._waiting) and self._this_turn < _CALLS_A_TURN:
            for call in self._waiting.heads():
                self._waiting.served(call)
                if not call.through.done():  # its caller was cancelled
                    call.through.set_result(None)
                    self._this_turn += 1
                    if self._this_turn >= _CALLS_A_TURN:
                        break
        self._turning = self._this_turn > 0
        if self._turning and self._loop is not None:
            self._loop.call_soon(self._turn)
