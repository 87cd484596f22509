"""Opening a source and detecting its format."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TextIO, cast

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.json_stream import JsonStream

Source = str | Path | TextIO | BinaryIO

#: Far more than a message. Without a limit, a file without line ends would fill the memory.
MAX_LINE_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class _Bytes(Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank.

    Attributes:
        number: 1-based.
        data: the line; only its beginning when it is too long.
        too_long: "" or what to tell the user.
    """

    number: int
    data: bytes
    too_long: str = ""


class Lines:
    """The lines of the input that are not blank, with look-ahead."""

    def __init__(self, stream: _Bytes) -> None:
        self._stream = stream
        self._ahead: deque[Line] = deque()
        self._number = 0
        self._document: JsonStream | None = None

    def __iter__(self) -> Iterator[Line]:
        while self.head(1):
            line = self._ahead.popleft()
            if line.too_long:
                self._skip_rest_of_line()
            yield line

    def head(self, count: int) -> list[Line]:
        """Return up to ``count`` next lines without consuming them.

        Lines after one that is too long cannot be seen until that one is consumed.
        """
        while len(self._ahead) < count and not (self._ahead and self._ahead[-1].too_long):
            line = self._next()
            if line is None:
                break
            if line.data.strip():
                self._ahead.append(line)
        return list(self._ahead)[:count]

    def document(self) -> Any:
        """Consume the rest of the input as one JSON value.

        Raises:
            InvalidInputError: it is no JSON value.
        """
        return self.stream().value()

    def stream(self) -> JsonStream:
        """The rest of the input as one JSON document; later calls return the same one."""
        if self._document is None:
            self._document = JsonStream(lambda size: self._read(size, whole=True), self._begin())
        return self._document

    @property
    def is_streaming(self) -> bool:
        """Whether reading it as one document has begun, so that no line is left."""
        return self._document is not None

    def _begin(self) -> bytes:
        """What was looked at."""
        # Skipped blank lines are inserted again, so that an error names the right line.
        parts = []
        at = 1
        for line in self._ahead:
            parts.append(b"\n" * (line.number - at))
            parts.append(line.data)
            at = line.number + line.data.endswith(b"\n")
        parts.append(b"\n" * (self._number - at))
        self._ahead.clear()
        return b"".join(parts)

    def _next(self) -> Line | None:
        data = self._read(MAX_LINE_BYTES + 1)
        if not data:
            return None
        self._number += 1
        whole = len(data) <= MAX_LINE_BYTES or data.endswith(b"\n")
        if self._number == 1:
            data = data.removeprefix(_BOM)
        if whole:
            # A file that is nothing but a byte order mark is an empty line here, not the end.
            return Line(self._number, data or b"\n")
        return Line(self._number, data, f"is longer than {MAX_LINE_BYTES // 1024**2} MiB")

    def _skip_rest_of_line(self) -> None:
        while True:
            data = self._read(MAX_LINE_BYTES)
            if not data or data.endswith(b"\n"):
                return

    def _read(self, size: int, *, whole: bool = False) -> bytes:
        try:
            return self._stream.read(size) if whole else self._stream.readline(size)
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                "source", f"cannot be read: {error}", fix="Check the file and its encoding (UTF-8)"
            ) from error


def check_source(source: Source) -> None:
    """Refuse a path that cannot be read, before anything is opened.

    Raises:
        InvalidInputError: no such file, or a folder.
    """
    if not isinstance(source, (str, Path)) or source == "-":
        return
    try:
        path = Path(source)
        if path.is_dir():
            raise InvalidInputError("source", f"{source} is a folder", fix="Name a file in it")
        if source == "" or not path.exists():
            raise InvalidInputError("source", f"there is no file {source!s}", fix="Check the path")
    except (OSError, ValueError) as error:
        raise InvalidInputError("source", f"no usable path: {error}", fix="Name a file") from error


def name_of(source: Source) -> str:
    """Return a name for conversations that have none: the file's, without its suffix."""
    name = source if isinstance(source, (str, Path)) else getattr(source, "name", None)
    if not isinstance(name, (str, Path)) or name == "-" or str(name).startswith("<"):
        return "stdin" if source == "-" or source is sys.stdin else "chat"
    # A file name may hold bytes that are not UTF-8; a conversation id may not.
    return Path(name).stem.encode("utf-8", "replace").decode() or "chat"


