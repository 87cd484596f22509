"""The lock of a folder's writer; errors can name the process that holds it.

The lock belongs to an open file, not to a Python object: it is held until it is released, or until
the process ends, and no garbage collection frees it. A process that forks keeps it; the child
closes its copy of the file, which frees nothing.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bruno_memory_vec.errors import StoreLockedError
from bruno_memory_vec.indexers.private import FILE, NO_LINK
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.manifest import HOLDER, LOCK, unwritable

# Seconds to wait until a new holder has written its name, which it does after taking the lock.
_SIGNED_WITHIN = 1.0
_BETWEEN_LOOKS = 0.01

# The open lock files of this process, by device and number. No fork comes between opening a file
# and noting it here.
_held: dict[tuple[int, int], int] = {}
_opening = threading.Lock()


class WriterLock:
    """Holds a folder's lock until :meth:`release`, or until the process ends in any way.

    Raises:
        StoreLockedError: another writer holds it; the message names its process.
        BackendUnavailable: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._holder = folder / HOLDER
        self._process = os.getpid()
        self._identity: tuple[int, int] | None = self._acquire(folder)
        #: Who has held it before and was killed, as it had signed; None where nobody was.
        self.before = self._holder_on_file()
        #: This holder's signature.
        self.holder: dict[str, Any] = {
            "pid": self._process,
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        try:
            replace_file(self._holder, json.dumps(self.holder).encode(), sync=False)
        except OSError as error:
            self.release()
            raise unwritable(folder, error) from error

    def _acquire(self, folder: Path) -> tuple[int, int]:
        """Take the lock. If another process holds it, wait shortly until it has signed."""
        until = time.monotonic() + _SIGNED_WITHIN
        while True:
            try:
                identity = _take(self.path)
            except OSError as error:
                raise unwritable(folder, error) from error
            if identity is not None:
                return identity
            holder = self._holder_on_file()
            signed = holder is not None and not _ended(holder)
            if signed or time.monotonic() > until:
                raise _locked(folder, holder)
            time.sleep(_BETWEEN_LOOKS)

    def _holder_on_file(self) -> dict[str, Any] | None:
        """The holder that has signed; None where there is none yet."""
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return {name: holder[name] for name in ("pid", "host", "since")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def release(self) -> None:
        """Release the lock. Releasing twice does nothing, nor does a copy that a fork has made."""
        identity, self._identity = self._identity, None
        if identity is None or os.getpid() != self._process:
            return
        if _identity(self.path) == identity:  # else another store may stand there now
            with suppress(OSError):  # the name only serves error messages
                self._holder.unlink(missing_ok=True)
        with _opening:
            handle = _held.pop(identity, None)
            if handle is not None:
                _unlock(handle)
                os.close(handle)


class FileLock:
    """Holds the lock of one file, as :class:`WriterLock` of a folder. Made by :meth:`taken`."""

    def __init__(self, identity: tuple[int, int]) -> None:
        self._identity: tuple[int, int] | None = identity
        self._process = os.getpid()

    @classmethod
    def taken(cls, path: Path) -> FileLock | None:
        """The lock of a file, which is made where it is missing; None where it is held.

        Raises:
            OSError: it cannot be opened.
        """
        identity = _take(path)
        return None if identity is None else cls(identity)

    def release(self) -> None:
        """Release it. Releasing twice does nothing, nor does a copy that a fork has made."""
        identity, self._identity = self._identity, None
        if identity is None or os.getpid() != self._process:
            return
        with _opening:
            handle = _held.pop(identity, None)
            if handle is not None:
                _unlock(handle)
                os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a writer holds a folder's lock.

    Raises:
        OSError: the lock cannot be tried.
    """
    path = folder / LOCK
    if not path.exists():
        return False
    identity = _take(path)
    if identity is not None:
        with _opening:
            os.close(_held.pop(identity))
    return identity is None


def is_held_here(folder: Path) -> bool:
    """Whether a memory of this process holds a folder's lock."""
    return _identity(folder / LOCK) in _held


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


def _locked(folder: Path, holder: dict[str, Any] | None) -> StoreLockedError:
    if is_held_here(folder):
        return StoreLockedError(
            f"{folder} is open for writing in this process already ({_described(holder)})",
            fix="Use that memory, or close it first; or open with read_only=True to read beside "
            "it.",
        )
    return StoreLockedError(
        f"{folder} is being written by {_described(holder)}",
        fix="Close that one, or open with read_only=True to read beside it.",
    )


def _described(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _ended(holder: dict[str, Any]) -> bool:
    """Whether the process that signed does not run any more: it was killed without releasing."""
    if os.name != "posix" or holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, TypeError, OverflowError):
        return False  # another user's process, or no valid process number
    return False
