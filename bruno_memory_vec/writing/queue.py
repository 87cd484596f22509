"""The queue of writes: users take turns, so that nobody waits for all that another one stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa

from bruno_memory_vec.acts import Act, current_act
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.observability.observer import Watch
from bruno_memory_vec.observability.stages import Stage
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.writing.commit import Batch
from bruno_memory_vec.writing.turns import Lanes

# More rows or characters than this in one commit make later callers wait long; one call may still
# exceed it.
_BATCH_ROWS = 4096
_BATCH_CHARACTERS = 4 * 2**20
# A request of more rows or characters than this is large: it is prepared before its commit.
_LARGE_ROWS = 512
_LARGE_CHARACTERS = 2**19
# The queue stops gathering after so many iterations of the event loop without a new request.
_QUIET_TURNS = 3
#: How many rows may be queued or in a commit: eight commits' worth. More would only take memory.
#: Large requests have a bound of their own of the same size, so that small ones do not wait behind.
QUEUE_ROWS = 8 * _BATCH_ROWS
#: The same limit in characters of text, for few rows of long texts.
QUEUE_CHARACTERS = 64 * 2**20

_TEXTS = ("content", "metadata", "extra")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a large request brings along to its commit.

    Attributes:
        batch: its rows looked over; which of them may be stored is asked again in the commit.
        table: the rows of the batch with their vectors, still without what the commit gives them.
        embedder: made the vectors; after a re-embedding the store has another one.
    """

    batch: Batch
    table: pa.Table
    embedder: Embedder


@dataclass(slots=True, eq=False)
class Request:
    """The rows of one call, and the future that its caller waits for.

    Attributes:
        rows: the rows, still without ``seq`` and ``turn``.
        done: what the caller waits for.
        unnamed: the default user, where nothing named anybody: if the conversation, which all rows
            are of, has an owner at their commit, they are the owner's. Else None.
        unchanged: the ``seq`` of rows that must still be stored at their commit.
        claim: which conversations they are in, each with its user.
        users: whose rows they are, or would be; the request waits in the lane of each.
        characters: how long its texts are.
        large: it is prepared before its commit, which waits until :attr:`prepared` is there.
        prepared: of a large one, what takes long.
        number: how many were queued before it.
        act: the call that it is part of; None in the background.
        asked_at: where somebody observes, when it was queued, by ``time.perf_counter_ns``; else 0.
        ahead: there, what was done for it before its commit.
    """

    rows: list[Row]
    done: asyncio.Future[None]
    unnamed: str | None = None
    unchanged: frozenset[int] = frozenset()
    claim: frozenset[tuple[str | None, str]] = field(init=False)
    users: tuple[str, ...] = field(init=False)
    characters: int = field(init=False)
    large: bool = field(init=False)
    prepared: Prepared | None = None
    number: int = -1
    act: Act | None = field(default_factory=current_act)
    asked_at: int = 0
    ahead: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        claim = {(row.get("conversation_id"), row.get("user_id", "")): None for row in self.rows}
        self.claim = frozenset(claim)
        self.users = tuple(dict.fromkeys(user for _, user in claim))
        self.characters = sum(len(row.get(name) or "") for row in self.rows for name in _TEXTS)
        self.large = len(self.rows) > _LARGE_ROWS or self.characters > _LARGE_CHARACTERS

    @property
    def watch(self) -> Watch | None:
        """What observes the call that it is part of."""
        return None if self.act is None else self.act.outermost.watch

    @property
    def ready(self) -> bool:
        """Whether it may be committed."""
        return self.prepared is not None or not self.large


@dataclass(slots=True)
class _Room:
    """What is queued or in a commit, of large requests or of small ones; how many wait for it."""

    rows: int = 0
    characters: int = 0
    waiting: int = 0

    def fits(self, request: Request) -> bool:
        return self.rows == 0 or (
            self.rows + len(request.rows) <= QUEUE_ROWS
            and self.characters + request.characters <= QUEUE_CHARACTERS
        )

    def count(self, request: Request, sign: int = 1) -> None:
        self.rows += sign * len(request.rows)
        self.characters += sign * request.characters