@contextmanager
def open_lines(source: Source) -> Iterator[Lines]:
    """Open a source; only what was opened here is closed here.

    Raises:
        InvalidInputError: the file cannot be opened.
    """
    if source == "-":
        source = getattr(sys.stdin, "buffer", sys.stdin)
    if not isinstance(source, (str, Path)):
        yield Lines(_as_bytes(source))
        return
    try:
        stream = open(source, "rb")  # noqa: SIM115 - closed below, and errors inside are not ours
    except OSError as error:
        raise InvalidInputError(
            "source", f"cannot be opened: {error}", fix="Check the file's permissions"
        ) from error
    with stream:
        yield Lines(stream)


def is_line_by_line(lines: Lines) -> bool:
    """Return whether each line is a JSON value of its own, judged by the first two.

    If the first line is no JSON value, the second one decides, unless the first opens a list or
    ends where a JSON document may continue with an object.
    """
    if lines.is_streaming:
        return False
    head = lines.head(2)
    if len(head) < 2:
        return False
    if _value(head[0]) is not None:
        return True
    first = head[0].data.strip()
    goes_on = first.startswith(b"[") or first.endswith((b"[", b",", b":"))
    return not goes_on and isinstance(_value(head[1]), dict)


def detect(lines: Lines) -> Literal["jsonl", "openai", "locomo"]:
    """Detect the format without consuming anything from ``lines``, which is not empty.

    Raises:
        InvalidInputError: it is a JSON document of none of the formats.
    """
    first = lines.head(1)[0]
    if is_line_by_line(lines):
        values = [_value(line) for line in lines.head(2)]
        sample = values[0] if isinstance(values[0], (dict, list)) else values[1]
        return _shape(sample) or "jsonl"
    begin = first.data.lstrip()[:1]
    value = None if begin == b"[" else _value(first)
    if value is not None:
        return _shape(value) or "jsonl"
    if begin not in (b"{", b"["):
        return "jsonl"
    document = lines.stream()
    if document.is_list():
        shape = _shape_of_list(document.first_container())
    else:
        shape = _shape(document.value())
    if shape is None:
        raise _unknown()
    return shape


def _shape(value: Any) -> Literal["openai", "locomo"] | None:
    if isinstance(value, list):
        return _shape_of_list(
            next((item for item in value if isinstance(item, (dict, list))), None)
        )
    if not isinstance(value, dict):
        return None
    if "messages" in value or "mapping" in value:
        return "openai"
    return "locomo" if isinstance(value.get("conversation"), dict) else None


def _shape_of_list(sample: Any) -> Literal["openai", "locomo"] | None:
    """The shape of a list by the first of its elements that is a list or an object."""
    if isinstance(sample, dict) and "role" in sample:
        return "openai"
    # A list of lists of messages is one level deeper; deeper than that is no chat.
    inner = sample[0] if isinstance(sample, list) and sample else None
    if isinstance(inner, dict):
        return "openai" if "role" in inner else None
    return _shape(sample) if isinstance(sample, dict) else None


def _value(line: Line) -> Any:
    """Return the line's JSON value or None. Lenient: bad fields are reported later."""
    try:
        return None if line.too_long else json.loads(line.data)
    except (ValueError, RecursionError):
        return None


def _unknown() -> InvalidInputError:
    return InvalidInputError(
        "source",
        "a JSON document of no known format",
        fix="Give a list of messages, an object with messages, a ChatGPT export or LoCoMo's file",
    )


def _as_bytes(source: TextIO | BinaryIO) -> _Bytes:
    try:
        is_text = isinstance(source.read(0), str)
    except (AttributeError, OSError, ValueError) as error:
        raise InvalidInputError(
            "source", f"is no readable stream: {error}", fix='Give a path, "-" or an open file'
        ) from error
    return _Encoded(cast(TextIO, source)) if is_text else cast(_Bytes, source)


class _Encoded:
    """A text stream as bytes. Lone surrogates pass; they are refused later, with a line number."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def readline(self, size: int = -1, /) -> bytes:
        return self._stream.readline(size).encode("utf-8", "surrogatepass")

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size).encode("utf-8", "surrogatepass")
