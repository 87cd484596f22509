"""Many callers at once, without holding the event loop between them."""

from __future__ import annotations

import asyncio
from collections import deque

# Each call that is let through works for some 50 microseconds before it waits for something.
_CALLS_A_TURN = 32


class Throttle:
    """Lets a bounded number of calls through at each turn of the event loop, in their order."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._this_turn = 0
        self._turning = False

    async def wait(self) -> None:
        """Go on at once, or at a later turn of the loop where this one has been busy."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A new loop after another: whoever waited in that one is gone with it.
            self._loop, self._waiting, self._turning, self._this_turn = loop, deque(), False, 0
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if self._this_turn < _CALLS_A_TURN and not self._waiting:
            self._this_turn += 1
            return
        through = loop.create_future()
        self._waiting.append(through)
        await through

    def _turn(self) -> None:
        self._this_turn = 0
        while self._waiting and self._this_turn < _CALLS_A_TURN:
            through = self._waiting.popleft()
            if not through.done():  # its caller was cancelled
                through.set_result(None)
                self._this_turn += 1
        self._turning = self._this_turn > 0
        if self._turning and self._loop is not None:
            self._loop.call_soon(self._turn)
