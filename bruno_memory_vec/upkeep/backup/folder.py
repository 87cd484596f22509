"""A backup in a folder: each piece is a file, the head is ``backup.json``."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.private import NO_LINK, make_private_folder
from bruno_memory_vec.store.file_lock import FileLock
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.keys.keyring import IN_A_BACKUP
from bruno_memory_vec.store.manifest import FILE as STORE_FILE
from bruno_memory_vec.upkeep.backup.repository import (
    KINDS,
    checked,
    locked,
    missing,
    name_of,
    unusable,
)

#: The file with the head.
HEAD = "backup.json"
_LOCK = "backup.lock"
_FRESH = ".new"
_BINARY: int = getattr(os, "O_BINARY", 0)


class FolderRepository:
    """A ``Repository`` that is a folder.

    Args:
        folder: where; it is made to write.
        write: whether it is to be written, by nobody else meanwhile.

    Raises:
        InvalidInputError: something else is in the folder.
        StoreLockedError: somebody else writes to it.
        BackendUnavailable: it cannot be made, or not be written.
    """

    sweeps = True

    def __init__(self, folder: Path, *, write: bool) -> None:
        self._folder = folder
        self._lock: FileLock | None = None
        # Whose names are to be synced before the head is written.
        self._touched: set[Path] = set()
        if write:
            _refuse_other(folder)
            try:
                for kind in ("", *KINDS):
                    make_private_folder(folder / kind)
                self._lock = locked(folder / _LOCK)
            except OSError as error:
                raise unusable(folder, "write", error) from error

    @property
    def path(self) -> str:
        return str(self._folder)

    @property
    def keys(self) -> Path | None:
        return self._folder / IN_A_BACKUP

    def head(self) -> bytes | None:
        try:
            return (self._folder / HEAD).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(self._folder, "read", error) from error

    def write_head(self, data: bytes) -> None:
        try:
            for folder in self._touched:
                sync_folder(folder)
            self._touched.clear()
            replace_file(self._folder / HEAD, data)
            sync_folder(self._folder)
        except OSError as error:
            raise unusable(self._folder, "write", error) from error

    def has(self, name: str) -> bool:
        return (self._folder / name).is_file()

    def write(self, kind: str, data: bytes) -> str:
        name = name_of(kind, data)
        path = self._folder / name
        try:
            if not path.is_file() or path.read_bytes() != data:
                replace_file(path, data)
                self._touched.add(path.parent)
        except OSError as error:
            raise unusable(path, "write", error) from error
        return name

    def read(self, name: str) -> bytes:
        try:
            handle = os.open(
                self._folder / name, os.O_RDONLY | NO_LINK | getattr(os, "O_BINARY", 0)
            )
            with os.fdopen(handle, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise missing(name, self.path) from None
        except OSError as error:
            raise unusable(self._folder / name, "read", error) from error
        return checked(name, data, self.path)

    def names(self) -> list[str]:
        found = []
        for kind in KINDS:
            with suppress(FileNotFoundError):
                found += [f"{kind}/{entry.name}" for entry in (self._folder / kind).iterdir()]
        return [name for name in found if not name.endswith(_FRESH)]

    def keep_only(self, names: Collection[str]) -> None:
        kept = set(names)
        try:
            for kind in KINDS:
                for entry in (self._folder / kind).iterdir():
                    if f"{kind}/{entry.name}" not in kept:
                        entry.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self._folder, "prune", error) from error

    def damage(self) -> list[str]:
        return []

    def size(self) -> int:
        total = 0
        for above, _, files in os.walk(self._folder):
            for name in files:
                with suppress(OSError):
                    total += os.stat(os.path.join(above, name)).st_size
        return total

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _refuse_other(folder: Path) -> None:
    """Refuse a folder with anything else in it."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidInputError("target", f"{folder} is no folder", fix="Name another place.")
    names = {entry.name for entry in folder.iterdir()}
    if STORE_FILE in names:
        raise InvalidInputError(
            "target", f"{folder} is a store itself", fix="Name a folder beside it."
        )
    others = names - {HEAD, f"{HEAD}{_FRESH}", _LOCK, IN_A_BACKUP, *KINDS}
    if others:
        raise InvalidInputError(
            "target",
            f"{folder} holds something else, such as {min(others)}",
            fix="Name a new or empty folder, or a backup.",
        )
