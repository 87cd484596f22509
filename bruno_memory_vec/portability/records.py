"""What the readers yield, and the checks and conversions that they share."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal
from uuid import UUID, uuid5

from bruno_core.models.message import Message, MessageRole, MessageType
from pydantic import ValidationError

#: Namespace of derived ids. If it changed, a second ingest would store every message without an id
#: again.
_NAMESPACE = UUID("5b1c2b0e-2f0f-5a39-8d6b-7f5f3c1d9a42")
#: Stores write metadata with recursive encoders, which run out of stack near 1,000 levels.
_MAX_DEPTH = 64
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s*(?:([Zz])|([+-])(\d\d):?([0-5]\d)?)?",
    re.ASCII,
)
_JSON_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text"}


#: What a :class:`Turn` holds.
Kind = Literal["message", "memory", "document"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, ready for ``store_message``.

    Attributes:
        conversation_id: the conversation it belongs to.
        user_id: whose conversation it is; None when neither the data nor the caller said.
        message: the message, its timestamp naive UTC as bruno-core has it.
        line: 1-based line of the input; None when the input is one JSON document.
        timed: whether the source says when it was; else the timestamp is the time of reading.
        position: its place within its conversation, from 0; None when the reader does not count.
        source_id: the id that the source gives it, whatever its form; None when it gives none.
        place: the file it is from, with its path inside of a folder or an archive; "" of a stream.
        kind: "message" for what somebody said; "memory" for what another memory holds about a user
            (mem0); "document" for a part of a text or a note.
    """

    conversation_id: str
    user_id: str | None
    message: Message
    line: int | None
    timed: bool = True
    position: int | None = None
    source_id: str | None = None
    place: str = ""
    kind: Kind = "message"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A part of the input that could not be used.

    Attributes:
        line: 1-based line of the input; None when the input is one JSON document.
        where: the field, or the path to it, such as ``messages[3].content``.
        problem: what is wrong with it and what was expected.
        place: as of a :class:`Turn`.
    """

    line: int | None
    where: str
    problem: str
    place: str = ""


class BadFieldError(Exception):
    """A field cannot be used. Readers catch it and yield a :class:`BadLine`."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}")

    def at(self, line: int | None, prefix: str = "") -> BadLine:
        """Return the line to report; ``prefix`` is the path to the object with the field."""
        return BadLine(line, f"{prefix}{self.where}", self.problem)


@dataclass(slots=True)
class Defaults:
    """The caller's defaults, and the counters of one reading.

    Attributes:
        conversation_id, user_id: the caller's, for messages that name none.
        source_name: what a conversation is called that has no name at all.
        place: the file that is read; see :class:`Turn`.
        left_out: what was left out on purpose, such as "reasoning", and how often.
    """

    conversation_id: str | None
    user_id: str | None
    source_name: str
    place: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    _now: datetime = field(
        default_factory=lambda: datetime.now(timezone.utc).replace(tzinfo=None), init=False
    )
    _undated: int = field(default=0, init=False)

    def now(self) -> datetime:
        """Return the time of reading, a microsecond later at each call.

        So messages without a timestamp keep the order of the input when they are sorted by time.
        """
        self._undated += 1
        return self._now + timedelta(microseconds=self._undated)


def make_turn(
    defaults: Defaults,
    *,
    conversation_id: str,
    user_id: str | None,
    position: int,
    role: MessageRole,
    content: str,
    timestamp: datetime | None,
    line: int | None,
    metadata: dict[str, Any] | None = None,
    message_id: UUID | None = None,
    message_type: MessageType = MessageType.TEXT,
    parent_id: UUID | None = None,
    source_id: str | None = None,
    kind: Kind = "message",
) -> Turn:
    """Build a turn from checked fields. ``position`` counts within the conversation, from 0.

    Raises:
        BadFieldError: the message model refuses a field.
    """
    text = content.strip()
    try:
        message = Message(
            id=message_id or _derived_id(user_id, conversation_id, position, role, text),
            role=role,
            content=text,
            message_type=message_type,
            timestamp=timestamp or defaults.now(),
            metadata=metadata or {},
            parent_id=parent_id,
            conversation_id=conversation_id,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadFieldError(where or "message", first["msg"]) from error
    return Turn(
        conversation_id,
        user_id,
        message,
        line,
        timed=timestamp is not None,
        position=position,
        source_id=source_id,
        place=defaults.place,
        kind=kind,
    )


def parse_json(data: bytes) -> Any:
    """Parse strict JSON: UTF-8, no key twice in an object, no NaN or infinity.

    Raises:
        BadFieldError: with ``where`` "line", saying what is wrong.
    """
    try:
        with reading_json():
            return _decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        bad = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise BadFieldError("line", f"expected UTF-8, found {bad}") from error
    except json.JSONDecodeError as error:
        at = f"line {error.lineno} " if error.lineno > 1 else ""
        raise BadFieldError("line", f"not JSON: {error.msg} at {at}column {error.colno}") from error


def strict_decoder() -> json.JSONDecoder:
    """A decoder that refuses a key twice in an object, NaN and infinity."""
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
    )


