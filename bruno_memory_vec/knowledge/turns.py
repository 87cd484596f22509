"""Changes that are read, made and written again take turns, by user."""

from __future__ import annotations

import weakref

from bruno_memory_vec.indexers.aio import LoopLock


class Turns:
    """A lock for each user. Who holds :attr:`.Writer.exclusive`, too, takes that first."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[str, LoopLock] = weakref.WeakValueDictionary()

    def of(self, user_id: str) -> LoopLock:
        """The lock of a user. It is the same one as long as somebody holds or awaits it."""
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = LoopLock()
        return lock
