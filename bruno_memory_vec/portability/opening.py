"""Sources as files: a path, a folder, an archive (zip, tar), a gzip file, a stream, or several.

Nothing is unpacked onto the disk but what has to be read at any place of it (an archive that comes
by a pipe, or that is in another one), and that into a file without a name. So a path within an
archive is a name only, and leads nowhere. What an archive may grow to is bounded, as is how many
files are read.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
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
#: Bytes that one archive may unpack to, all its files together; :data:`MOST_RATIO` holds for all of
#: them together, too.
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
#: What names of archives end with; a document of an office program is a zip archive, too.
_ZIP_NAMES = ("", ".zip", ".tmp", ".bak")
#: An archive within an archive, as some exports are delivered, is read; no more than that.
_DEEPEST = 2
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
            raise InvalidInputError("source", "is an empty list", fix="Name a file or a folder.")
        for one in source:
            check_source(one)
        return
    if not isinstance(source, (str, Path)) or source == "-":
        return
    try:
        if source == "" or not Path(source).exists():
            raise InvalidInputError("source", f"there is no file {source!s}", fix="Check the path.")
    except (OSError, ValueError) as error:
        raise InvalidInputError("source", f"no usable path: {error}", fix="Name a file.") from error


def files(source: Source | Sequence[Source], *, on_disk: bool = True) -> Iterator[Opened]:
    """The files of a source, in the order of their names.

    Args:
        source: as of :func:`bruno_memory_vec.portability.read`.
        on_disk: whether an archive that cannot be read where it is may be unpacked into a file
            without a name; else it is in memory.

    Raises:
        InvalidInputError: one cannot be opened, or an archive is damaged or grows without measure.
    """
    if isinstance(source, (list, tuple)):
        for one in source:
            for file in files(one, on_disk=on_disk):
                yield file if file.several else _one_of_several(file)
    elif isinstance(source, (str, Path)) and source != "-":
        path = Path(source)
        if path.is_dir():
            yield from _of_folder(path, on_disk)
        elif (archive := _archive_at(path)) is not None:
            yield from archive(path, str(source), name_of(source), on_disk)
        else:
            yield _of_path(path, str(source), path.name, several=False)
    else:
        yield from _of_stream(cast(Source, source), on_disk)


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


def _of_folder(folder: Path, on_disk: bool) -> Iterator[Opened]:
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
            if (archive := _archive_at(path)) is not None:
                yield from _of_archive(archive, path, inner, on_disk)
            else:
                yield _of_path(path, str(path), inner, several=True)
    # Not in between: a folder is entered after what is yielded of the one around it.
    for error in refused:
        path = Path(error.filename)
        if path == folder:
            raise _unopened(error) from error
        yield _unusable(path, path.relative_to(folder).as_posix(), _unopened(error))


def _of_archive(archive: _Archive, path: Path, inner: str, on_disk: bool) -> Iterator[Opened]:
    """The files of an archive in a folder; where it is damaged, one that cannot be opened."""
    try:
        yield from archive(path, str(path), name_of(path), on_disk)
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
        "source", f"cannot be opened: {error}", fix="Check the file's permissions.", cause=error
    )


#: Gives the files of an archive: its path, how it is shown, the name of its conversations, and
#: ``on_disk`` as of :func:`files`.
_Archive = Callable[[Path, str, str, bool], Iterator["Opened"]]


def _archive_at(path: Path) -> _Archive | None:
    """How the archive at a path is read; None where it is none, or cannot be looked into."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(512)
            if begin.startswith(_GZIP):
                stream.seek(0)
                packed = _unzipped(stream, None)
                begin = read_exactly(packed, 512)
                if begin.startswith((_ZIP, _ZIP_EMPTY)):
                    return _of_gzipped_zip
                return _of_tar if _is_tar(begin) else None
    except (OSError, InvalidInputError):
        return None  # told when it is opened to be read
    if begin[:4] in (_ZIP, _ZIP_EMPTY) and path.suffix.lower() in _ZIP_NAMES:
        return _of_zip_at
    return _of_tar if _is_tar(begin) else None


