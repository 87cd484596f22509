"""Sources that can be read several times: paths as they are, streams by going back in them."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO, cast

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows.checks import shown

# Of what can be read only once, so much is kept in memory; more of it on the disk.
_IN_MEMORY = 16 * 2**20


@dataclass(slots=True)
class Source:
    """An input that can be read several times.

    Attributes:
        name: what it is called.
        path: where it is; None of a stream.
        stream: the stream, which can go back; None of a path.
        start: where in it this input begins.
        size: its bytes, 0 where that is not known.
        moment: when it was written, in microseconds; of a stream, when it was first read.
        on_disk: as of :func:`opened`, for the archives in it.
    """

    name: str
    path: str | None
    stream: _Rereadable | None = field(repr=False)
    start: int
    size: int
    moment: int
    on_disk: bool = True

    def again(self) -> Any:
        """What a reader takes, from the beginning."""
        if self.stream is None:
            return self.path
        self.stream.seek(self.start)
        return self.stream

    def tell(self) -> int:
        """How many bytes were read, as far as that is known."""
        return 0 if self.stream is None else self.stream.tell() - self.start


#: What :meth:`VectorMemory.ingest` takes, or several of it.
Given = str | Path | TextIO | BinaryIO | Source


class _Rereadable:
    """A stream with the name that the chats in it are called by."""

    def __init__(self, stream: IO[Any], name: str) -> None:
        self._stream = stream
        self.name = name

    def read(self, size: int = -1, /) -> Any:
        """As of a file."""
        return self._stream.read(size)

    def readline(self, size: int = -1, /) -> Any:
        """As of a file."""
        return self._stream.readline(size)

    def seek(self, place: int, whence: int = os.SEEK_SET, /) -> int:
        """As of a file."""
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._stream.tell()


@contextmanager
def opened(given: Given | Sequence[Given], *, on_disk: bool = True) -> Iterator[list[Source]]:
    """The sources, in order. What can be read only once is kept meanwhile.

    Args:
        given: the sources.
        on_disk: whether much of that may be in a temporary file; else all of it is in memory, as
            befits what goes into an encrypted store.

    Raises:
        InvalidInputError: there is none, or one cannot be read.
    """
    alone = isinstance(given, (str, Path, Source)) or hasattr(given, "read")
    several = [cast(Given, given)] if alone else _several(given)
    if not several:
        raise InvalidInputError("source", "there is none", fix="Name a file.")
    with ExitStack() as stack:
        found = [_one(one, stack, on_disk) for one in several]
        yield [replace(one, on_disk=one.on_disk and on_disk) for one in found]


def _several(given: Any) -> list[Given]:
    listed = (
        list(given) if isinstance(given, Iterable) and not isinstance(given, bytes) else [given]
    )
    for one in listed:
        if not isinstance(one, (str, Path, Source)) and not hasattr(one, "read"):
            raise InvalidInputError(
                "source", f"{shown(one)} is no file", fix="Give a path or an open stream."
            )
    return listed


def _one(given: Given, stack: ExitStack, on_disk: bool) -> Source:
    if isinstance(given, Source):
        return given
    now = time.time_ns() // 1000
    try:
        if isinstance(given, (str, Path)) and str(given) != "-":
            path = Path(given)
            about = path.stat()
            if path.is_file() or path.is_dir():
                moment = about.st_mtime_ns // 1000
                return Source(str(given), str(given), None, 0, _size(path), min(moment, now))
            with open(path, "rb") as pipe:
                return _kept(pipe, path.name, now, stack, on_disk)
        stream = _stdin() if isinstance(given, (str, Path)) else given
        named = getattr(stream, "name", None)
        name = named if isinstance(named, str) and not named.startswith("<") else "stdin"
        if stream is not _stdin() and hasattr(stream, "seekable") and stream.seekable():
            start = stream.tell()
            return Source(name, None, _Rereadable(stream, name), start, 0, now)
        return _kept(stream, name, now, stack, on_disk)
    except FileNotFoundError as error:
        raise InvalidInputError(
            "source", f"there is no file {given!s}", fix="Check the path."
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            "source", f"cannot be read: {error}", fix="Check the file's permissions.", cause=error
        ) from error


def _kept(stream: IO[Any], name: str, now: int, stack: ExitStack, on_disk: bool) -> Source:
    first = stream.read(0)
    if isinstance(first, str):
        kept: IO[Any] = io.StringIO(stream.read())
    else:
        kept = stack.enter_context(_spooled()) if on_disk else io.BytesIO()
        shutil.copyfileobj(stream, kept, 2**20)
    # `kept` can always be sought; on Python 3.10 a spooled file has no `seekable` that says so.
    return Source(name, None, _Rereadable(kept, name), 0, kept.tell(), now)


def _spooled() -> Any:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


def _stdin() -> BinaryIO:
    return cast(BinaryIO, getattr(sys.stdin, "buffer", sys.stdin))


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
