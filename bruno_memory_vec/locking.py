"""One writing process a folder, held by a lock whose holder an error can name."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import filelock

from bruno_memory_vec.errors import StoreLockedError
from bruno_memory_vec.manifest import HOLDER, LOCK, unwritable


class WriterLock:
    """Holds a folder's lock until :meth:`release`, or until the process ends, however it ends.

    Raises:
        StoreLockedError: another writer holds it; the message names its process.
        BackendUnavailable: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._holder = folder / HOLDER
        # Released from whichever thread closes the memory.
        self._lock = filelock.FileLock(folder / LOCK, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except filelock.Timeout as error:
            raise StoreLockedError(
                f"{folder} is being written by {self._describe_holder()}",
                fix="Close that one, or open with read_only=True to read beside it.",
                cause=error,
            ) from error
        except OSError as error:
            raise unwritable(folder, error) from error
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

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            # The holder has the lock but has not written its name yet, or just removed it.
            return "another process"

    def release(self) -> None:
        """Give the folder free. Releasing twice does nothing."""
        if self._lock.is_locked:
            with suppress(OSError):  # the name is a courtesy; the lock is what counts
                self._holder.unlink(missing_ok=True)
            self._lock.release()