def _is_tar(begin: bytes) -> bool:
    return begin[257:262] == b"ustar"


def _of_stream(source: Source, on_disk: bool) -> Iterator[Opened]:
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
        yield from _of_spooled_zip(rest, place, name, on_disk)
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


@dataclass(frozen=True, slots=True)
class _Packed:
    """A file in an archive: its path there, its size unpacked, what it may unpack to."""

    inner: str
    size: int
    bound: int
    open: Callable[[], AbstractContextManager[ByteStream]]


@dataclass(frozen=True, slots=True)
class _Unpacking:
    """What the archives of one source share: the bytes that are left, ``on_disk``, the depth."""

    budget: list[int]
    on_disk: bool
    depth: int = 0


def _of_zip_at(path: Path, place: str, name: str, on_disk: bool) -> Iterator[Opened]:
    with path.open("rb") as stream:
        yield from _of_zip(stream, place, name, _Unpacking([MOST_UNPACKED], on_disk))


def _of_gzipped_zip(path: Path, place: str, name: str, on_disk: bool) -> Iterator[Opened]:
    with path.open("rb") as stream:
        yield from _of_spooled_zip(_unzipped(stream, None), place, name, on_disk)


def _of_spooled_zip(
    packed: ByteStream, place: str, name: str, on_disk: bool, inside: _Unpacking | None = None
) -> Iterator[Opened]:
    """The files of an archive that cannot be read at any place of it, as in another archive."""
    held = tempfile.TemporaryFile() if on_disk else io.BytesIO()  # noqa: SIM115 - closed below
    with held as spool:
        shutil.copyfileobj(packed, spool, 2**20)
        spool.seek(0)
        how = inside or _Unpacking([MOST_UNPACKED], on_disk)
        yield from _of_zip(cast(BinaryIO, spool), place, name, how)


def _of_zip(stream: BinaryIO, place: str, name: str, how: _Unpacking) -> Iterator[Opened]:
    try:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _damaged(place, error) from error
    if not how.depth:
        how.budget[0] = min(how.budget[0], size * MOST_RATIO + SLACK)
    with archive:
        found: list[_Packed] = []
        for entry in sorted(archive.infolist(), key=lambda one: one.filename):
            if entry.is_dir() or _is_passed_over(entry.filename):
                continue
            if entry.flag_bits & 1:
                raise InvalidInputError(
                    "source",
                    f"{place} is encrypted",
                    fix="Unpack it with its password, and name the folder.",
                )
            bound = entry.compress_size * MOST_RATIO + SLACK
            opened = partial(archive.open, entry)
            found.append(_Packed(_inner(entry.filename), entry.file_size, bound, opened))
        yield from _of_packed(found, place, name, how)


def _of_tar(path: Path, place: str, name: str, on_disk: bool) -> Iterator[Opened]:
    """The files of a tar archive, packed by gzip or not, in its own order: it is read in one go."""
    most = path.stat().st_size * MOST_RATIO + SLACK
    try:
        with tarfile.open(path, "r:*") as archive:
            found: list[_Packed] = []
            left = most
            for member in archive:
                left -= member.size
                if left < 0:
                    raise _grows(place)
                if member.isreg() and not _is_passed_over(member.name):
                    opened = partial(_of_member, archive, member)
                    found.append(_Packed(_inner(member.name), member.size, most, opened))
                if len(found) > MOST_FILES:
                    raise _too_many(place)
            if not _is_at_its_end(archive):
                raise tarfile.ReadError("it breaks off, or a header is damaged")
            how = _Unpacking([min(most, MOST_UNPACKED)], on_disk)
            yield from _of_packed(found, place, name, how)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise _damaged(place, error) from error


