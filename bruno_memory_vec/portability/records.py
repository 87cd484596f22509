"""What the readers yield, and the checks and conversions that they share."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal
from uuid import UUID, uuid5

from bruno_core.models.message import Message, MessageRole, MessageType
from pydantic import ValidationError

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.times import Days, NoTimeError, read_time

#: Namespace of derived ids. If it changed, a second ingest would store every message without an id
#: again.
_NAMESPACE = UUID("5b1c2b0e-2f0f-5a39-8d6b-7f5f3c1d9a42")
#: Stores write metadata with recursive encoders, which run out of stack near 1,000 levels.
MAX_DEPTH = 64
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
        file_name: what the file is called, where the conversation has no name but that, or that
            and its number in the file; None where it has one of its own.
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
    file_name: str | None = None


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
    """The caller's defaults, and what one reading, of one file or of several, remembers.

    Attributes:
        conversation_id, user_id: the caller's, for messages that name none.
        source_name: what a conversation is called that has no name at all.
        place: the file that is read; see :class:`Turn`.
        left_out: what was left out on purpose, such as "reasoning", and how often.
        replace_user: whether ``user_id`` counts more than a user that the data names.
        days: how the file that is read writes days such as 3/4/2024.
        inner: the path of the file that is read within the folder or archive that was given.
        beside: a file by its path from the folder of the one that is read; None if there is none.
    """

    conversation_id: str | None
    user_id: str | None
    source_name: str
    place: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    replace_user: bool = False
    days: Days = field(default_factory=Days)
    inner: str = ""
    beside: Callable[[str], bytes | None] = field(default=lambda path: None)
    _now: datetime = field(
        default_factory=lambda: datetime.now(timezone.utc).replace(tzinfo=None), init=False
    )
    _undated: int = field(default=0, init=False)
    _positions: dict[tuple[str | None, str], int] = field(default_factory=dict, init=False)
    _last_times: dict[str, datetime] = field(default_factory=dict, init=False)
    _account: str | None = field(default=None, init=False)

    def now(self) -> datetime:
        """Return the time of reading, a microsecond later at each call.

        So messages without a timestamp keep the order of the input when they are sorted by time.
        """
        self._undated += 1
        return self._now + timedelta(microseconds=self._undated)

    def position(self, user_id: str | None, conversation_id: str) -> int:
        """The next place in a conversation, from 0."""
        place = self._positions.get((user_id, conversation_id), 0)
        self._positions[user_id, conversation_id] = place + 1
        return place

    def time_of(
        self, conversation_id: str, given: datetime | None, since: datetime | None = None
    ) -> datetime:
        """The time of a message: what the source gives, else just after the one before it.

        Args:
            conversation_id: its conversation.
            given: what the source says.
            since: when the conversation began, as far as the source says.
        """
        if given is None:
            before = self._last_times.get(conversation_id, since)
            if before is None:
                return self.now()
            given = before + timedelta(microseconds=1) if before.year < 9999 else before
        self._last_times[conversation_id] = given
        return given

    def user(self, named: str | None, *, account: bool = False) -> str | None:
        """Whose a message is.

        Args:
            named: the user that the data names.
            account: it is the number of an account rather than a name. One account's data may be
                given to the caller's ``user_id``; that of two is never put together.

        Raises:
            InvalidInputError: the data names another user than the caller.
        """
        if named is None or self.user_id is None or self.replace_user:
            return named if self.user_id is None else self.user_id
        if account:
            self._account = self._account or named
            if named == self._account:
                return self.user_id
        elif named == self.user_id:
            return named
        what = "is of more than one account" if account else f"names the user {_short(named)}"
        raise InvalidInputError(
            "user_id",
            f"the source {what}, and {_short(self.user_id)} was to be its user",
            fix="Leave the user out (--user), or have it replaced: replace_user=True "
            "(--replace-user).",
        )


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
    since: datetime | None = None,
) -> Turn:
    """Build a turn from checked fields. ``position`` counts within the conversation, from 0.

    ``since`` is when its conversation began, as far as the source says. A message without a time is
    put a microsecond behind the one before it, or at that time.

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
            timestamp=defaults.time_of(conversation_id, timestamp, since),
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
        file_name=_file_name(defaults, conversation_id),
    )


def _file_name(defaults: Defaults, conversation_id: str) -> str | None:
    file = defaults.source_name
    if defaults.conversation_id is not None or not conversation_id.startswith(file):
        return None
    number = conversation_id[len(file) :]
    return file if not number or (number[0] == "/" and number[1:].isdecimal()) else None


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


def storable(text: str) -> str:
    """A text without NUL characters, and with marks in place of halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


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
        if depth > MAX_DEPTH:
            raise BadFieldError(where, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, str) and (problem := _unstorable(item)):
            raise BadFieldError(where, problem)
        if isinstance(item, dict):
            pending.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            pending.extend((part, depth + 1) for part in item)
    return value


def check_time(value: Any, where: str = "timestamp", days: Days | None = None) -> datetime | None:
    """Return a time as naive UTC, in any way that :mod:`.times` reads; nothing gives None.

    Raises:
        BadFieldError: it is no time, or outside the years 1 to 9999.
        InvalidInputError: it is a date such as 3/4/2024, and nothing says what comes first.
    """
    try:
        return read_time(value, days)
    except NoTimeError as error:
        got = "" if isinstance(value, (str, int, float)) else f", got {json_type(value)}"
        if isinstance(value, bool):
            got = ", got true or false"
        raise BadFieldError(where, f"{error}{got}") from error


def check_name(value: Any, where: str) -> str | None:
    """Return the name or id of something: text, or an integer as text; None stays None.

    Raises:
        BadFieldError: it is something else, blank, or text that cannot be stored.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return check_text(value, where)


def needed_name(value: Any, where: str) -> str:
    """As :func:`check_name`, of something that has to be there.

    Raises:
        BadFieldError: it is missing, or as of :func:`check_name`.
    """
    name = check_name(value, where)
    if name is None:
        raise BadFieldError(where, "is missing")
    return name


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
