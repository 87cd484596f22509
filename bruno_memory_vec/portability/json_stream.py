"""A JSON document read part by part: of a list, one element is in memory at a time.

Each element is read by Python's own decoder, with the same checks as a line of JSONL. So what is
read, and what is refused, does not depend on whether a document is read whole or in parts; a
streaming parser such as ijson's would merge a key that is there twice, and replace half a surrogate
pair by a question mark.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.records import BadFieldError, reading_json, strict_decoder

#: Bytes that are read at once.
CHUNK = 2**18
# Of how many elements the first list or object is looked for: no chat begins with more others.
_MOST_AHEAD = 1_000
# By a regular expression: a loop over characters takes 80 ms for each MiB of blanks.
_SPACE = re.compile(r"[ \t\n\r]*")
# What a number may go on with behind the end of what was read.
_NUMBER = "0123456789+-.eE"
# An error further than this from the end of what was read is none of a text that goes on, but for a
# string without an end.
_LONGEST_WORD = 64
#: Of an object so much is looked at to know what it is.
OUTLINE = 2**20
# Objects within it are taken apart so far: the chats of an export stand in a list at this depth.
_DEPTH = 2
_OPEN_STRING = "Unterminated string"


class Part(NamedTuple):
    """A part of an object.

    Attributes:
        path: the keys that lead to it; of an element of a list, to the list.
        value: what is there. Of an object or a list that is taken apart, an empty one.
        is_element: whether it is an element of a list.
    """

    path: tuple[str, ...]
    value: Any
    is_element: bool


class JsonStream:
    """One JSON document.

    Args:
        read: gives up to so many bytes, UTF-8 without a byte order mark; b"" at the end.
        begin: bytes before those.
    """

    def __init__(self, read: Callable[[int], bytes], begin: bytes = b"") -> None:
        self._read = read
        self._begin, self._begun = begin, 0
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._fed = 0
        self._text = ""
        self._at = 0
        self._ended = False
        # Where the text begins in the document.
        self._line, self._column = 1, 1
        self._ahead: deque[Any] = deque()
        self._elements = self._each()
        self._is_list: bool | None = None
        self._parts = self._each_part()
        self._seen: list[Part] = []
        self._whole: list[Any] = []

    def is_list(self) -> bool:
        """Whether the document is a list. It may still turn out to be broken.

        Raises:
            InvalidInputError: it is no UTF-8.
        """
        if self._is_list is None:
            with _one_document():
                self._is_list = self._next_sign() == "["
        return self._is_list

    def first_container(self) -> Any:
        """The first element of a list that is a list or an object; it is read again by items().

        None where there is none among the first 1,000.

        Raises:
            InvalidInputError: the document is broken before it.
        """
        for element in self._ahead:
            if isinstance(element, (dict, list)):
                return element
        while len(self._ahead) < _MOST_AHEAD:
            with _one_document():
                found = list(islice(self._elements, 1))
            if not found:
                break
            self._ahead += found
            if isinstance(found[0], (dict, list)):
                return found[0]
        return None

    def ahead(self, count: int) -> list[Any]:
        """The first elements of a list, up to so many; they are read again by items().

        Raises:
            InvalidInputError: the document is broken before that.
        """
        while len(self._ahead) < count:
            with _one_document():
                found = list(islice(self._elements, 1))
            if not found:
                break
            self._ahead += found
        return list(islice(self._ahead, count))

    def items(self) -> Iterator[Any]:
        """The elements of a list, each once.

        Raises:
            InvalidInputError: the document is broken; the elements before that were given.
        """
        while self._ahead:
            yield self._ahead.popleft()
        with _one_document():
            yield from self._elements

    def value(self) -> Any:
        """The whole document; of a list, what :meth:`items` has not given.

        Raises:
            InvalidInputError: it is broken.
        """
        if self.is_list():
            return list(self.items())
        if not self._whole:
            with _one_document():
                # What was looked at part by part is not in the text any more.
                self._seen += self._parts if self._seen else ()
                self._whole.append(_assembled(self._seen) if self._seen else self._read_whole())
            self._seen = []
        return self._whole[0]

    def outline(self) -> dict[str, Any]:
        """An object as far as its first MiB: all of it, or its beginning. It is read again later.

        Raises:
            InvalidInputError: the document is broken within that.
        """
        if self._whole:
            return dict(self._whole[0])
        with _one_document():
            while self._fed < OUTLINE or not self._seen:
                # One at a time: a part may be a chat of many MiB.
                found = list(islice(self._parts, 1))
                self._seen += found
                if not found:
                    break
        return _assembled(self._seen)

    def parts(self) -> Iterator[Part]:
        """The parts of an object, each once: members, and elements of lists within it.

        Objects are taken apart to the depth of two, and lists that stand there.

        Raises:
            InvalidInputError: the document is broken; the parts before that were given.
        """
        seen, self._seen = self._seen, []
        while seen:
            yield from seen[:1]
            del seen[:1]
        with _one_document():
            yield from self._parts

    def _read_whole(self) -> Any:
        # In one go: parts of it are of no use.
        parts = [self._text]
        while not self._ended:
            parts.append(self._more(CHUNK))
        self._text = "".join(parts)
        value = self._element()
        self._end()
        return value

    def _each(self) -> Iterator[Any]:
        self._next_sign()
        yield from self._list()
        self._end()

    def _each_part(self) -> Iterator[Part]:
        self._next_sign()
        yield from self._object(())
        self._end()

    def _object(self, path: tuple[str, ...]) -> Iterator[Part]:
        """The parts of the object that begins here."""
        self._at += 1
        yield Part(path, {}, False)
        keys: set[str] = set()
        if self._next_sign() == "}":
            self._at += 1
            return
        while True:
            if self._next_sign() != '"':
                wanted = "Expecting property name enclosed in double quotes"
                raise self._not_json(wanted, self._at)
            key = self._element()
            if key in keys:
                raise BadFieldError(
                    "line", f"the key {ascii(key)[:60]} is there twice in one object"
                )
            keys.add(key)
            if self._next_sign() != ":":
                raise self._not_json("Expecting ':' delimiter", self._at)
            self._at += 1
            sign, here = self._next_sign(), (*path, key)
            if sign == "[":
                yield Part(here, [], False)
                for element in self._list():
                    yield Part(here, element, True)
            elif sign == "{" and len(here) < _DEPTH:
                yield from self._object(here)
            else:
                yield Part(here, self._element(), False)
            sign = self._next_sign()
            if sign == "}":
                self._at += 1
                return
            if sign != ",":
                raise self._not_json("Expecting ',' delimiter", self._at)
            self._at += 1

    def _list(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        self._at += 1
        if self._next_sign() == "]":
            self._at += 1
            return
        while True:
            yield self._element()
            sign = self._next_sign()
            if sign == "]":
                self._at += 1
                return
            if sign != ",":
                raise self._not_json("Expecting ',' delimiter", self._at)
            self._at += 1
            self._next_sign()

    def _element(self) -> Any:
        """The value that begins here; of one that goes on, twice as much is read each time."""
        while True:
            try:
                with reading_json():
                    value, end = _decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                far = error.pos < len(self._text) - _LONGEST_WORD
                if self._ended or (far and not error.msg.startswith(_OPEN_STRING)):
                    raise self._not_json(error.msg, error.pos) from error
            except BadFieldError:
                # The number that was refused may go on.
                if self._ended or self._text[-1:] not in _NUMBER:
                    raise
            else:
                # Of a number, "e-" may be behind what is a number already.
                if end + 2 < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def _end(self) -> None:
        if self._next_sign():
            raise self._not_json("Extra data", self._at)

    def _next_sign(self) -> str:
        """The next character that is no white space, not consumed; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None  # no white space is a match, too
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def _fill(self) -> None:
        """Read more, at least as much as is held; what was consumed is dropped."""
        text, at = self._text, self._at
        lines = text.count("\n", 0, at)
        self._line += lines
        self._column = at - text.rindex("\n", 0, at) if lines else self._column + at
        held = text[at:]
        self._text, self._at = held + self._more(max(CHUNK, len(held))), 0

    def _more(self, size: int) -> str:
        data, self._begun = self._begin[self._begun : self._begun + size], self._begun + size
        if not data:
            self._begin = b""
            data = self._read(size)
        self._ended = not data
        # Bytes of a character that is not complete are kept in the decoder.
        kept = len(self._decode.getstate()[0])
        try:
            text = self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            offset = self._fed - kept + error.start
            bad = f"byte 0x{found:02x} at offset {offset}"
            raise BadFieldError("line", f"expected UTF-8, found {bad}") from error
        self._fed += len(data)
        return text

    def _not_json(self, problem: str, at: int) -> BadFieldError:
        lines = self._text.count("\n", 0, at)
        column = at - self._text.rindex("\n", 0, at) if lines else self._column + at
        line = self._line + lines
        place = f"line {line} " if line > 1 else ""
        return BadFieldError("line", f"not JSON: {problem} at {place}column {column}")


def _assembled(parts: list[Part]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value, is_element in parts:
        if not path:
            continue
        holder: Any = root
        for key in path[:-1]:
            holder = holder[key]
        if is_element:
            holder[path[-1]].append(value)
        else:
            # Parts may be assembled again: what they hold is not changed.
            holder[path[-1]] = list(value) if value == [] else dict(value) if value == {} else value
    return root


@contextmanager
def _one_document() -> Iterator[None]:
    try:
        yield
    except BadFieldError as error:
        raise InvalidInputError(
            "source",
            f"the input is not one usable JSON document: {error.problem}",
            fix="Export it again; or, if it has one message a line, read it as format jsonl.",
            cause=error,
        ) from error


_decoder = strict_decoder()
