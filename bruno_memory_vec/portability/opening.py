"""Sources as files: a path, a folder, a zip archive, a gzip file, a stream, or several of these.

Nothing is unpacked onto the disk but what has to be read twice (an archive that comes by a pipe),
and that into a file without a name. So a path within an archive is a name only, and leads nowhere.
What an archive may grow to is bounded, as is how many files are read.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TextIO, cast

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.decoding import ByteStream, Prefixed, read_exactly

Source = str | Path | TextIO | BinaryIO
#: What a file may hold when it is unpacked: this many bytes for each packed one, and ...
MOST_RATIO = 200
#: ... as many more, in which small files of one letter fit.
SLACK = 64 * 1024 * 1024
#: Files of a folder or an archive.
MOST_FILES = 200_000
#: Bytes that one source may unpack to, all its files together.
MOST_UNPACKED = 256 * 1024**3

_GZIP, _ZIP, _ZIP_EMPTY = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
#: What is no text, by its first bytes.
_OTHERS = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zX": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"PAR1": "a Parquet file",
    b"OggS": "a sound file",
    b"RIFF": "a sound or video file",
    b"ID3": "a sound file",
}
# Not archives of chats, and not to be looked into: what systems and programs put into folders.
_PASSED_OVER = {"__MACOSX", "__pycache__", "node_modules"}


@dataclass(frozen=True, slots=True)
class Opened:
    """One file to read.

    Attributes:
        place: where it is, as it is shown: a path, with the path inside of an archive behind it.
        name: what a conversation is called that has no name of its own: folder and file, without
            suffixes, so that two files of one name in different folders stay two.
        inner: its path within the folder or archive that was given; its name where it is alone.
        several: whether it may be one of several.
        path: on the disk; None inside of an archive and of a stream.
        open: opens its bytes.
        beside: the bytes of a file by its path relative to this one's folder; None where there is
            none, or where it has more than 64 MiB.
    """

    place: str
    name: str
    inner: str
    several: bool
    path: Path | None
    open: Callable[[], AbstractContextManager[ByteStream]]
    beside: Callable[[str], bytes | None]


def check_source(source: Source | Sequence[Source]) -> None:
    """Refuse a path that cannot be read, before anything is opened.

    Raises:
        InvalidInputError: no such file.
    """
    if isinstance(source, (list, tuple)):
        if not source:
            raise InvalidInputError("source", "is an empty list", fix="Name a file or a folder")
        for one in source:
            check_source(one)
        return
    if not isinstance(source, (str, Path)) or source == "-":
        return
    try:
        if source == "" or not Path(source).exists():
            raise InvalidInputError("source", f"there is no file {source!s}", fix="Check the path")
    except (OSError, ValueError) as error:
        raise InvalidInputError("source", f"no usable path: {error}", fix="Name a file") from error


def files(source: Source | Sequence[Source]) -> Iterator[Opened]:
    """The files of a source, in the order of their names.

    Raises:
        InvalidInputError: one cannot be opened, or an archive is damaged or grows without measure.
    """
    if isinstance(source, (list, tuple)):
        for one in source:
            for file in files(one):
                yield file if file.several else _one_of_several(file)
    elif isinstance(source, (str, Path)) and source != "-":
        path = Path(source)
        if path.is_dir():
            yield from _of_folder(path)
        elif _is_zip(path):
            with path.open("rb") as stream:
                yield from _of_zip(stream, str(source), name_of(source))
        else:
            yield _of_path(path, str(source), path.name, several=False)
    else:
        yield from _of_stream(cast(Source, source))


def name_of(source: Source) -> str:
    """A name for conversations that have none: folder and file, without the file's suffixes."""
    name = source if isinstance(source, (str, Path)) else getattr(source, "name", None)
    if not isinstance(name, (str, Path)) or name == "-" or str(name).startswith("<"):
        return "stdin" if source == "-" or source is sys.stdin else "chat"
    path = Path(name)
    # What a stream says of itself need not be a path.
    folder = path.absolute().parent.name if path.exists() else path.parent.name
    return _named(folder, path.name)


def _named(folder: str, file: str) -> str:
    stem = file
    while stem and Path(stem).suffix.lower() in (".gz", ".zip", ".json", ".jsonl", ".ndjson"):
        stem = Path(stem).stem
    stem = stem if stem != file else Path(file).stem
    name = f"{folder}/{stem}" if folder else stem
    # A file name may hold bytes that are not UTF-8; a conversation id may not.
    return name.encode("utf-8", "replace").decode().replace("\0", "") or "chat"


def _one_of_several(file: Opened) -> Opened:
    return Opened(file.place, file.name, file.inner, True, file.path, file.open, file.beside)


