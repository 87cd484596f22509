"""What every writer is given, and how files come to their places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.indexers.private import FILE, NO_LINK, make_private_folder
from bruno_memory_vec.rows.models import Row

_BINARY: int = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class About:
    """What an export is of.

    Attributes:
        exported_at: when, as text.
        store: the store's URL, without secrets.
        fingerprint: of the embedder, as plain values.
        vectors: whether vectors are written.
        language: the stemmer of the store's words.
        of: what was asked for: user, conversation, times, kinds; as plain values.
        titles: of conversations, by their ids.
    """

    exported_at: str
    store: str
    fingerprint: Mapping[str, Any]
    vectors: bool
    language: str | None
    of: Mapping[str, Any]
    titles: Mapping[str, str] = field(default_factory=dict)


class Writer(Protocol):
    """Writes an export. Methods block, and are called one at a time.

    A writer is made with the path and an :class:`About`, and makes nothing before its first call.
    """

    #: Whether it can write vectors.
    vectors: ClassVar[bool]
    #: Whether it is given conversation after conversation, not rows as they were written.
    by_conversation: ClassVar[bool]
    #: Whether it writes sessions.
    has_sessions: ClassVar[bool]

    def __init__(self, path: Path, about: About, *, overwrite: bool) -> None: ...

    def rows(self, rows: Sequence[Row], vectors: NDArray[np.float32] | None) -> None:
        """Write rows, with their vectors, float32 (n, d), if they are asked for."""
        ...

    def person(self, kind: str, held: Mapping[str, Any]) -> None:
        """Write a conversation's record, a session, a profile or a note."""
        ...

    def finish(self) -> list[Path]:
        """Put the files in their places; returns which they are."""
        ...

    def discard(self) -> None:
        """Remove what was written. It does nothing after :meth:`finish`."""
        ...


class Files:
    """Files that are written beside their places, for their owner only.

    Args:
        overwrite: whether a file that is there may be replaced.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._written: list[tuple[Path, Path, BinaryIO]] = []

    def open(self, path: Path) -> BinaryIO:
        """A file that :meth:`finish` puts at ``path``.

        Raises:
            InvalidInputError: there is one already, or something else.
            BackendUnavailable: it cannot be made.
        """
        refuse_taken(path, overwrite=self._overwrite)
        beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            make_private_folder(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY
            file = os.fdopen(os.open(beside, flags, FILE), "wb", buffering=2**18)
        except OSError as error:
            raise unwritable(path, error) from error
        self._written.append((path, beside, file))
        return file

    def finish(self, stale: Sequence[Path] = ()) -> list[Path]:
        """Sync all files and give them their names; the first one that was opened comes last.

        Args:
            stale: where files of an earlier export may be that belong to the one that is replaced.
                Those that were not written anew go.

        Raises:
            BackendUnavailable: one cannot be written.
        """
        try:
            for path, _, file in self._written:
                file.flush()
                os.fsync(file.fileno())
                file.close()
                refuse_taken(path, overwrite=self._overwrite)
            written = {path for path, _, _ in self._written}
            for path in stale if self._overwrite else ():
                if path not in written and path.is_file():
                    path.unlink()
            for path, beside, _ in reversed(self._written):
                os.replace(beside, path)
        except OSError as error:
            raise unwritable(self._written[0][0], error) from error
        found = [path for path, _, _ in self._written]
        self._written = []
        return found

    def discard(self) -> None:
        """Remove what was written."""
        for _, beside, file in self._written:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                beside.unlink()
        self._written = []


class Folder:
    """A folder of files that is written beside its place, for its owner only.

    Args:
        path: where it is to be: nothing, or an empty folder.

    Raises:
        InvalidInputError: something is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
        self._files: list[Path] = []
        _refuse_full(path)

    def open(self, name: str) -> BinaryIO:
        """A file of it.

        Raises:
            BackendUnavailable: it cannot be made.
        """
        path = self._beside / name
        try:
            make_private_folder(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY
            file = os.fdopen(os.open(path, flags, FILE), "wb")
        except OSError as error:
            raise unwritable(path, error) from error
        self._files.append(self._path / name)
        return file

    def finish(self) -> list[Path]:
        """Give the folder its name.

        Raises:
            InvalidInputError: something came there meanwhile.
            BackendUnavailable: it cannot be written.
        """
        _refuse_full(self._path)
        try:
            make_private_folder(self._beside)
            if self._path.is_dir():
                self._path.rmdir()
            os.replace(self._beside, self._path)
        except OSError as error:
            raise unwritable(self._path, error) from error
        return self._files

    def discard(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._beside, ignore_errors=True)


def refuse_taken(path: Path, *, overwrite: bool) -> None:
    """Refuse a path at which something is that an export does not replace.

    Raises:
        InvalidInputError: naming it.
    """
    if path.is_dir():
        raise InvalidInputError("path", f"{path} is a folder", fix="Name a file.")
    if path.exists() and not path.is_file():
        # A device or a pipe would be a plain file afterwards.
        raise InvalidInputError("path", f"{path} is no file", fix="Name another place.")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise InvalidInputError(
            "path", f"{path} is there already", fix="Name another file, or say overwrite."
        )


def beside(path: Path, what: str) -> Path:
    """The file beside a table, for what has other columns: ``out.csv``, ``out.sessions.csv``."""
    return path.with_name(f"{path.stem}.{what}{path.suffix}")


def unwritable(path: Path, error: OSError) -> BackendUnavailable:
    """The error for a file that cannot be written."""
    return BackendUnavailable(
        "export",
        "write",
        f"{path}: {error.strerror or error}",
        fix="Check the free space and permissions there, or name another place.",
        cause=error,
    )


def _refuse_full(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidInputError("path", f"{path} is no folder", fix="Name a new folder.")
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInputError(
            "path", f"{path} is not empty", fix="Name a new or an empty folder."
        )
