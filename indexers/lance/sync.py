"""fsync for LanceDB's local commits, which make none themselves.

LanceDB writes the files of a commit, then the manifest that names them, and
returns. A killed process loses none of it; a power cut may. :class:`Sync` is
called after a commit and before its acknowledgement.

What that promises: a write that was acknowledged survives a power cut.

What it cannot promise: the order in which LanceDB's own files reach the disk
before it is called. A power cut between a commit and the end of its sync may
leave a newest manifest that is torn, or that names files which are. None of
that was acknowledged, and the version before it is whole; until the newest one
is put aside the table cannot be opened (``recovery``).

For the same reason no old version may be removed before the one that replaces
it was synced: its files may be the only durable ones.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from ..errors import BackendUnavailable

# LanceDB reads neither at opening if it is torn or gone. Transactions reconcile a commit with
# others that are under way, and after a power cut there are none; the hint only saves a listing.
_NOT_NEEDED = {"_transactions", "latest_version_hint.json"}
_VERSIONS = "_versions"
_WINDOWS = os.name == "nt"
# Windows syncs only what it may write.
_FLAGS = os.O_RDWR if _WINDOWS else os.O_RDONLY


class Sync:
    """Makes a table's files durable. Thread-safe; its calls block.

    It finds new files by listing the table's folders, which takes about 2 µs an
    entry: compaction and its clean-up keep them to hundreds.

    Args:
        table: the table's folder (``.../rows.lance``), which exists.
    """

    def __init__(self, table: Path) -> None:
        self._table = table.absolute()
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._failure: OSError | None = None
        # An append may be committed while a compaction is.
        self._lock = threading.Lock()

    def check(self) -> None:
        """Refuse to go on after a failed sync. Call it before a commit.

        Raises:
            BackendUnavailable: an earlier sync failed. The system may have dropped what it could
                not write, and another fsync would say that all is well.
        """
        if self._failure is not None:
            raise _not_durable(self._table, self._failure) from self._failure

    def commit(self) -> None:
        """Return when all that the table holds now is durable, with the names that lead to it.

        Raises:
            BackendUnavailable: a file cannot be opened or synced.
        """
        with self._lock:
            self.check()
            files, folders = self._present()
            try:
                self._sync(files, folders)
            except OSError as error:
                raise _not_durable(self._table, error) from error
            # What was removed meanwhile is forgotten with it.
            self._files, self._folders = files, folders

    def _present(self) -> tuple[set[str], set[str]]:
        files: set[str] = set()
        folders = {str(self._table)}
        waiting = [str(self._table)]
        while waiting:
            # Clean-up may remove a folder under the listing.
            with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name in _NOT_NEEDED or _unfinished(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.path)
                        waiting.append(entry.path)
                    else:
                        files.add(entry.path)
        return files, folders

    def _sync(self, files: set[str], folders: set[str]) -> None:
        new_files, new_folders = files - self._files, folders - self._folders
        # Manifests last, so that what they name is durable before them where that is up to us.
        for path in sorted(new_files, key=lambda path: (_in_versions(path), path)):
            self._fsync(path)
        if _WINDOWS:
            return
        changed = {os.path.dirname(path) for path in new_files | new_folders}
        if not self._folders:
            # The first time, the names of all folders above it too: they may be new as well.
            changed |= {str(folder) for folder in self._table.parents}
        # From the bottom up: a name is of use where the folder that bears it has one.
        for folder in sorted(changed, key=len, reverse=True):
            self._fsync(folder)

    def _fsync(self, path: str) -> None:
        try:
            handle = os.open(path, _FLAGS)
        except FileNotFoundError:
            return  # cleaned up since it was listed
        except PermissionError:
            if Path(path) in self._table.parents:
                return  # a folder that this process may not read, it did not make
            raise
        try:
            os.fsync(handle)
        except OSError as error:
            self._failure = error
            raise
        finally:
            os.close(handle)


def _unfinished(name: str) -> bool:
    """Whether it is a file that LanceDB has yet to give its name."""
    return name.startswith(".tmp") or "#" in name


def _in_versions(path: str) -> bool:
    return os.path.basename(os.path.dirname(path)) == _VERSIONS


def _not_durable(table: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        "lancedb",
        "make rows durable",
        str(error),
        fix=f"Check the disk of {table}, then close the memory and open it again: what was not "
        "acknowledged may be there or not.",
        cause=error,
    )
