"""One message a line: the library's own way to write a conversation down.

::

    {"conversation_id": "lisbon-trip", "role": "user", "content": "Where did we stay?",
     "timestamp": "2025-10-03T18:50:00Z", "user_id": "ana", "metadata": {"channel": "phone"}}

``conversation_id`` (unless the caller gives one), ``role`` and ``content`` are needed. Optional:
``timestamp`` (:mod:`bruno_memory_vec.portability.times`; UTC where no offset is given),
``user_id``, ``metadata`` (an object), ``id`` and ``parent_id`` (of any form; UUIDs are kept as
they are), ``message_type``. A null counts as absent. What others call these fields is understood
(``session_id``, ``text``, ``sender``, ``ts`` and so on), if our own name is not there. Any other
key is an error; otherwise a misspelt ``timestamp`` would be silently ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from bruno_core.models.message import MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import records, times
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.readers.talk import role_in, uuid_of
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

_KEYS = (
    "conversation_id",
    "user_id",
    "role",
    "content",
    "timestamp",
    "metadata",
    "id",
    "message_type",
    "parent_id",
)
#: Other exports' names of our keys: read as ours where ours is absent.
_OTHER_NAMES = {
    "author": "role",
    "body": "content",
    "chat_id": "conversation_id",
    "message": "content",
    "message_id": "id",
    "sender": "role",
    "session": "conversation_id",
    "session_id": "conversation_id",
    "speaker": "role",
    "text": "content",
    "thread_id": "conversation_id",
    "userId": "user_id",
    "uuid": "id",
} | {key: "timestamp" for key in times.KEYS if key != "timestamp"}

_LONGEST_SHOWN = 60
# Of so many lines it is seen whether all of them have a key that is none.
_FIRST_LINES, _FEWEST_LINES = 20, 3

_E = TypeVar("_E", bound=Enum)


def recognises(head: Head) -> bool:
    """Lines with a role and a content, under whatever name."""
    if head.shape != "lines":
        return False
    return any({"role", "content"} <= set(renamed(sample)) for sample in head.objects)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield a turn or a bad line for every line that is not blank.

    Raises:
        InvalidInputError: all of the first lines have the same key that is none of this format.
    """
    _refuse_strange(lines)
    for line in lines:
        if line.too_long:
            yield BadLine(line.number, "line", line.too_long)
            continue
        try:
            yield _turn(records.parse_json(line.data), line.number, defaults)
        except BadFieldError as error:
            yield error.at(line.number)


def _refuse_strange(lines: Lines) -> None:
    """Say once, and not line by line, what no line can be used for."""
    common: set[str] | None = None
    shown = lines.head(_FIRST_LINES)
    for line in shown:
        try:
            row = None if line.too_long else records.parse_json(line.data)
        except BadFieldError:
            return
        if not isinstance(row, dict):
            return
        strange = {key for key in renamed(row) if key not in _KEYS}
        common = strange if common is None else common & strange
    if common and len(shown) >= _FEWEST_LINES:
        key = min(common)
        raise InvalidInputError(
            "source",
            f"each line has the key {_shown(key)!r}, which {_unknown_key(key)}",
            fix="docs/importing.md lists the keys and the other formats.",
        )


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with our names of what others call otherwise; what is there under both stays."""
    if all(key in _KEYS for key in row):
        return row
    found: dict[str, Any] = {}
    for key, value in row.items():
        ours = _OTHER_NAMES.get(key, key)
        taken = ours in found or (ours != key and row.get(ours) is not None)
        if taken and value is None:
            continue
        found[key if taken else ours] = value
    return found


def _turn(row: Any, line: int, defaults: Defaults) -> Turn:
    if not isinstance(row, dict):
        raise BadFieldError("line", f"expected an object, got {records.json_type(row)}")
    row = renamed(row)
    unknown = next((key for key in row if key not in _KEYS), None)
    conversation = records.check_name(row.get("conversation_id"), "conversation_id")
    conversation = conversation or defaults.conversation_id
    user = defaults.user(records.check_name(row.get("user_id"), "user_id"))
    position = 0
    if conversation is not None:
        # Counted before anything else can fail: a later correction of a bad line must not change
        # the positions of the lines after it.
        position = defaults.position(user, conversation)
    if unknown is not None:
        raise BadFieldError(_shown(unknown), _unknown_key(unknown))
    if conversation is None:
        raise BadFieldError("conversation_id", "is missing; the line has to name its conversation")
    for needed in ("role", "content"):
        if row.get(needed) is None:
            raise BadFieldError(needed, "is missing")
    metadata = records.check_metadata(row.get("metadata"))
    source_id = records.check_name(row.get("id"), "id")
    parent = records.check_name(row.get("parent_id"), "parent_id")
    if parent is not None and uuid_of(parent) is None:
        metadata = {**metadata, "parent_id": parent}
    return records.make_turn(
        defaults,
        conversation_id=conversation,
        user_id=user,
        position=position,
        role=role_in(row["role"]),
        content=records.check_text(row["content"], "content"),
        timestamp=records.check_time(row.get("timestamp"), days=defaults.days),
        line=line,
        metadata=metadata,
        message_id=uuid_of(source_id),
        message_type=(
            MessageType.TEXT
            if row.get("message_type") is None
            else _choice(MessageType, row["message_type"], "message_type")
        ),
        parent_id=uuid_of(parent),
        source_id=source_id,
    )


def _choice(kind: type[_E], value: Any, where: str) -> _E:
    for member in kind:
        if member.value == value:
            return member
    expected = ", ".join(str(member.value) for member in kind)
    got = _shown(value) if isinstance(value, str) else records.json_type(value)
    raise BadFieldError(where, f"expected one of {expected}; got {got}")


def _unknown_key(key: str) -> str:
    if key in ("messages", "mapping"):
        return "is no key of this format; the line looks like a chat, so read it as format openai"
    # A longer key is no misspelling, and comparing megabytes takes seconds.
    close = get_close_matches(key, _KEYS, n=1) if len(key) <= _LONGEST_SHOWN else []
    near = _OTHER_NAMES.get(key.lower()) or next(iter(close), None)
    hint = f"did you mean {near}?" if near else "put what else you know into metadata"
    return f"is no key of this format; {hint}"


def _shown(text: str) -> str:
    """Return the text in a short form, with lone surrogates escaped."""
    plain = text.encode("utf-8", "backslashreplace").decode() or '""'
    return plain if len(plain) <= _LONGEST_SHOWN else f"{plain[: _LONGEST_SHOWN - 3]}..."


READER = Reader(
    "jsonl",
    "one message a line, in the library's own format",
    ("conversation_id", "role", "content", "timestamp", "user_id"),
    recognises,
    turns,
)
