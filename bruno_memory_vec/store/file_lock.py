"""The lock of a file, between processes and within one.

The lock belongs to an open file, not to a Python object: it is held until it is released, or until
the process ends, and no garbage collection frees it. A process that forks keeps it; the child
closes its copy of the file, which frees nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from bruno_memory_vec.indexers.private import FILE, NO_LINK

# The open lock files of this process, by device and number. No fork comes between opening a file
# and noting it here.
_held: dict[tuple[int, int], int] = {}
_opening = threading.Lock()


class FileLock:
    """Holds the lock of one file until :meth:`release`, or until the process ends in any way.

    Made by :meth:`taken`.
    """

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = identity
        self._process = os.getpid()

    @classmethod
    def taken(cls, path: Path) -> FileLock | None:
        """The lock of a file, which is made where it is missing; None where it is held.

        Raises:
            OSError: it cannot be opened.
        """
        identity = _take(path)
        return None if identity is None else cls(path, identity)

    @property
    def is_held(self) -> bool:
        """Whether this process holds it by this object; a copy that a fork has made does not."""
        return self._identity is not None and os.getpid() == self._process

    @property
    def is_in_place(self) -> bool:
        """Whether its file still stands at its path."""
        return self._identity is not None and _identity(self._path) == self._identity

    def release(self) -> None:
        """Release it. Releasing twice does nothing, nor does a copy that a fork has made."""
        held, identity, self._identity = self.is_held, self._identity, None
        if not held or identity is None:
            return
        with _opening:
            handle = _held.pop(identity, None)
            if handle is not None:
                _unlock(handle)
                os.close(handle)


def is_held_here(path: Path) -> bool:
    """Whether this process holds the lock of a file."""
    return _identity(path) in _held


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _take(path: Path) -> tuple[int, int] | None:
    """Lock the file, made if it is missing; returns its device and number, None if it is held.

    Raises:
        OSError: it cannot be opened, or not be locked.
    """
    while True:
        with _opening:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, FILE)
            status = os.fstat(handle)
            identity = status.st_dev, status.st_ino
            try:
                taken = identity not in _held and _try_lock(handle)
            except BaseException:
                os.close(handle)
                raise
            # Another process may have removed the file after it was opened here.
            if taken and _identity(path) == identity:
                _held[identity] = handle
                return identity
            os.close(handle)
            if not taken:
                return None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)

    def _after_fork_in_child() -> None:
        while _held:
            os.close(_held.popitem()[1])
        _opening.release()

    os.register_at_fork(
        before=_opening.acquire,
        after_in_parent=_opening.release,
        after_in_child=_after_fork_in_child,
    )