class WriteQueue:
    """Requests by user: each user's in the order of the calls, and users take turns.

    A request counts against the limits from :meth:`put` to :meth:`finished`. If it does not fit,
    its caller waits in :meth:`put`, and later callers of the same user wait behind it. A request
    that is larger than the limits enters when there is no other of its kind, large or small.
    """

    def __init__(self) -> None:
        self._requests: Lanes[Request] = Lanes()
        self._waiting: Lanes[Request] = Lanes()
        # The large ones of these that are not prepared.
        self._bare: Lanes[Request] = Lanes()
        self._gates: dict[Request, asyncio.Future[None]] = {}
        self._room = {False: _Room(), True: _Room()}
        # What the last commit was, and whether a large request was ready and did not get its turn.
        self._large_last = self._passed_by = False
        self._entered = count()
        self._news: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def rows(self) -> int:
        """How many rows are queued or in a commit."""
        return sum(room.rows for room in self._room.values())

    @property
    def waiting(self) -> int:
        """How many callers wait for room."""
        return len(self._waiting)

    async def put(self, request: Request) -> None:
        """Queue a request as soon as there is room for it.

        If the caller is cancelled before that, nothing is queued.
        """
        room = self._room[request.large]
        if not room.waiting and not self._waiting.any_of(request.users) and room.fits(request):
            self._enter(request)
            return
        gate = asyncio.get_running_loop().create_future()
        self._gates[request] = gate
        self._waiting.add(request)
        room.waiting += 1
        try:
            await gate
        except asyncio.CancelledError:
            if gate.done() and not gate.cancelled():
                # The request was queued at the same moment. Its caller does not wait any more.
                request.done.cancel()
                raise
            if self._gates.pop(request, None) is not None:
                self._waiting.remove(request)
                room.waiting -= 1
            self._let_in()
            raise

    async def gather(self) -> None:
        """Wait a few iterations for more requests: one commit of several rows costs as much as one.

        A caller that stores in a loop sends its next request some iterations after its answer.
        """
        came, quiet = 1, 0
        while quiet < _QUIET_TURNS and len(self) > 1:
            await asyncio.sleep(0)
            enough = len(self) <= came or self._room[False].rows >= _BATCH_ROWS
            quiet = quiet + 1 if enough else 0
            came = len(self)

    async def changed(self) -> None:
        """Wait until a request comes, or a large one is ready or dropped."""
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def take(self) -> list[Request]:
        """The requests of the next commit; none where only large ones are there, and none is ready.

        Users take turns, and so do small requests and large ones: a commit has one large request or
        some small ones.
        Requests whose callers were cancelled are dropped.
        """
        oldest: dict[bool, int] = {}
        for request in self._requests.heads():
            if request.ready and not request.done.cancelled():
                number = min(request.number, oldest.get(request.large, request.number))
                oldest[request.large] = number
        if True not in oldest:
            large = False
        elif False not in oldest:
            large = True
        else:
            # The oldest goes first. But after a large commit small requests have their turn, and
            # after a small one a large request that was ready before it.
            before = self._passed_by or oldest[True] < oldest[False]
            large = before and not self._large_last
        taken = self._batch(large)
        if taken:
            self._large_last, self._passed_by = large, not large and True in oldest
        return taken

    def _batch(self, large: bool) -> list[Request]:
        taken: list[Request] = []
        rows = characters = 0
        lanes: Iterable[str] | None = None
        while True:
            served = []
            for request in self._requests.heads(lanes):
                if request.done.cancelled():
                    self.drop(request)
                elif request.large != large or not request.ready:
                    continue
                else:
                    rows, characters = rows + len(request.rows), characters + request.characters
                    if taken and (rows > _BATCH_ROWS or characters > _BATCH_CHARACTERS):
                        return taken
                    self._requests.served(request)
                    taken.append(request)
                    if large:
                        return taken
                served.append(request.users[0])
            if not served:
                return taken
            lanes = served

    def to_prepare(self) -> list[Request]:
        """The large requests to prepare now: the first one of each user."""
        return list(self._bare.heads())

    def prepared(self, request: Request, what: Prepared) -> None:
        """A large request is ready for its commit."""
        request.prepared = what
        self._bare.remove(request)
        self.tell()

    def drop(self, request: Request) -> None:
        """Take a request out that is not committed: it failed, or its caller was cancelled."""
        self._requests.remove(request)
        if not request.ready:
            self._bare.remove(request)
        self.finished([request])
        self.tell()

    def finished(self, requests: list[Request]) -> None:
        """Note that requests that were taken have ended, successfully or not."""
        for request in requests:
            self._room[request.large].count(request, -1)
        self._let_in()

    def give_up(self) -> list[Request]:
        """Empty the queue; returns its requests and those that waited for room."""
        left = [*self._requests, *self._waiting]
        for gate in self._gates.values():
            if not gate.done() and not gate.get_loop().is_closed():
                gate.set_result(None)
        self._gates.clear()
        self._waiting, self._requests, self._bare = Lanes(), Lanes(), Lanes()
        self._room = {False: _Room(), True: _Room()}
        return left

    def _enter(self, request: Request) -> None:
        request.number = next(self._entered)
        self._requests.add(request)
        if not request.ready:
            self._bare.add(request)
        self._room[request.large].count(request)
        self.tell()

    def tell(self) -> None:
        """Let :meth:`changed` return."""
        news, self._news = self._news, None
        if news is not None and not news.done() and not news.get_loop().is_closed():
            news.set_result(None)

    def _let_in(self) -> None:
        # Who does not fit is waited for, or many small ones would overtake it for ever.
        full: set[bool] = set()
        lanes: Iterable[str] | None = None
        while len(self._waiting) and len(full) < len(self._room):
            served = []
            for request in self._waiting.heads(lanes):
                gate, room = self._gates[request], self._room[request.large]
                gone = gate.done() or gate.get_loop().is_closed()
                if not gone and (request.large in full or not room.fits(request)):
                    full.add(request.large)
                    continue
                del self._gates[request]
                self._waiting.served(request)
                room.waiting -= 1
                served.append(request.users[0])
                if not gone:
                    # Queued here and not when its caller wakes, so that no later request of its
                    # user overtakes it and a writer that is about to stop still sees it.
                    self._enter(request)
                    gate.set_result(None)
            if not served:
                return
            lanes = served