def _of_path(path: Path, place: str, inner: str, *, several: bool) -> Opened:
    return Opened(
        place=place,
        name=name_of(path),
        inner=inner,
        several=several,
        path=path,
        open=lambda: _opened(path),
        beside=lambda relative: _beside(path, relative),
    )


@contextmanager
def _opened(path: Path) -> Iterator[ByteStream]:
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed below, and errors inside are not ours
    except OSError as error:
        raise _unopened(error) from error
    with stream:
        begin = stream.read(4)
        if begin.startswith(_GZIP):
            stream.seek(0)
            yield _unzipped(stream, path.stat().st_size)
        else:
            yield Prefixed(begin, stream)


def _beside(path: Path, relative: str) -> bytes | None:
    other = path.parent / relative
    try:
        if not other.is_file() or other.stat().st_size > SLACK:
            return None
        return other.read_bytes()
    except OSError:
        # It only adds to what is read.
        return None


def _of_folder(folder: Path) -> Iterator[Opened]:
    count = 0
    refused: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=refused.append):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in _PASSED_OVER)
        for name in sorted(names):
            path = Path(where, name)
            # What lies elsewhere is no part of the folder.
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MOST_FILES:
                raise _too_many(str(folder))
            inner = path.relative_to(folder).as_posix()
            if _is_zip(path):
                yield from _of_archive(path, inner)
            else:
                yield _of_path(path, str(path), inner, several=True)
    # Not in between: a folder is entered after what is yielded of the one around it.
    for error in refused:
        path = Path(error.filename)
        if path == folder:
            raise _unopened(error) from error
        yield _unusable(path, path.relative_to(folder).as_posix(), _unopened(error))


def _of_archive(path: Path, inner: str) -> Iterator[Opened]:
    """The files of an archive in a folder; where it is damaged, one that cannot be opened."""
    try:
        with path.open("rb") as stream:
            yield from _of_zip(stream, str(path), name_of(path))
    except OSError as error:
        yield _unusable(path, inner, _unopened(error))
    except InvalidInputError as error:
        yield _unusable(path, inner, error)


def _unusable(path: Path, inner: str, error: InvalidInputError) -> Opened:
    """Something of a folder that can only be told."""

    def opened() -> AbstractContextManager[ByteStream]:
        raise error

    return Opened(str(path), name_of(path), inner, True, path, opened, lambda _: None)


def _unopened(error: OSError) -> InvalidInputError:
    return InvalidInputError(
        "source", f"cannot be opened: {error}", fix="Check the file's permissions", cause=error
    )


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            begin = stream.read(4)
    except OSError:
        return False  # told when it is opened to be read
    # A document of an office program is a zip archive, too.
    return begin in (_ZIP, _ZIP_EMPTY) and path.suffix.lower() in ("", ".zip", ".tmp", ".bak")


def _of_stream(source: Source) -> Iterator[Opened]:
    if source == "-":
        source = getattr(sys.stdin, "buffer", sys.stdin)
    stream = as_bytes(cast("TextIO | BinaryIO", source))
    name = name_of(source)
    try:
        begin = read_exactly(stream, 4)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    rest = Prefixed(begin, stream)
    shown = getattr(source, "name", "")
    place = shown if isinstance(shown, str) and not shown.startswith("<") else ""
    if begin in (_ZIP, _ZIP_EMPTY):
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(rest, spool, 2**20)
            yield from _of_zip(cast(BinaryIO, spool), place, name)
        return

    @contextmanager
    def opened() -> Iterator[ByteStream]:
        if begin.startswith(_GZIP):
            yield _unzipped(rest, None)
        else:
            yield rest

    path = Path(place) if place else None

    def beside(relative: str) -> bytes | None:
        return None if path is None else _beside(path, relative)

    inner = PurePosixPath(place).name if place else name
    yield Opened(place, name, inner, False, None, opened, beside)


def _of_zip(stream: BinaryIO, place: str, name: str) -> Iterator[Opened]:
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _damaged(place, error) from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > MOST_FILES:
            raise _too_many(place)
        budget = [MOST_UNPACKED]
        by_name = {entry.filename: entry for entry in entries}
        for entry in sorted(entries, key=lambda one: one.filename):
            inner = entry.filename.replace("\\", "/")
            parts = PurePosixPath(inner).parts
            if any(part.startswith(".") or part in _PASSED_OVER for part in parts):
                continue
            if entry.flag_bits & 1:
                raise InvalidInputError(
                    "source",
                    f"{place} is encrypted",
                    fix="Unpack it with its password, and name the folder.",
                )
            yield _of_entry(archive, entry, by_name, place, name, inner, budget)


