"""What a reader is, and what readers share to get at the elements of an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines, is_line_by_line
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn


@dataclass(frozen=True, slots=True)
class Reader:
    """The reader of one format.

    Attributes:
        name: what ``format=`` calls it.
        title: what it is, in words: "ChatGPT's export".
        wants: what its objects have, by which the nearest reader of an unknown file is found.
        recognises: whether an input is of this format, by its beginning.
        turns: yields a turn for each message that can be used, and a bad line for each that cannot,
            in the order of the input. It raises InvalidInputError for an input that cannot be used
            as a whole.
    """

    name: str
    title: str
    wants: tuple[str, ...]
    recognises: Callable[[Head], bool]
    turns: Callable[[Lines, Defaults], Iterator[Turn | BadLine]]


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an input: of a JSON list, a line, or the one JSON document.

    Attributes:
        value: the JSON value.
        line: its line; None in a document.
        path: to it, for reports: "[3]"; "" of a line and of the one document.
        ordinal: its place among the others, from 1; None of the one document.
    """

    value: Any
    line: int | None
    path: str
    ordinal: int | None

    def within(self, where: str) -> str:
        """The path to what is within it."""
        return f"{self.path}.{where}" if self.path else where


def elements(lines: Lines) -> Iterator[Element | BadLine]:
    """The elements of a JSON document or of JSON lines; a line that is no JSON is a bad one.

    Raises:
        InvalidInputError: a document is broken.
    """
    if is_line_by_line(lines):
        for ordinal, line in enumerate(lines, start=1):
            if line.too_long:
                yield BadLine(line.number, "line", line.too_long)
                continue
            try:
                yield Element(records.parse_json(line.data), line.number, "", ordinal)
            except BadFieldError as error:
                yield error.at(line.number)
        return
    document = lines.stream()
    if document.is_list():
        for ordinal, value in enumerate(document.items(), start=1):
            yield Element(value, None, f"[{ordinal - 1}]", ordinal)
        return
    yield Element(document.value(), None, "", None)


def objects(lines: Lines) -> Iterator[tuple[dict[str, Any], Element] | BadLine]:
    """As :func:`elements`, of which each has to be an object."""
    for element in elements(lines):
        if isinstance(element, BadLine):
            yield element
        elif isinstance(element.value, dict):
            yield element.value, element
        else:
            got = records.json_type(element.value)
            yield BadLine(element.line, element.path or "line", f"expected an object, got {got}")


def whole_object(lines: Lines, title: str) -> dict[str, Any]:
    """The one JSON document, an object.

    Raises:
        InvalidInputError: it is broken, or something else.
    """
    value = lines.document()
    if not isinstance(value, dict):
        raise InvalidInputError(
            "source",
            f"expected {title}, an object, and found {records.json_type(value)}",
            fix="Give the file as it was exported.",
        )
    return value


def text_of(value: Any) -> str | None:
    """Text that holds something, an integer as text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def word_of(value: Any) -> str:
    """Text as it is; "" for anything else, which is no word of a format."""
    return value if isinstance(value, str) else ""


def object_of(value: Any) -> dict[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else []