def _is_at_its_end(archive: tarfile.TarFile) -> bool:
    """Whether all members were seen: behind a damaged header tarfile goes no further, and says
    nothing."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    return not block or (len(block) == tarfile.BLOCKSIZE and not block.strip(b"\0"))


@contextmanager
def _of_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[ByteStream]:
    stream = archive.extractfile(member)
    assert stream is not None  # it is a regular file
    with stream:
        yield cast(ByteStream, stream)


def _inner(path: str) -> str:
    return path.replace("\\", "/").removeprefix("./")


def _is_passed_over(path: str) -> bool:
    parts = PurePosixPath(_inner(path)).parts
    return any(part.startswith(".") or part in _PASSED_OVER for part in parts)


def _of_packed(found: list[_Packed], place: str, name: str, how: _Unpacking) -> Iterator[Opened]:
    if len(found) > MOST_FILES:
        raise _too_many(place)
    by_path = {packed.inner: packed for packed in found}
    for packed in found:
        shown = f"{place}/{packed.inner}" if place else packed.inner
        path = PurePosixPath(packed.inner)
        if how.depth < _DEEPEST and path.suffix.lower() in _ZIP_NAMES:
            is_zip = False
            try:
                with _unpacking(packed, shown, how.budget) as stream:
                    begin = read_exactly(stream, 4)
                    is_zip = begin in (_ZIP, _ZIP_EMPTY)
                    if is_zip:
                        rest = Prefixed(begin, stream)
                        named = _named(name.split("/")[-1], path.name)
                        deeper = replace(how, depth=how.depth + 1)
                        yield from _of_spooled_zip(rest, shown, named, how.on_disk, deeper)
            except InvalidInputError as error:
                # One that is damaged is told, and the others are read.
                if is_zip:
                    yield _unusable(Path(shown), packed.inner, error)
            if is_zip:
                continue
        yield _of_entry(packed, by_path, shown, name, how.budget)


@contextmanager
def _unpacking(packed: _Packed, shown: str, budget: list[int]) -> Iterator[ByteStream]:
    try:
        with packed.open() as stream:
            yield Bounded(stream, packed.bound, shown, budget)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        NotImplementedError,
        EOFError,
    ) as error:
        raise _damaged(shown, error) from error


def _of_entry(
    packed: _Packed, by_path: dict[str, _Packed], place: str, name: str, budget: list[int]
) -> Opened:
    path = PurePosixPath(packed.inner)
    folder = "/".join(path.parts[:-1])

    @contextmanager
    def opened() -> Iterator[ByteStream]:
        with _unpacking(packed, place, budget) as limited:
            begin = read_exactly(limited, 4)
            if begin.startswith(_GZIP):
                yield _unzipped(Prefixed(begin, limited), None)
            else:
                yield Prefixed(begin, limited)

    def beside(relative: str) -> bytes | None:
        found = by_path.get(os.path.normpath(f"{folder}/{relative}").lstrip("/"))
        if found is None or found.size > SLACK:
            return None
        with found.open() as stream:
            return stream.read(SLACK)

    inside = "/".join(part for part in (name.split("/")[-1], folder) if part)
    return Opened(
        place=place,
        name=_named(inside, path.name),
        inner=packed.inner,
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
            raise _grows(self._place)
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


def _grows(place: str) -> InvalidInputError:
    return InvalidInputError(
        "source",
        f"{place} unpacks to far more than an export has: {MOST_RATIO} times its size and more",
        fix="Unpack it yourself if you trust it, and name the file.",
    )


def what_it_is(begin: bytes) -> str | None:
    """What a file is that is no text, by its first bytes; None where it may be one."""
    for mark, what in _OTHERS.items():
        if begin.startswith(mark):
            return what
    if begin.startswith((_ZIP, _ZIP_EMPTY)):
        return "an archive within archives, or a document of an office program"
    if _is_tar(begin):
        return "a tar archive, which is read where its path is named"
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
            "source", f"is no readable stream: {error}", fix='Give a path, "-" or an open file.'
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
        "source", f"cannot be read: {error}", fix="Check the file and its encoding (UTF-8)."
    )


def _damaged(place: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        "source", f"{place} is damaged: {error}", fix="Download or export it again."
    )


def _too_many(place: str) -> InvalidInputError:
    return InvalidInputError(
        "source", f"{place} has more than {MOST_FILES:,} files", fix="Name a part of it."
    )
