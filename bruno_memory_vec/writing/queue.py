"""Limits for many concurrent callers: a throttle for calls, and the queue of writes."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter

from bruno_memory_vec.rows.models import Row

# A call works for some 50 microseconds before it first awaits.
_CALLS_A_TURN = 32


class Throttle:
    """Lets a bounded number of calls through in each iteration of the event loop, in order."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._this_turn = 0
        self._turning = False

    async def wait(self) -> None:
        """Return at once, or in a later iteration if this one has let enough calls through."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A new event loop: the callers that waited in the earlier one have ended with it.
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
# The queue stops gathering after so many iterations of the event loop without a new request.
_QUIET_TURNS = 3
#: How many rows may be queued or in a commit: eight commits' worth. More would only take memory.
QUEUE_ROWS = 8 * _BATCH_ROWS
#: The same limit in characters of content, for few rows of long texts.
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

    A request counts against the limits from :meth:`put` to :meth:`finished`. If it does not fit,
    its caller waits in :meth:`put`, and later callers wait behind it. A request that is larger
    than the limits enters when the queue is empty.
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
        """Queue a request as soon as there is room for it.

        If the caller is cancelled before that, nothing is queued.
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
                # The request was queued at the same moment. Its caller does not wait any more.
                request.done.cancel()
                raise
            self._waiting = deque(pair for pair in self._waiting if pair[1] is not gate)
            self._let_in()
            raise

    async def gather(self) -> None:
        """Wait a few iterations for more requests: one commit of several rows costs as much as one.

        A caller that stores in a loop sends its next request some iterations after its answer.
        """
        came, quiet = 1, 0
        while quiet < _QUIET_TURNS and len(self) > 1:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self) <= came or self.rows >= _BATCH_ROWS else 0
            came = len(self)

    def take(self) -> list[Request]:
        """The requests of the next commit: at least one, and as many as one commit should hold.

        Cancelled requests at the head of the queue are dropped, except the last one.
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
        """Note that requests that were taken have ended, successfully or not."""
        for request in requests:
            self.rows -= len(request.rows)
            self._characters -= request.characters
        self._let_in()

    def give_up(self) -> list[Request]:
        """Empty the queue; returns its requests and those that waited for room."""
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
                # Queued here and not when its caller wakes, so that no later request overtakes it
                # and a writer that is about to stop still sees it.
                self._enter(request)
                gate.set_result(None)
            else:
                return