def _of_entry(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    by_name: dict[str, zipfile.ZipInfo],
    place: str,
    name: str,
    inner: str,
    budget: list[int],
) -> Opened:
    folder = "/".join(PurePosixPath(inner).parts[:-1])

    @contextmanager
    def opened() -> Iterator[ByteStream]:
        try:
            with archive.open(entry) as stream:
                bound = entry.compress_size * MOST_RATIO + SLACK
                limited = Bounded(stream, bound, f"{place}/{inner}", budget)
                begin = read_exactly(limited, 4)
                if begin.startswith(_GZIP):
                    yield _unzipped(Prefixed(begin, limited), None)
                else:
                    yield Prefixed(begin, limited)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            raise _damaged(f"{place}/{inner}", error) from error

    def beside(relative: str) -> bytes | None:
        path = os.path.normpath(f"{folder}/{relative}").lstrip("/")
        found = by_name.get(path)
        if found is None or found.file_size > SLACK:
            return None
        with archive.open(found) as stream:
            return stream.read(SLACK)

    inside = "/".join(part for part in (name.split("/")[-1], folder) if part)
    return Opened(
        place=f"{place}/{inner}" if place else inner,
        name=_named(inside, PurePosixPath(inner).name),
        inner=inner,
        several=True,
        path=None,
        open=opened,
        beside=beside,
    )


class Bounded:
    """An unpacking stream that may not give more than so many bytes."""

    def __init__(
        self, stream: ByteStream, bound: int | None, place: str, budget: list[int]
    ) -> None:
        self._stream = stream
        self._left = bound
        self._place = place
        self._budget = budget

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self._counted(self._stream.read(size if size and size > 0 else 2**20))

    def readline(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self._counted(self._stream.readline(size if size and size > 0 else 2**24))

    def _counted(self, data: bytes) -> bytes:
        self._budget[0] -= len(data)
        if self._left is not None:
            self._left -= len(data)
        if self._budget[0] < 0 or (self._left is not None and self._left < 0):
            raise InvalidInputError(
                "source",
                f"{self._place} unpacks to far more than an export has: {MOST_RATIO} times its "
                "size and more",
                fix="Unpack it yourself if you trust it, and name the file.",
            )
        return data


class _Measured:
    """A packed stream that counts what is read of it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.taken += len(data)
        return data


class Unzipped:
    """A gzip stream, bounded by what was read of the packed one: no small file fills the memory.

    Args:
        packed: the packed stream. Whoever has opened it closes it.
    """

    def __init__(self, packed: ByteStream) -> None:
        self._measured = _Measured(packed)
        self._stream = gzip.GzipFile(fileobj=cast(BinaryIO, self._measured), mode="rb")
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self._checked(lambda: self._stream.read(size if size and size > 0 else 2**20))

    def readline(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self._checked(lambda: self._stream.readline(size if size and size > 0 else 2**24))

    def _checked(self, read: Callable[[], bytes]) -> bytes:
        try:
            data = read()
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged("the gzip file", error) from error
        self._given += len(data)
        if self._given > self._measured.taken * MOST_RATIO + SLACK:
            raise InvalidInputError(
                "source",
                f"the gzip file unpacks to more than {MOST_RATIO} times its size",
                fix="Unpack it yourself if you trust it, and name the file.",
            )
        return data


def _unzipped(stream: ByteStream, size: int | None) -> ByteStream:
    return Unzipped(stream)


def what_it_is(begin: bytes) -> str | None:
    """What a file is that is no text, by its first bytes; None where it may be one."""
    for mark, what in _OTHERS.items():
        if begin.startswith(mark):
            return what
    if begin.startswith((_ZIP, _ZIP_EMPTY)):
        return "an archive within an archive, or a document of an office program"
    return "a binary file" if b"\0" in begin else None


def as_bytes(source: TextIO | BinaryIO) -> ByteStream:
    """A stream as one of bytes.

    Raises:
        InvalidInputError: it is no readable stream.
    """
    try:
        is_text = isinstance(source.read(0), str)
    except (AttributeError, OSError, ValueError) as error:
        raise InvalidInputError(
            "source", f"is no readable stream: {error}", fix='Give a path, "-" or an open file'
        ) from error
    return _Encoded(cast(TextIO, source)) if is_text else cast(ByteStream, source)


class _Encoded:
    """A text stream as bytes. Lone surrogates pass; they are refused later, with a line number."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def readline(self, size: int = -1, /) -> bytes:
        return self._stream.readline(size).encode("utf-8", "surrogatepass")

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size).encode("utf-8", "surrogatepass")


def _unreadable(error: Exception) -> InvalidInputError:
    return InvalidInputError(
        "source", f"cannot be read: {error}", fix="Check the file and its encoding (UTF-8)"
    )


def _damaged(place: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        "source", f"{place} is damaged: {error}", fix="Download or export it again."
    )


def _too_many(place: str) -> InvalidInputError:
    return InvalidInputError(
        "source", f"{place} has more than {MOST_FILES:,} files", fix="Name a part of it."
    )
