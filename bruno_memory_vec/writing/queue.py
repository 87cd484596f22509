"""Many callers at once: how many are let through, and what waits to be written."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter

from bruno_memory_vec.rows.models import Row

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


# More rows than this in one commit make later callers wait long; one call may still exceed it.
_BATCH_ROWS = 4096
# So many turns of the event loop after which nobody comes any more.
_QUIET_TURNS = 3
#: How many rows may wait or be in work. Eight commits' worth: more would only take memory.
QUEUE_ROWS = 8 * _BATCH_ROWS
#: How many characters of content, for where rows are few and long.
QUEUE_CHARACTERS = 64 * 2**20


@dataclass(slots=True, eq=False)
class Request:
    """The rows of one call, and the future that its caller waits for."""

    rows: list[Row]
    done: asyncio.Future[None]
    characters: int = field(init=False)

    def __post_init__(self) -> None:
        self.characters = sum(map(len, map(itemgetter("content"), self.rows)))


class WriteQueue:
    """Requests in the order in which their callers came.

    A request counts from :meth:`put` to :meth:`finished`. Where it would not fit, its caller
    waits in :meth:`put`, and everyone who comes later behind it. A request that is larger than
    the queue enters when it is empty.
    """

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._waiting: deque[tuple[Request, asyncio.Future[None]]] = deque()
        self.rows = 0
        self._characters = 0

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def waiting(self) -> int:
        """How many callers wait for room."""
        return len(self._waiting)

    async def put(self, request: Request) -> None:
        """Queue a request, when there is room for it.

        A caller that is cancelled before that has queued nothing.
        """
        if not self._waiting and self._fits(request):
            self._enter(request)
            return
        gate = asyncio.get_running_loop().create_future()
        self._waiting.append((request, gate))
        try:
            await gate
        except asyncio.CancelledError:
            if gate.done() and not gate.cancelled():
                # It was let in at the same moment; nobody waits for its end any more.
                request.done.cancel()
                raise
            self._waiting = deque(pair for pair in self._waiting if pair[1] is not gate)
            self._let_in()
            raise

    async def gather(self) -> None:
        """Let callers in who are on their way: a commit costs the same for one row as for some.

        Who was answered just now, and stores in a loop, is back some turns later.
        """
        came, quiet = 1, 0
        while quiet < _QUIET_TURNS and len(self) > 1:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self) <= came or self.rows >= _BATCH_ROWS else 0
            came = len(self)

    def take(self) -> list[Request]:
        """The requests of the next commit: at least one, and as many as one commit should hold.

        What nobody waits for any more is left out, unless that is all there is.
        """
        while len(self._requests) > 1 and self._requests[0].done.cancelled():
            self._drop()
        taken = [self._requests.popleft()]
        rows = len(taken[0].rows)
        while self._requests and rows + len(self._requests[0].rows) <= _BATCH_ROWS:
            taken.append(self._requests.popleft())
            rows += len(taken[-1].rows)
        return taken

    def _drop(self) -> None:
        self.finished([self._requests.popleft()])

    def finished(self, requests: list[Request]) -> None:
        """Requests that were taken are through, however they ended."""
        for request in requests:
            self.rows -= len(request.rows)
            self._characters -= request.characters
        self._let_in()

    def give_up(self) -> list[Request]:
        """Empty the queue; returns what waited in it."""
        left = [*self._requests, *(request for request, _ in self._waiting)]
        for _, gate in self._waiting:
            if not gate.done() and not gate.get_loop().is_closed():
                gate.set_result(None)
        self._waiting.clear()
        self._requests.clear()
        self.rows = self._characters = 0
        return left

    def _fits(self, request: Request) -> bool:
        return self.rows == 0 or (
            self.rows + len(request.rows) <= QUEUE_ROWS
            and self._characters + request.characters <= QUEUE_CHARACTERS
        )

    def _enter(self, request: Request) -> None:
        self._requests.append(request)
        self.rows += len(request.rows)
        self._characters += request.characters

    def _let_in(self) -> None:
        while self._waiting:
            request, gate = self._waiting[0]
            if gate.done() or gate.get_loop().is_closed():
                self._waiting.popleft()
            elif self._fits(request):
                self._waiting.popleft()
                # Entered here and not when its caller wakes, so that nobody is overtaken and a
                # writer that is about to stop still sees it.
                self._enter(request)
                gate.set_result(None)
            else:
                return
