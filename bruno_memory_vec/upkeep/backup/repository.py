"""The place of a backup: pieces that never change, each named by its hash, and a head.

The head lists the points. Writing it is the one step by which a point comes to be, or goes; so
whatever kills a backup or a pruning, the points of the last head are whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    StoreLockedError,
    problem_and_fix,
)
from bruno_memory_vec.store.file_lock import FileLock

#: The kinds of pieces; a name is a kind, a slash and the SHA-256 of the piece.
CHUNKS, LISTS, PEOPLE, POINTS = "chunks", "lists", "people", "points"
KINDS = (CHUNKS, LISTS, PEOPLE, POINTS)


class Repository(Protocol):
    """Where a backup lies. Methods block, and raise ``BackendUnavailable`` for what the system
    refuses."""

    @property
    def path(self) -> str:
        """Where, for people."""
        ...

    @property
    def sweeps(self) -> bool:
        """Whether :meth:`keep_only` costs little, so that each backup may call it."""
        ...

    @property
    def keys(self) -> Path | None:
        """A folder for the keys of an encrypted store; None where none can be replaced."""
        ...

    def head(self) -> bytes | None:
        """The head as it was written; None where there is none.

        Raises:
            EngineError: it is damaged.
        """
        ...

    def write_head(self, data: bytes) -> None:
        """Replace the head, once everything that was written before is on the disk."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is a piece of this name."""
        ...

    def write(self, kind: str, data: bytes) -> str:
        """Write a piece, unless it is there, and return its name."""
        ...

    def read(self, name: str) -> bytes:
        """A piece, as it was written.

        Raises:
            EngineError: it is missing, or not as it was written.
        """
        ...

    def names(self) -> list[str]:
        """The name of each piece that is there, in no particular order."""
        ...

    def keep_only(self, names: Collection[str]) -> None:
        """Remove every other piece, and what killed backups have left."""
        ...

    def damage(self) -> list[str]:
        """What is wrong with the place itself, in words; pieces are checked by reading them."""
        ...

    def size(self) -> int:
        """How much room it takes."""
        ...

    def close(self) -> None:
        """Give it back to others. Closing twice does nothing."""
        ...


def name_of(kind: str, data: bytes) -> str:
    """The name of a piece."""
    return f"{kind}/{hashlib.sha256(data).hexdigest()}"


def checked(name: str, data: bytes, path: str) -> bytes:
    """A piece that is as it was written.

    Raises:
        EngineError: it is not.
    """
    if name_of(name.partition("/")[0], data) != name:
        raise damaged(f"{name} in {path} is not as it was written")
    return data


def locked(path: Path) -> FileLock:
    """The lock of a file, which is made where it is missing.

    Raises:
        StoreLockedError: somebody else holds it.
        OSError: it cannot be opened.
    """
    lock = FileLock.taken(path)
    if lock is None:
        raise StoreLockedError(
            f"{path} is in use by another process, or by another call of this one",
            fix="Wait until that has ended.",
        )
    return lock


def damaged(problem: str, cause: Exception | None = None) -> EngineError:
    """The error for what cannot be read back."""
    return EngineError(
        "backup",
        "read",
        problem,
        fix="See which points are whole: bruno-memory-vec backup --verify. Restore one of those, "
        "or put the file back from another copy of the backup.",
        cause=cause,
    )


def plainly(error: Exception) -> str:
    """What an error says, without what engine it names and what to do about it."""
    return problem_and_fix(error)[0].removeprefix("backup failed to read: ")


def missing(name: str, path: str) -> EngineError:
    """The error for a piece that is not there."""
    return damaged(f"{name} is missing in {path}")


def unusable(path: Path | str, operation: str, error: OSError) -> BackendUnavailable:
    """The error for what the system refuses."""
    return BackendUnavailable(
        "backup",
        operation,
        f"{path}: {error.strerror or error}",
        fix="Check the free space and permissions there, or name another place.",
        cause=error,
    )
