"""The lock of a folder's writer; errors can name the process that holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bruno_memory_vec.errors import StoreLockedError
from bruno_memory_vec.store import file_lock
from bruno_memory_vec.store.file_lock import FileLock
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.manifest import HOLDER, LOCK, unwritable

# Seconds to wait until a new holder has written its name, which it does after taking the lock.
_SIGNED_WITHIN = 1.0
_BETWEEN_LOOKS = 0.01


class WriterLock:
    """Holds a folder's lock until :meth:`release`, or until the process ends in any way.

    Raises:
        StoreLockedError: another writer holds it; the message names its process.
        BackendUnavailable: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._holder = folder / HOLDER
        self._lock = self._acquire(folder)
        #: Who has held it before and was killed, as it had signed; None where nobody was.
        self.before = self._holder_on_file()
        #: This holder's signature.
        self.holder: dict[str, Any] = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        try:
            replace_file(self._holder, json.dumps(self.holder).encode(), sync=False)
        except OSError as error:
            self.release()
            raise unwritable(folder, error) from error

    def _acquire(self, folder: Path) -> FileLock:
        """Take the lock. If another process holds it, wait shortly until it has signed."""
        until = time.monotonic() + _SIGNED_WITHIN
        while True:
            try:
                lock = FileLock.taken(self.path)
            except OSError as error:
                raise unwritable(folder, error) from error
            if lock is not None:
                return lock
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
        # Where its file has gone, another store may stand there now.
        if self._lock.is_held and self._lock.is_in_place:
            with suppress(OSError):  # the name only serves error messages
                self._holder.unlink(missing_ok=True)
        self._lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a writer holds a folder's lock.

    Raises:
        OSError: the lock cannot be tried.
    """
    path = folder / LOCK
    if not path.exists():
        return False
    lock = FileLock.taken(path)
    if lock is not None:
        lock.release()
    return lock is None


def is_held_here(folder: Path) -> bool:
    """Whether a memory of this process holds a folder's lock."""
    return file_lock.is_held_here(folder / LOCK)


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
