"""The lease of a store that one process writes alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from bruno_memory_vec.sessions.protocol import FindsNames, SessionStore
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.place import Place
from bruno_memory_vec.writing.lease import Wanted
from bruno_memory_vec.writing.visits import check_visit, refuse_after_fork

_REMEMBERED_TURNS = 10_000


class LocalLease:
    """The lease of the only process that writes: counters in memory, a lock on the folder.

    Args:
        sessions: gives the next turns that are not in memory.
        lock: the lock that keeps other processes out; None for a store in memory.
        place: where the store's files are; None for a store in memory.
    """

    exclusive = True

    def __init__(
        self,
        sessions: SessionStore,
        lock: WriterLock | None = None,
        place: Place | None = None,
    ) -> None:
        self._sessions = sessions
        self._finds = sessions if isinstance(sessions, FindsNames) else None
        self._next_seq = 0
        self._lock = lock
        self._place = place
        self._turns: dict[str, int] = {}
        self._check: Callable[[], None] | None = None
        self._release: Callable[[], None] | None = None
        self._process = os.getpid()

    def alone(
        self,
        check: Callable[[], None] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """As of ``RunsAlone``."""
        self._check, self._release = check, release

    def check(self) -> None:
        """As of ``WriterLease``."""
        if self._check is not None:
            self._check()
        elif self._place is not None:
            self._place.check()
        else:
            refuse_after_fork(self._process)
            check_visit()

    async def next_seqs(self, count: int) -> int:
        """As of ``WriterLease``."""
        first, self._next_seq = self._next_seq, self._next_seq + count
        return first

    async def next_turns(
        self, wanted: Mapping[str, Wanted], begun: Collection[str] = ()
    ) -> dict[str, int]:
        """As of ``WriterLease``; turns that are not in memory are read."""
        names = [conversation for conversation, (_, new) in wanted.items() if new]
        unknown = [name for name in names if name not in self._turns and name not in begun]
        read = await self._read_turns(unknown) if unknown else {}
        return {name: self._turns.get(name, read.get(name, 0)) for name in names}

    async def _read_turns(self, conversations: Sequence[str]) -> dict[str, int]:
        """The next turn of each conversation, in one read where the sessions can do that."""
        if self._finds is not None:
            named = await self._finds.named(conversations)
            found = {name: one.conversation for name, one in named.items()}
        else:
            found = {name: await self._sessions.conversation(name) for name in conversations}
        states = ((name, found.get(name)) for name in conversations)
        return {name: 0 if state is None else state.next_turn for name, state in states}

    def record_turns(self, next_turns: Mapping[str, int]) -> None:
        """As of ``WriterLease``. The most recently written conversations stay in memory."""
        for conversation, turn in next_turns.items():
            # The most recently written conversations come last.
            self._turns.pop(conversation, None)
            self._turns[conversation] = turn
        while len(self._turns) > _REMEMBERED_TURNS:
            del self._turns[next(iter(self._turns))]

    def forget_turns(self) -> None:
        """As of ``WriterLease``."""
        self._turns.clear()

    def start_after(self, seq: int) -> None:
        """As of ``WriterLease``."""
        self._next_seq = seq + 1

    def release(self) -> None:
        """As of ``WriterLease``."""
        if self._lock is not None:
            self._lock.release()
        if self._place is not None:
            self._place.close()
        if self._release is not None:
            self._release()
