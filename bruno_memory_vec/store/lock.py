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

import filelock

from bruno_memory_vec.errors import StoreLockedError
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
        self._holder = folder / HOLDER
        # Not thread-local: any thread may close the memory.
        self._lock = filelock.FileLock(folder / LOCK, timeout=0, thread_local=False)
        self._acquire(folder)
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        try:
            self._holder.write_text(json.dumps(me), encoding="utf-8")
        except OSError as error:
            self._lock.release()
            raise unwritable(folder, error) from error

    def _acquire(self, folder: Path) -> None:
        """Take the lock. If another process holds it, wait shortly until it has signed."""
        until = time.monotonic() + _SIGNED_WITHIN
        while True:
            try:
                self._lock.acquire()
                return
            except filelock.Timeout as error:
                holder = self._holder_on_file()
                signed = holder is not None and not _ended(holder)
                if signed or time.monotonic() > until:
                    raise StoreLockedError(
                        f"{folder} is being written by {_described(holder)}",
                        fix="Close that one, or open with read_only=True to read beside it.",
                        cause=error,
                    ) from error
            except OSError as error:
                raise unwritable(folder, error) from error
            time.sleep(_BETWEEN_LOOKS)

    def _holder_on_file(self) -> dict[str, Any] | None:
        """The holder that has signed; None where there is none yet."""
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return {name: holder[name] for name in ("pid", "host", "since")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def release(self) -> None:
        """Release the lock. Releasing twice does nothing."""
        if self._lock.is_locked:
            with suppress(OSError):  # the name only serves error messages
                self._holder.unlink(missing_ok=True)
            self._lock.release()


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
