"""One message a line.

::

    {"conversation_id": "lisbon-trip", "role": "user", "content": "Where did we stay?",
     "timestamp": "2025-10-03T18:50:00Z", "user_id": "ana", "metadata": {"channel": "phone"}}

``conversation_id`` (unless the caller gives one), ``role`` and ``content`` are needed. Optional:
``timestamp`` (ISO 8601, or epoch seconds; UTC where no offset is given), ``user_id``,
``metadata`` (an object), ``id`` and ``parent_id`` (UUIDs), ``message_type``. A null counts as
absent. Any other key is an error; otherwise a misspelt ``timestamp`` would be silently ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Lines
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
#: Other exports' names of our keys, where similar spelling does not find them.
_OTHER_NAMES = {
    "author": "role",
    "body": "content",
    "created_at": "timestamp",
    "date": "timestamp",
    "message": "content",
    "sender": "role",
    "session": "conversation_id",
    "session_id": "conversation_id",
    "speaker": "role",
    "text": "content",
    "thread_id": "conversation_id",
    "uuid": "id",
}

_LONGEST_SHOWN = 60

_E = TypeVar("_E", bound=Enum)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield a turn or a bad line for every line that is not blank."""
    positions: dict[tuple[str | None, str], int] = {}
    for line in lines:
        if line.too_long:
            yield BadLine(line.number, "line", line.too_long)
            continue
        try:
            yield _turn(records.parse_json(line.data), line.number, defaults, positions)
        except BadFieldError as error:
            yield error.at(line.number)


def _turn(
    row: Any, line: int, defaults: Defaults, positions: dict[tuple[str | None, str], int]
) -> Turn:
    if not isinstance(row, dict):
        raise BadFieldError("line", f"expected an object, got {records.json_type(row)}")
    unknown = next((key for key in row if key not in _KEYS), None)
    conversation = _name(row, "conversation_id", defaults.conversation_id)
    user = _name(row, "user_id", defaults.user_id)
    if conversation is not None:
        # Counted before anything else can fail: a later correction of a bad line must not change
        # the positions, and so the ids, of the lines after it.
        position = positions.get((user, conversation), 0)
        positions[user, conversation] = position + 1
    if unknown is not None:
        raise BadFieldError(_shown(unknown), _unknown_key(unknown))
    if conversation is None:
        raise BadFieldError("conversation_id", "is missing; the line has to name its conversation")
    for needed in ("role", "content"):
        if row.get(needed) is None:
            raise BadFieldError(needed, "is missing")
    return records.make_turn(
        defaults,
        conversation_id=conversation,
        user_id=user,
        position=position,
        role=_choice(MessageRole, row["role"], "role"),
        content=records.check_text(row["content"], "content"),
        timestamp=records.check_time(row.get("timestamp")),
        line=line,
        metadata=records.check_metadata(row.get("metadata")),
        message_id=records.check_uuid(row.get("id"), "id"),
        message_type=(
            MessageType.TEXT
            if row.get("message_type") is None
            else _choice(MessageType, row["message_type"], "message_type")
        ),
        parent_id=records.check_uuid(row.get("parent_id"), "parent_id"),
        source_id=row.get("id"),
    )


def _name(row: dict[str, Any], key: str, default: str | None) -> str | None:
    value = row.get(key)
    return default if value is None else records.check_text(value, key)


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