@contextmanager
def reading_json() -> Iterator[None]:
    """Around a decoder: what it raises besides errors of JSON and UTF-8 becomes a BadFieldError."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise BadFieldError("line", "nested too deeply to be read") from None
    except ValueError as error:
        # A number with thousands of digits, which Python refuses to convert.
        raise BadFieldError("line", f"not usable JSON: {error}") from error


def check_text(value: Any, where: str) -> str:
    """Return ``value`` if it is text that can be stored.

    Raises:
        BadFieldError: it is not text, blank, or holds a NUL or half a surrogate pair.
    """
    if not isinstance(value, str):
        raise BadFieldError(where, f"expected text, got {json_type(value)}")
    problem = why_not_stored(value)
    if problem:
        raise BadFieldError(where, problem)
    return value


def why_not_stored(text: str) -> str | None:
    """Say why this text cannot be stored, or None if it can."""
    if not text.strip():
        return "expected text, got nothing but white space" if text else "expected text, got ''"
    return _unstorable(text)


def check_metadata(value: Any, where: str = "metadata") -> dict[str, Any]:
    """Return ``value`` if it is an object that can be stored; None gives an empty one.

    Raises:
        BadFieldError: another type, text that cannot be stored, or too many levels.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadFieldError(where, f"expected an object, got {json_type(value)}")
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise BadFieldError(where, f"nested more than {_MAX_DEPTH} levels deep")
        if isinstance(item, str) and (problem := _unstorable(item)):
            raise BadFieldError(where, problem)
        if isinstance(item, dict):
            pending.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            pending.extend((part, depth + 1) for part in item)
    return value


def check_time(value: Any, where: str = "timestamp") -> datetime | None:
    """Return ISO 8601 text or epoch seconds as naive UTC; None stays None.

    A time without an offset is taken as UTC, and a date alone as its midnight. The text is parsed
    here because Python 3.10's ``fromisoformat`` reads neither "Z" nor "+0200".

    Raises:
        BadFieldError: it is neither, or outside the years 1 to 9999.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(value, where)
    expected = "expected ISO 8601 (2025-10-03T18:50:00Z) or epoch seconds"
    if not isinstance(value, str):
        raise BadFieldError(where, f"{expected}, got {json_type(value)}")
    match = _TIME.fullmatch(value.strip())
    if match is None:
        raise BadFieldError(where, f"{expected}, got {_short(value)}")
    year, month, day, hour, minute, second, fraction, _, sign, off_h, off_m = match.groups("0")
    try:
        offset = timedelta(hours=int(off_h), minutes=int(off_m))
        time = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second),
            int(fraction.ljust(6, "0")[:6]),
            timezone(-offset if sign == "-" else offset),
        )  # fmt: skip
        return time.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise BadFieldError(where, f"{expected}, got {_short(value)} ({error})") from error


def check_uuid(value: Any, where: str) -> UUID | None:
    """Return UUID text as a UUID; None stays None.

    Raises:
        BadFieldError: it is no UUID.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    got = _short(value) if isinstance(value, str) else json_type(value)
    raise BadFieldError(where, f"expected a UUID, got {got}")


def json_type(value: Any) -> str:
    """Return the JSON name of a value's type, with an article."""
    if value is None:
        return "null"
    return _JSON_NAMES.get(type(value), "a list" if isinstance(value, list) else "an object")


def _derived_id(
    user_id: str | None, conversation_id: str, position: int, role: MessageRole, content: str
) -> UUID:
    # JSON, because unlike a joined string it is different for different tuples.
    name = json.dumps([user_id, conversation_id, position, role.value, content])
    return uuid5(_NAMESPACE, name)


def _unstorable(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character, which not every store can keep"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return f"holds half a surrogate pair (\\u{code:04x}), which is not valid Unicode"
    return None


def _from_epoch(value: float, where: str) -> datetime:
    try:
        # Not fromtimestamp, whose range is the platform's.
        time = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=value)
        return time.replace(tzinfo=None)
    except (OverflowError, ValueError) as error:
        hint = ", which looks like milliseconds" if 1e11 < abs(value) < 1e14 else ""
        problem = f"expected epoch seconds, got a number out of range{hint}"
        raise BadFieldError(where, problem) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        count = Counter(key for key, _ in pairs)
        twice = next(key for key in count if count[key] > 1)
        raise BadFieldError("line", f"the key {_short(twice)} is there twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise BadFieldError("line", f"{name} is not JSON; use null or a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadFieldError("line", f"the number {_short(text)} is too large")
    return value


_decoder = strict_decoder()


def _short(text: str) -> str:
    shown = ascii(text) if _unstorable(text) else repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
