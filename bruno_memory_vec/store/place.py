"""Whether a store that is open in a folder may still be used: here, now, and in that folder.

The engines find most of their files by path. If the folder was moved, deleted or replaced
meanwhile, they would write into a new folder, or into another store.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path

from bruno_memory_vec.errors import BackendUnavailable, StoreClosedError, StoreMovedError
from bruno_memory_vec.writing.visits import check_visit, refuse_after_fork


class Place:
    """The files and folders that make up an open store, each known by its device and number.

    A folder is kept open, so that no other one gets its number once it is deleted. A file has to
    be kept open by its user (SQLite's own locks do not bear a second opening in one process).

    Args:
        folder: the store's, for error messages.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = os.getpid()
        self._closed = False
        self._known: dict[str, tuple[int, int]] = {}
        self._handles: dict[str, int] = {}
        #: Called where something has moved; may raise an error that says more.
        self.explain: Callable[[], None] = lambda: None
        weakref.finalize(self, _close, self._handles).atexit = False

    def keep(self, path: Path) -> None:
        """From now on expect this file or folder here.

        Raises:
            StoreMovedError: it is not here.
            BackendUnavailable: the folder may not be read.
        """
        name = os.fspath(path)
        self.forget(path)
        try:
            if os.name == "posix" and path.is_dir():
                self._handles[name] = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
            status = os.stat(name)
        except PermissionError as error:
            raise self._closed_to_us(error) from error
        except OSError as error:
            raise self._moved(name, error) from error
        # A new dict, as another thread may be looking at the one before.
        self._known = {**self._known, name: (status.st_dev, status.st_ino)}

    def forget(self, path: Path) -> None:
        """Expect it no longer."""
        name = os.fspath(path)
        self._known = {known: at for known, at in self._known.items() if known != name}
        handle = self._handles.pop(name, None)
        if handle is not None:
            os.close(handle)

    def check(self) -> None:
        """Return if this is the same process and all are where they were.

        It takes a microsecond or two for each file. Any thread may call it.

        Raises:
            StoreMovedError: a file or folder was moved, deleted or replaced.
            BackendUnavailable: the folder may not be read, so nobody knows.
            StoreClosedError: the store was closed.
            StoreError: this is another process, or work that an earlier event loop left halfway.
        """
        if self._closed:
            raise StoreClosedError("the memory is closed", fix="Open it again.")
        refuse_after_fork(self._process)
        check_visit()
        for name, identity in self._known.items():
            try:
                status = os.stat(name)
            except PermissionError as error:
                raise self._closed_to_us(error) from error
            except OSError as error:
                self.explain()
                raise self._moved(name, error) from error
            if (status.st_dev, status.st_ino) != identity:
                self.explain()
                raise self._moved(name)

    def close(self) -> None:
        """Refuse every use from now on."""
        self._closed = True
        _close(self._handles)

    def _closed_to_us(self, error: PermissionError) -> BackendUnavailable:
        return BackendUnavailable(
            "folder",
            "read",
            str(error),
            fix=f"Check that {self._folder} and what is in it may be read and written.",
            cause=error,
        )

    def _moved(self, name: str, error: OSError | None = None) -> StoreMovedError:
        there = "is another one now" if error is None else f"cannot be found ({error.strerror})"
        return StoreMovedError(
            f"the store in {self._folder} was moved, deleted or replaced while it was open: "
            f"{name} {there}",
            fix="Move it back, or open the memory again.",
            cause=error,
        )


def _close(handles: dict[str, int]) -> None:
    while handles:
        os.close(handles.popitem()[1])
