"""The library's own export: JSON lines that hold everything of a store, exactly.

The first line is a header, by which such a file is known; the last one says how many lines there
were, so that a file that was cut is noticed. In between, one object a line::

    {"bruno_memory_vec_export":1,"exported_at":"...","fingerprint":{...},"vectors":false,...}
    {"kind":"message","id":"...","user_id":"ada","conversation_id":"talk","turn":0,...}
    {"kind":"memory",...}
    {"kind":"conversation","conversation_id":"talk","user_id":"ada","next_turn":1}
    {"kind":"session",...} {"kind":"profile",...} {"kind":"note",...}
    {"kind":"end","lines":1042}

Times are UTC with microseconds. ``metadata`` and ``extra`` are as the rows have them: JSON, with
tagged objects for what plain JSON would change (:mod:`bruno_memory_vec.rows.tagged_json`). What
follows from the text (its length, its cues, its checksum) is not in the file, nor is ``seq``: the
order of the lines says it. A vector is the base64 of its float32 values, little-endian.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from bruno_core.models.memory import MemoryType
from bruno_core.models.message import MessageRole, MessageType
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import CHECKSUM, MEMORY, MESSAGE, ORIGINS, micros
from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.records import BadFieldError
from bruno_memory_vec.rows import checks, tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, count_words, cues, utc

#: The key by which the header is known; its value is the version of the format.
MARK = "bruno_memory_vec_export"
VERSION = 1

#: The kinds of lines besides the rows.
CONVERSATION, SESSION, PROFILE, NOTE, END = "conversation", "session", "profile", "note", "end"

_TIMES = ("created_at", "updated_at", "last_accessed", "expires_at", "pinned_at", "archived_at")
# What a row has that a line leaves out where it is as here.
_USUAL: Mapping[str, Any] = {
    "tags": [],
    "confidence": 1.0,
    "access_count": 0,
    "metadata": {},
    "message_type": MessageType.TEXT.value,
}
# In this order: what people look for comes first.
_FIELDS = (
    "kind",
    "id",
    "user_id",
    "conversation_id",
    "turn",
    "role",
    "memory_type",
    "created_at",
    "content",
    "metadata",
    "tags",
    "importance",
    "confidence",
    "category",
    "source",
    "origin",
    "message_type",
    "parent_id",
    "pinned_at",
    "archived_at",
    "expires_at",
    "updated_at",
    "last_accessed",
    "access_count",
    "extra",
)
_KNOWN = {*_FIELDS, "metadata_text", "extra_text", "vector"}
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_stored_json = json.JSONEncoder(separators=(",", ":")).encode
# Far below 2**63, as for what is stored.
_MOST = 2**53
#: Bytes of a first line.
LONGEST_HEADER = 2**20


def header_of(first_line: bytes | str) -> dict[str, Any] | None:
    """The header of an export, by the first line of a file; None where it is no export.

    A file of a newer version has a header, too: :func:`check_version` refuses it.
    """
    text = first_line.decode("utf-8", "replace") if isinstance(first_line, bytes) else first_line
    text = text.lstrip("\ufeff").strip()
    if not text.startswith("{") or MARK not in text[:200]:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and MARK in value else None


def is_export(first_line: bytes | str) -> bool:
    """Whether a file is an export of this library, by its first line."""
    return header_of(first_line) is not None


def is_export_file(path: str | Path) -> bool:
    """Whether a file is an export of this library, as it is or packed by gzip."""
    if not Path(path).is_file():  # what is read of a pipe is gone
        return False
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as lines:
            return is_export(lines.readline(LONGEST_HEADER))
    except (OSError, EOFError, zlib.error):
        return False  # whoever reads it says why it cannot be read


def check_version(header: Mapping[str, Any], name: str) -> None:
    """Refuse an export of another version.

    Raises:
        InvalidInputError: naming it.
    """
    if header[MARK] != VERSION:
        raise InvalidInputError(
            "path",
            f"{name} is an export of format {header[MARK]!r}, and this version reads {VERSION}",
            fix="Install a newer version of bruno-memory-vec.",
        )


def line_of(row: Row, vector: NDArray[np.float32] | None = None) -> str:
    """A row as a line, without its end.

    Args:
        row: with its times in microseconds, as :func:`~.models.from_table` gives it.
        vector: float32 (d,), to have it in the line.
    """
    held: dict[str, Any] = {}
    for name in _FIELDS:
        value = row[name]
        if value is None:
            continue
        if name in _TIMES:
            held[name] = time_text(value)
        elif name in ("metadata", "extra"):
            if value != "{}":
                _put_json(held, name, value)
        elif name not in _USUAL or value != _USUAL[name]:
            held[name] = value
    for name in ("updated_at", "last_accessed"):
        if held[name] == held["created_at"]:
            del held[name]
    if vector is not None:
        held["vector"] = base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
    return _json(held)


def row_of(held: Mapping[str, Any]) -> Row:
    """The row of a line, still without ``seq`` and checksum.

    Raises:
        BadFieldError: a field is missing, unknown or not usable.
    """
    unknown = sorted(held.keys() - _KNOWN)
    if unknown:
        raise BadFieldError(unknown[0], "is no field of an export")
    kind = held.get("kind")
    is_message = kind == MESSAGE
    content = _checked("content", held, checks.storable_text)
    metadata = _json_field(held, "metadata") or "{}"
    decoded = tagged_json.loads(metadata)
    if not isinstance(decoded, dict):
        raise BadFieldError("metadata", "expected an object")
    created = _time(held, "created_at")
    if created is None:
        raise BadFieldError("created_at", "is missing")
    conversation = None
    if is_message or held.get("conversation_id") is not None:
        conversation = _checked("conversation_id", held, checks.identifier)
    parent = held.get("parent_id")
    row: Row = {
        "id": _uuid(held.get("id"), "id"),
        "kind": kind,
        "user_id": _checked("user_id", held, checks.identifier),
        "conversation_id": conversation,
        "turn": _number(held, "turn", None) if is_message else None,
        "role": _one_of(held, "role", MessageRole) if is_message else None,
        "message_type": _one_of(held, "message_type", MessageType) if is_message else None,
        "memory_type": _one_of(held, "memory_type", MemoryType) if kind == MEMORY else None,
        "content": content,
        "words": count_words(content),
        **cues(content, decoded),
        "metadata": metadata,
        "metadata_pairs": pairs_of(decoded),
        "extra": _json_field(held, "extra"),
        "source": _text(held, "source"),
        "category": _label(held, "category"),
        "tags": _tags(held),
        "importance": _checked("importance", held, checks.unit_interval),
        "confidence": _checked("confidence", {"confidence": 1.0, **held}, checks.unit_interval),
        "parent_id": None if parent is None else _uuid(parent, "parent_id"),
        "origin": _origin(held),
        "created_at": created,
        "updated_at": _time(held, "updated_at", created),
        "last_accessed": _time(held, "last_accessed", created),
        "access_count": _number(held, "access_count", 0),
        "expires_at": _time(held, "expires_at"),
        "pinned_at": _time(held, "pinned_at"),
        "archived_at": _time(held, "archived_at"),
        "seq": None,
        CHECKSUM: None,
    }
    if is_message and row["turn"] is None:
        raise BadFieldError("turn", "is missing")
    return row


def vector_of(held: Mapping[str, Any], dimension: int) -> NDArray[np.float32]:
    """The vector of a line, float32 (d,).

    Raises:
        BadFieldError: it is missing, no base64, or of another length.
    """
    text = held.get("vector")
    if not isinstance(text, str):
        raise BadFieldError("vector", "is missing")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadFieldError("vector", f"is no base64: {error}") from error
    if len(data) != 4 * dimension:
        raise BadFieldError("vector", f"has {len(data)} bytes, expected {4 * dimension}")
    found = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise BadFieldError("vector", "holds what is no number")
    return found


def time_text(value: int) -> str:
    """Microseconds since 1970 as ISO 8601, UTC, always with six digits of a second."""
    return utc(value).isoformat(timespec="microseconds").replace("+00:00", "Z")


def json_line(value: Mapping[str, Any]) -> str:
    """Any other line: an object as JSON on one line."""
    return _json(value)


def embedded_json(text: str) -> Any:
    """JSON as the store keeps it, to stand within a line.

    Raises:
        ValueError: it has numbers that plain JSON cannot have, and is to stay a text.
    """
    return json.loads(text, parse_constant=_refuse)


def stored_text(value: Any) -> str:
    """What :func:`embedded_json` was given."""
    return _stored_json(value)


def _put_json(held: dict[str, Any], name: str, text: str) -> None:
    try:
        held[name] = embedded_json(text)
    except ValueError:
        held[f"{name}_text"] = text


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _json_field(held: Mapping[str, Any], name: str) -> str | None:
    text = held.get(f"{name}_text")
    if text is None:
        value = held.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise BadFieldError(name, f"expected an object, got {records.json_type(value)}")
        text = _stored_json(value)
    try:
        if not isinstance(text, str):
            raise ValueError(f"expected text, got {records.json_type(text)}")
        # What cannot be read back is refused here, not at the first recall.
        tagged_json.dumps(tagged_json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, ArithmeticError) as error:
        raise BadFieldError(name, f"cannot be read: {error!r}") from error
    return text


def _checked(name: str, held: Mapping[str, Any], check: Callable[[str, Any], Any]) -> Any:
    if name not in held:
        raise BadFieldError(name, "is missing")
    try:
        return check(name, held[name])
    except InvalidInputError as error:
        problem = str(error.message).removesuffix(error.fix).strip().rstrip(".")
        raise BadFieldError(name, problem.removeprefix(f"{name}: ")) from error


def _one_of(held: Mapping[str, Any], name: str, enum: type[Enum]) -> str:
    value = held.get(name, _USUAL.get(name))
    known = [str(member.value) for member in enum]
    if value not in known:
        raise BadFieldError(name, f"expected one of {', '.join(known)}, got {checks.shown(value)}")
    return str(value)


def _origin(held: Mapping[str, Any]) -> str:
    value = held.get("origin")
    if value not in ORIGINS:
        raise BadFieldError(
            "origin", f"expected one of {', '.join(ORIGINS)}, got {checks.shown(value)}"
        )
    return str(value)


def _label(held: Mapping[str, Any], name: str) -> str | None:
    if held.get(name) is None:
        return None
    found: str = _checked(name, held, checks.label)
    return found


def _text(held: Mapping[str, Any], name: str) -> str | None:
    if held.get(name) is None:
        return None
    found: str = _checked(
        name, held, lambda field, value: checks.storable_text(field, value, blank=True)
    )
    return found


def _tags(held: Mapping[str, Any]) -> list[str]:
    value = held.get("tags", [])
    if not isinstance(value, list):
        raise BadFieldError("tags", f"expected a list, got {records.json_type(value)}")
    return [_checked("tags", {"tags": tag}, checks.label) for tag in value]


def _number(held: Mapping[str, Any], name: str, usual: int | None) -> int | None:
    value = held.get(name, usual)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise BadFieldError(name, f"expected a whole number, got {checks.shown(value)}")
    return value


def _uuid(value: Any, where: str) -> str:
    found = records.check_uuid(value, where)
    if found is None:
        raise BadFieldError(where, "is missing")
    return str(found)


def _time(held: Mapping[str, Any], name: str, usual: int | None = None) -> int | None:
    found: datetime | None = records.check_time(held.get(name), name)
    return usual if found is None else micros(found.replace(tzinfo=timezone.utc))
