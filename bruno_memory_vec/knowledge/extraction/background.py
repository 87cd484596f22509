"""Extraction in the background: after a user's turn was stored, without keeping anybody waiting.

How far a conversation was read is in its note in the session store (``extracted_turns``): the
turns below that number were read. It is noted before the first turn that counts is acknowledged,
and moved on only when what was found is stored. So a process that is killed reads these turns
again, which changes nothing of what is stored already, and misses none. A turn has its number for
good, and a copy of a store has the same ones, which is not so for ``seq``. Where a message is
stored again, it is read again, and what follows it.

A model that is away is asked again later, each time later. Where it answers, but gives nothing
usable for the same turns three times over, the patterns read them in its place: one bad part holds
up no conversation.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.errors import InvalidInputError, LLMFailed, StoreError
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.knowledge.extraction.finding import Found, by_model, by_patterns
from bruno_memory_vec.knowledge.extraction.prompt import TURNS_BEFORE
from bruno_memory_vec.knowledge.extraction.reading import TURNS_AT_ONCE, turns_of
from bruno_memory_vec.knowledge.extraction.storing import store_facts
from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import Enumerates
from bruno_memory_vec.store.notes import change_note
from bruno_memory_vec.writing.background import Background

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bruno_core.interfaces.llm import LLMInterface

    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.knowledge.extraction.candidate import SourceTurn
    from bruno_memory_vec.rows.models import Row
    from bruno_memory_vec.store.store import LazyStore, Store
    from bruno_memory_vec.writing.writer import Writer

_log = get_logger(__name__)

Extracts = Literal["patterns", "llm"]

#: The name of the work, as ``health()`` gives it.
WORK: Final = "extract facts"
#: What is said so often without a usable answer is left to the patterns.
MOST_TRIES: Final = 3
# The patterns are quick, so they wait only for turns that come at once, in seconds.
_SOON: Final = 0.2
# So many turns of a conversation are not kept waiting for its next pause.
_TURNS_WITHOUT_PAUSE: Final = 20
# Seconds until a failure is tried again, the first time and at the most.
_AGAIN, _AGAIN_AT_MOST = 5.0, 600.0
# Conversations of which it is known that their note has begun.
_KNOWN_AT_MOST: Final = 10_000
# Larger than any turn.
_UNKNOWN: Final = 2**63


class _Place(NamedTuple):
    user_id: str
    conversation_id: str


@dataclass(slots=True)
class _Waiting:
    """A conversation with turns that were not read.

    Attributes:
        first: the first turn of them that this process has stored, or None.
        turns: how many this process has stored.
        due: when it is to be read, by the monotonic clock.
        failures: how often reading it has failed in a row.
        tries: how often a model that answers has given nothing for the same turns.
    """

    first: int | None = None
    turns: int = 0
    due: float = 0.0
    failures: int = 0
    tries: int = 0


class BackgroundExtraction:
    """Extracts facts from what is stored in a memory, as its setting ``extract`` says.

    Args:
        lazy: the memory's store.
        llm: its model.

    Raises:
        InvalidInputError: the setting is "llm", and there is no model.
    """

    def __init__(self, lazy: LazyStore, llm: LLMInterface | None) -> None:
        if lazy.config.extract == "llm" and llm is None:
            raise InvalidInputError(
                "extract", "is 'llm', and the memory has no model", fix="Give llm=..., too."
            )
        # A timer here is no reason to keep a memory that nobody has closed.
        self._lazy = weakref.ref(lazy)
        self._llm = llm
        self._background = Background()
        self._waiting: dict[_Place, _Waiting] = {}
        # By conversation, the turn behind the last one of which it is known that it is noted.
        self._noted: dict[_Place, int] = {}
        self._turns = Turns()
        self._running = LoopLock()
        self._resumed = False
        self._timer: tuple[asyncio.TimerHandle | None, asyncio.AbstractEventLoop | None]
        self._timer = None, None
        self._passed_over = 0
        self._problem: str | None = None

    def lock(self, user_id: str) -> LoopLock:
        """Held while facts of this user are compared and stored."""
        return self._turns.of(user_id)

    def active(self, config: MemoryConfig) -> bool:
        """Whether turns are read as they come."""
        return config.extract != "off" and not config.read_only

    # Told of what happens

    def opened(self) -> None:
        """The store was opened: what an earlier process has left is read, too."""
        lazy = self._lazy()
        if lazy is not None and self.active(lazy.config) and not self._resumed:
            self._wake(_SOON)

    async def stored(self, store: Store, rows: Sequence[Row]) -> None:
        """Messages of one conversation were stored. It raises nothing, and reads them later."""
        said = [row for row in rows if row["role"] == "user" and row["turn"] is not None]
        if not said or not self.active(store.config):
            return
        place = _Place(said[0]["user_id"], said[0]["conversation_id"])
        turns = [row["turn"] for row in said]
        if min(turns) < self._noted.get(place, _UNKNOWN):
            try:
                await self._note(store, place, min(turns))
            except BrunoError as error:
                self._failed(error)
        if place in self._noted:
            self._noted[place] = max(self._noted[place], max(turns) + 1)
        waiting = self._waiting.setdefault(place, _Waiting())
        waiting.turns += len(said)
        waiting.first = min(turns) if waiting.first is None else min(waiting.first, *turns)
        pause = _SOON if store.config.extract == "patterns" else store.config.extract_pause
        if not waiting.failures:
            urgent = waiting.turns >= _TURNS_WITHOUT_PAUSE
            waiting.due = time.monotonic() + (_SOON if urgent else pause)
        self._wake(max(_SOON, waiting.due - time.monotonic()))

    async def _note(self, store: Store, place: _Place, first: int) -> None:
        """Note that turns from ``first`` are to be read: new ones, or one that was stored again."""
        note = await store.sessions.note(*place)
        known = None if note is None else note.extracted_turns
        if known is None or known > first:
            await change_note(
                store,
                *place,
                only_if=lambda one: one.extracted_turns is None or one.extracted_turns > first,
                extracted_turns=first,
            )
        if len(self._noted) >= _KNOWN_AT_MOST:
            self._noted.pop(next(iter(self._noted)))
        self._noted[place] = max(first, known or 0)

    def _wake(self, seconds: float) -> None:
        """Go on after some seconds, unless that is to happen sooner."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        timer, its_loop = self._timer
        if timer is not None and its_loop is loop and not timer.cancelled():
            if loop.time() < timer.when() <= at:
                return
            timer.cancel()
        mine = weakref.ref(self)

        def ring() -> None:
            extraction = mine()
            if extraction is not None:
                extraction._background.start(WORK, extraction._run)

        self._timer = loop.call_at(at, ring), loop

    async def wait(self) -> None:
        """Read now what waits, and return when it was read, or has failed."""
        await self._go_on(at_once=True)

    async def forget_user(self, user_id: str) -> None:
        """Read nothing more of a user who is forgotten, once what is being read has ended."""
        async with self._running:
            theirs = [place for place in (*self._waiting, *self._noted) if place.user_id == user_id]
            for place in theirs:
                self._waiting.pop(place, None)
                self._noted.pop(place, None)

    async def close(self) -> None:
        """Stop. What was not read is read when the memory is opened again."""
        self._background.refuse()
        if self._timer[0] is not None:
            self._timer[0].cancel()
        for task in self._background.under_way:
            task.cancel()
            await asyncio.wait({task})

    # What health() shows

    @property
    def problems(self) -> dict[str, str]:
        """Why turns are not read, by the name of the work. Empty is healthy."""
        problems = dict(self._background.problems)
        if self._problem is not None:
            problems[WORK] = self._problem
        return problems

    def health(self, config: MemoryConfig) -> dict[str, Any]:
        """Figures for ``health()``."""
        return {
            "extract": config.extract,
            "waiting": len(self._waiting),
            "passed_over": self._passed_over,
        }

    def _failed(self, error: Exception) -> None:
        if self._problem is None:
            _log.warning("extraction_failed", error=str(error))
        self._problem = str(error)

    # The work

    async def _run(self) -> None:
        await self._go_on(at_once=False)

    async def _go_on(self, *, at_once: bool) -> None:
        lazy = self._lazy()
        if lazy is None or not self.active(lazy.config):
            return
        async with self._running:
            writer, store = await lazy.writer(), await lazy.get()
            if not self._resumed:
                await self._find_left(store)
                self._resumed = True
            answered, failed = await self._read_due(store, writer, at_once=at_once)
        if failed is not None:
            self._failed(failed)
        elif answered:
            self._problem = None
        if self._waiting:
            left = min(waiting.due for waiting in self._waiting.values()) - time.monotonic()
            self._wake(max(left, _SOON))

    async def _find_left(self, store: Store) -> None:
        """The conversations that an earlier process has not read to their end."""
        if not isinstance(store.sessions, Enumerates):
            return  # they are read when something is stored in them again
        ends: dict[_Place, int] = {}
        async for conversation_id, user_id, next_turn in store.sessions.conversations():
            ends[_Place(user_id, conversation_id)] = next_turn
        for user_id in {place.user_id for place in ends}:
            for note in await store.sessions.notes(user_id):
                place = _Place(user_id, note.conversation_id)
                if note.extracted_turns is not None and note.extracted_turns < ends.get(place, 0):
                    self._waiting.setdefault(place, _Waiting())

    async def _read_due(
        self, store: Store, writer: Writer, *, at_once: bool
    ) -> tuple[bool, Exception | None]:
        """Read the conversations that are due; whether one was read, and why one was not."""
        answered, failed = False, None
        begun: set[_Place] = set()
        while due := self._due(begun, at_once=at_once):
            for place in due:
                begun.add(place)
                waiting = self._waiting.pop(place)
                try:
                    await self._read(store, writer, place, waiting, answered=answered)
                except StoreError:
                    raise  # the memory was closed, or its folder is gone
                except BrunoError as error:
                    failed = error
                    self._later(place, waiting)
                else:
                    answered = True
        return answered, failed

    def _due(self, begun: Iterable[_Place], *, at_once: bool) -> list[_Place]:
        now = time.monotonic()
        return [
            place
            for place, waiting in self._waiting.items()
            if place not in begun and (at_once or waiting.due <= now)
        ]

    def _later(self, place: _Place, waiting: _Waiting) -> None:
        waiting.failures += 1
        pause = min(_AGAIN * 2 ** (waiting.failures - 1), _AGAIN_AT_MOST)
        waiting.due = time.monotonic() + pause
        more = self._waiting.get(place)
        waiting.turns = 0 if more is None else more.turns
        if more is not None and more.first is not None:
            first = more.first if waiting.first is None else min(waiting.first, more.first)
            waiting.first = first
        self._waiting[place] = waiting

    async def _read(
        self,
        store: Store,
        writer: Writer,
        place: _Place,
        waiting: _Waiting,
        *,
        answered: bool,
    ) -> None:
        """Read the new turns of a conversation to their end.

        Raises:
            LLMFailed: the model gave nothing for some of them; those before them were read.
        """
        note = await store.sessions.note(*place)
        known = await store.sessions.conversation(place.conversation_id)
        if known is None or known.user_id != place.user_id:
            return
        first = None if note is None else note.extracted_turns
        if first is None:
            # The conversation was cleared, and its note with it. It may have gone on.
            self._noted.pop(place, None)
            first = waiting.first
            if first is None or not await turns_of(store, *place, first, known.next_turn):
                return
            await self._note(store, place, first)
        before = max(0, first - TURNS_BEFORE)
        while first < known.next_turn:
            end = min(first + TURNS_AT_ONCE, known.next_turn)
            turns = await turns_of(store, *place, before, end)
            earlier = [turn for turn in turns if turn.turn < first]
            found = await self._found(store, turns[len(earlier) :], earlier)
            failure = None
            if found.failed:
                failure = found.failed[0][1]
                # A model that answers nothing to anybody is away: that says nothing of these turns.
                away = failure.reason in ("error", "timeout") and not (answered or found.candidates)
                waiting.tries += 0 if away else 1
                if waiting.tries >= MOST_TRIES:
                    left = [turn for part, _ in found.failed for turn in part]
                    instead = await by_patterns(left)
                    found.candidates.extend(instead.candidates)
                    self._passed_over += sum(turn.role == "user" for turn in left)
                    waiting.tries, failure = 0, None
            if found.candidates:
                async with self.lock(place.user_id):
                    await store_facts(store, writer, place.user_id, found.candidates)
            reached = end if failure is None else found.failed[0][0][0].turn
            if not await self._move_on(store, place, first, reached):
                return  # a turn before was stored again meanwhile, and is waited for
            if failure is not None:
                raise failure
            first, before = end, max(0, end - TURNS_BEFORE)

    async def _move_on(self, store: Store, place: _Place, first: int, reached: int) -> bool:
        """Note how far a conversation was read, unless it is to be read from before that again."""
        note = await change_note(
            store, *place, only_if=lambda one: one.extracted_turns == first, extracted_turns=reached
        )
        return note.extracted_turns == reached

    async def _found(
        self, store: Store, turns: Sequence[SourceTurn], before: Sequence[SourceTurn]
    ) -> Found:
        if store.config.extract == "llm" and self._llm is not None:
            return await by_model(self._llm, turns, store.config.extract_timeout, before)
        return await by_patterns(turns)


def reason_of(failure: LLMFailed) -> str:
    """A failure in one line, for a report."""
    return f"{failure.reason}: {failure}"
