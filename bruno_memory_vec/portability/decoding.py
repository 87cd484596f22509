"""Bytes as UTF-8 without a byte order mark: what is UTF-16 or UTF-32 is written anew on the way."""

from __future__ import annotations

import codecs
import io
from typing import Protocol

#: The longest first. UTF-8's mark is taken off, too.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHUNK = 2**16


class ByteStream(Protocol):
    """What is read of a source."""

    def readline(self, size: int = -1, /) -> bytes:
        """A line with its end, so many bytes at most; b"" at the end."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes at most; b"" at the end."""
        ...


def as_utf8(stream: ByteStream) -> ByteStream:
    """The stream as UTF-8. It looks at the first four bytes, and at no more than is asked for.

    UTF-16 without a mark is told by the zero byte in its first character, which is no letter of any
    text: JSON and most texts begin with an ASCII character.
    """
    begin = read_exactly(stream, 4)
    for mark, name in _MARKS:
        if begin.startswith(mark):
            rest = Prefixed(begin[len(mark) :], stream)
            return rest if name == "utf-8" else _transcoded(rest, name)
    if len(begin) >= 4 and begin[1] == begin[3] == 0 != begin[0]:
        return _transcoded(Prefixed(begin, stream), "utf-16-le")
    if len(begin) >= 4 and begin[0] == begin[2] == 0 != begin[1]:
        return _transcoded(Prefixed(begin, stream), "utf-16-be")
    return Prefixed(begin, stream)


def read_exactly(stream: ByteStream, count: int) -> bytes:
    """So many bytes, fewer only at the end."""
    parts = b""
    while len(parts) < count:
        more = stream.read(count - len(parts))
        if not more:
            break
        parts += more
    return parts


class Prefixed:
    """A stream with bytes before it."""

    def __init__(self, begin: bytes, stream: ByteStream) -> None:
        self._begin = begin
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        if not self._begin:
            return self._stream.read(size)
        if size is None or size < 0:
            begin, self._begin = self._begin, b""
            return begin + self._stream.read()
        begin, self._begin = self._begin[:size], self._begin[size:]
        return begin

    def readline(self, size: int = -1, /) -> bytes:
        """As of a file."""
        if not self._begin:
            return self._stream.readline(size)
        end = self._begin.find(b"\n") + 1
        most = len(self._begin) if size is None or size < 0 else size
        if end or most < len(self._begin):
            taken = min(end or most, most)
            begin, self._begin = self._begin[:taken], self._begin[taken:]
            return begin
        begin, self._begin = self._begin, b""
        left = -1 if size is None or size < 0 else size - len(begin)
        return begin + (self._stream.readline(left) if left else b"")


class _Transcoding(io.RawIOBase):
    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        # Half a pair is told later, with its place.
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._waiting and not self._ended:
            data = self._stream.read(_CHUNK)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeDecodeError as error:
                raise OSError(f"it is no text of {error.encoding}: {error.reason}") from error
            self._waiting = text.encode("utf-8", "surrogatepass")
        taken, self._waiting = self._waiting[: len(buffer)], self._waiting[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _transcoded(stream: ByteStream, encoding: str) -> ByteStream:
    return io.BufferedReader(_Transcoding(stream, encoding))
