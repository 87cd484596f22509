"""From what somebody names to the place of a backup."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bruno_memory_vec.errors import InvalidInputError, NotAStoreError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.upkeep.backup.folder import HEAD, FolderRepository
from bruno_memory_vec.upkeep.backup.repository import KINDS, Repository
from bruno_memory_vec.upkeep.backup.single_file import FileRepository

#: By what a new backup is known to be one file.
SUFFIX = ".backup"


@asynccontextmanager
async def repository(
    field: str, target: str | Path, *, write: bool = False
) -> AsyncIterator[Repository]:
    """A backup, open until the end of the block.

    Args:
        field: what an error calls ``target``.
        target: a folder, or a file; what is not there is a file if its name ends with
            ``.backup``, else a folder.
        write: whether it is to be written; it is made then, where there is none.

    Raises:
        InvalidInputError: ``target`` is no path, or something else.
        NotAStoreError: there is no backup to read.
        StoreLockedError: somebody else writes to it.
        EngineError: it cannot be read or written.
    """
    path = path_of(field, target)
    taken: list[Repository] = []

    def take() -> None:
        taken.append(_opened(field, path, write))

    try:
        await to_its_end(asyncio.to_thread(take))
        yield taken[0]
    finally:
        for one in taken:
            await to_its_end(asyncio.to_thread(one.close))


def path_of(field: str, target: str | Path) -> Path:
    """The path of a backup, absolute.

    Raises:
        InvalidInputError: it is none.
    """
    if not isinstance(target, (str, os.PathLike)) or not str(target).strip():
        raise InvalidInputError(field, "is no path", fix="Name a folder or a file.")
    if "://" in str(target):
        raise InvalidInputError(
            field,
            f"{masked(str(target))} is no path",
            fix="Name a folder or a file; put that on another machine with the means you have.",
        )
    path = Path(target).expanduser().absolute()
    try:
        path.stat()
    except ValueError as error:
        raise InvalidInputError(
            field, "has characters that no path has", fix="Name a folder or a file."
        ) from error
    except OSError as error:
        # Others are of what is not there, which may be made, or may not be read, which is told.
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise InvalidInputError(
                field, f"is no path: {error.strerror}", fix="Name a folder or a file."
            ) from error
    return path


def _opened(field: str, path: Path, write: bool) -> Repository:
    if path.is_dir() or (write and not path.exists() and path.suffix != SUFFIX):
        if not write and not _is_backup(path):
            raise _none(path)
        return FolderRepository(path, write=write)
    if not path.exists() and not write:
        raise _none(path)
    if path.exists() and not path.is_file():
        raise InvalidInputError(field, f"{path} is no file", fix="Name another place.")
    return FileRepository(path, write=write)


def _is_backup(folder: Path) -> bool:
    return (folder / HEAD).exists() or all((folder / kind).is_dir() for kind in KINDS)


def _none(path: Path) -> NotAStoreError:
    return NotAStoreError(
        f"there is no backup in {path}", fix=f"Make one: bruno-memory-vec backup {path}"
    )
