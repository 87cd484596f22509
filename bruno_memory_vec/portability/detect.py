"""The beginning of an input, and which reader it is for."""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.decoding import ByteStream, as_utf8
from bruno_memory_vec.portability.json_stream import JsonStream

#: Far more than a message. Without a limit, a file without line ends would fill the memory.
MAX_LINE_BYTES = 16 * 1024 * 1024
#: Blank lines in a row. An archive of some KiB can hold millions of them, each of which takes time.
MOST_BLANK = 100_000


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

    def __init__(self, stream: ByteStream) -> None:
        self._raw = stream
        self._stream: ByteStream | None = None
        self._ahead: deque[Line] = deque()
        self._number = 0
        self._blank = 0
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

        Raises:
            InvalidInputError: there are more blank lines in a row than any export has.
        """
        while len(self._ahead) < count and not (self._ahead and self._ahead[-1].too_long):
            line = self._next()
            if line is None:
                break
            if line.data.strip():
                self._ahead.append(line)
                self._blank = 0
                continue
            self._blank += 1
            if self._blank > MOST_BLANK:
                raise InvalidInputError(
                    "source",
                    f"has more than {MOST_BLANK:,} blank lines in a row, up to line "
                    f"{line.number:,}",
                    fix="Take them out.",
                )
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

    def texts(self) -> Iterator[tuple[int, str]]:
        """The rest of the lines, blank ones too, each with its number and without its end.

        Raises:
            InvalidInputError: one is no UTF-8, or too long.
        """
        at = 1
        for line in self:
            for number in range(at, line.number):
                yield number, ""
            at = line.number + 1
            if line.too_long:
                raise InvalidInputError(
                    "source", f"line {line.number} {line.too_long}", fix="Break it into lines."
                )
            try:
                yield line.number, line.data.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    "source",
                    f"line {line.number} is no text of UTF-8",
                    fix="Save it as UTF-8.",
                    cause=error,
                ) from error

    def pieces(self, size: int = 2**20) -> Iterator[str]:
        """The rest of the input as text, in pieces of about so many bytes, wherever its lines end.

        Raises:
            InvalidInputError: it is no UTF-8.
        """
        decoder = codecs.getincrementaldecoder("utf-8")()
        data = self._begin() or self._read(size, whole=True)
        while True:
            try:
                yield decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    "source", "it is no text of UTF-8", fix="Save it as UTF-8.", cause=error
                ) from error
            if not data:
                return
            data = self._read(size, whole=True)

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
        if whole:
            return Line(self._number, data)
        return Line(self._number, data, f"is longer than {MAX_LINE_BYTES // 1024**2} MiB")

    def _skip_rest_of_line(self) -> None:
        while True:
            data = self._read(MAX_LINE_BYTES)
            if not data or data.endswith(b"\n"):
                return

    def _read(self, size: int, *, whole: bool = False) -> bytes:
        try:
            if self._stream is None:
                self._stream = as_utf8(self._raw)
            return self._stream.read(size) if whole else self._stream.readline(size)
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                "source", f"cannot be read: {error}", fix="Check the file and its encoding (UTF-8)."
            ) from error


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


@dataclass(slots=True)
class Head:
    """The beginning of an input, as far as it takes to know what it is.

    Attributes:
        name: of the file, with its suffix, in lower case; "" of a stream.
        inner: its path within the folder or archive that was given.
        shape: "object" or "list", one JSON document; "lines", a JSON value a line; "text".
        samples: the document that is an object, or its beginning; the first element of a list that
            is a list or an object; the first lines' values. Nothing of a text.
        text: the first lines as text.
    """

    name: str
    inner: str
    shape: Literal["object", "list", "lines", "text"]
    samples: list[Any] = field(default_factory=list)
    text: str = ""

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The samples that are objects."""
        return [sample for sample in self.samples if isinstance(sample, dict)]

    @property
    def first(self) -> dict[str, Any]:
        """The first sample that is an object; an empty one where none is."""
        return next(iter(self.objects), {})

    def has(self, *keys: str) -> bool:
        """Whether the first object has all these keys."""
        return all(key in self.first for key in keys)


#: How many lines are looked at where the first two say nothing.
_LINES_SHOWN = 20
_TEXT_SHOWN = 64 * 1024
#: A page begins with its styles, which are long.
_MARKUP_SHOWN, _LINES_OF_MARKUP = 2 * 1024 * 1024, 2_000


def head_of(lines: Lines, name: str, inner: str, *, far: bool = False) -> Head:
    """The head of an input that is not empty; nothing of it is consumed.

    Args:
        lines: the input.
        name, inner: as of a :class:`Head`.
        far: look at more lines than two. A log that is still written gives them late.

    Raises:
        InvalidInputError: it begins as a JSON document and is none.
    """
    shown = lines.head(_LINES_SHOWN if far else 2)
    most = _TEXT_SHOWN
    if shown[0].data.lstrip()[:1] == b"<":
        shown, most = lines.head(_LINES_OF_MARKUP), _MARKUP_SHOWN
    text = b"\n".join(line.data[:most].rstrip(b"\r\n") for line in shown)[:most]
    head = Head(name.lower(), inner, "text", [], text.decode("utf-8", "replace"))
    if is_line_by_line(lines):
        found = [_value(line) for line in shown]
        head.shape = "lines"
        head.samples = [value for value in found if isinstance(value, (dict, list))]
        return head
    begin = shown[0].data.lstrip()[:1]
    value = None if begin == b"[" else _value(shown[0])
    if isinstance(value, dict) and len(shown) == 1:
        # One line: it may be the first one of lines, too.
        head.shape, head.samples = "lines", [value]
        return head
    values = [_value(line) for line in shown]
    if far and any(isinstance(one, dict) for one in values) and not isinstance(values[0], dict):
        # Lines of which the first are broken.
        head.shape, head.samples = "lines", [one for one in values if isinstance(one, dict)]
        return head
    if begin not in (b"{", b"["):
        return head
    document = lines.stream()
    if document.is_list():
        head.shape = "list"
        first = document.first_container()
        head.samples = [] if first is None else [first]
        if isinstance(first, dict) and "role" in first and "messages" not in first:
            # Messages are small, and the first may be like those of any format.
            head.samples = document.ahead(_LINES_SHOWN)
            head.samples = [one for one in head.samples if isinstance(one, (dict, list))]
    else:
        head.shape, head.samples = "object", [document.outline()]
    return head


def _value(line: Line) -> Any:
    """Return the line's JSON value or None. Lenient: bad fields are reported later."""
    try:
        return None if line.too_long else json.loads(line.data)
    except (ValueError, RecursionError):
        return None
