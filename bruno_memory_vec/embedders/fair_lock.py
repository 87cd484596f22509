"""A lock that is given in the order in which it was asked for."""

from __future__ import annotations

from collections import deque
from threading import Condition


class FairLock:
    """For threads, with ``with``.

    `threading.Lock` may go to the thread that has just released it, again and again. Another
    thread would then wait until a long series of short uses is over.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._row: deque[object] = deque()  # waiting threads; the first one holds the lock

    def __enter__(self) -> None:
        me = object()
        with self._changed:
            self._row.append(me)
            try:
                self._changed.wait_for(lambda: self._row[0] is me)
            except BaseException:  # an interrupted thread must leave the queue
                self._row.remove(me)
                self._changed.notify_all()
                raise

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._row.popleft()
            self._changed.notify_all()
