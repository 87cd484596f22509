"""JSON without loss of types.

Plain JSON turns a datetime into a string, a tuple into a list and a key 1 into "1". Metadata has to
come back equal, so such values are written as a tagged object (``{"$": "datetime", "v": ...}``),
and values of other types are refused.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.rows.weight import weight

T = TypeVar("T")

_TAG = "$"
_plain = json.JSONEncoder(separators=(",", ":")).encode
# The json module does not release the interpreter lock: some tenths of a millisecond of work.
_WRITTEN_AT_ONCE = 20_000
_TOGETHER = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
# Deep enough for real data. A structure that contains itself is refused here, before a
# RecursionError.
_DEEPEST = 64


def _with_offset(value: datetime | time) -> list[Any]:
    # fromisoformat() loses an offset of less than a second.
    offset = value.utcoffset()
    micros = None if offset is None else offset // timedelta(microseconds=1)
    return [value.replace(tzinfo=None).isoformat(), micros]


def _zone(micros: int | None) -> timezone | None:
    if micros is None:
        return None
    return timezone(timedelta(microseconds=micros)) if micros else timezone.utc


_SCALARS: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    datetime: (
        "datetime",
        _with_offset,
        lambda value: datetime.fromisoformat(value[0]).replace(tzinfo=_zone(value[1])),
    ),
    date: ("date", date.isoformat, date.fromisoformat),
    time: (
        "time",
        _with_offset,
        lambda value: time.fromisoformat(value[0]).replace(tzinfo=_zone(value[1])),
    ),
    timedelta: (
        "timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda value: timedelta(*value),
    ),
    UUID: ("uuid", str, UUID),
    Decimal: ("decimal", str, Decimal),
    bytes: (
        "bytes",
        lambda value: base64.b64encode(value).decode("ascii"),
        lambda value: base64.b64decode(value),
    ),
}
_READERS = {tag: read for tag, _, read in _SCALARS.values()}
_COLLECTIONS: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


def dumps(value: Any) -> str:
    """ASCII JSON of ``value``.

    Raises:
        ValueError: a value in it cannot be written without loss; the message says where it is.
    """
    if value == {} and type(value) is dict:
        return "{}"
    try:
        return _written(_encode(value, "", 0))
    except RuntimeError as error:
        if isinstance(error, RecursionError):
            raise
        # Another task has changed it while it was written in a thread.
        raise ValueError("it was changed while it was being stored") from error


def loads(text: str) -> Any:
    """The value that :func:`dumps` was given."""
    if text == "{}":
        return {}
    return _decode(json.loads(text))


def _written(encoded: Any) -> str:
    """JSON of encoded values; of many, part by part, so that other threads get a chance to run."""
    if weight(encoded, most=_WRITTEN_AT_ONCE) < _WRITTEN_AT_ONCE:
        return _plain(encoded)
    if isinstance(encoded, dict):
        return "{" + ",".join(f"{_plain(key)}:{_written(encoded[key])}" for key in encoded) + "}"
    if isinstance(encoded, list):
        size = _TOGETHER
        parts = (encoded[at : at + size] for at in range(0, len(encoded), size))
        if len(encoded) > size and weight(encoded[:size], most=_WRITTEN_AT_ONCE) < _WRITTEN_AT_ONCE:
            return "[" + ",".join(_written(part)[1:-1] for part in yielding_gil(parts, 1)) + "]"
        return "[" + ",".join(map(_written, yielding_gil(encoded))) + "]"
    return _plain(encoded)


def _encode(value: Any, place: str, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value, place)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth > _DEEPEST:
        raise ValueError(f"{place or 'the value'} is nested more than {_DEEPEST} levels deep")
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        tag, write, _ = scalar
        return {_TAG: tag, "v": write(value)}
    if type(value) is list:
        return [
            _encode(item, f"{place}[{i}]", depth + 1)
            for i, item in enumerate(_items(value, len(value)))
        ]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and _TAG not in value:
            return {
                _text(key, f"{place} key"): _encode(item, f"{place}.{key}", depth + 1)
                for key, item in _items(value.items(), len(value))
            }
        pairs = [
            [_encode(key, f"{place} key", depth + 1), _encode(item, f"{place}.{key}", depth + 1)]
            for key, item in _items(value.items(), len(value))
        ]
        return {_TAG: "dict", "v": pairs}
    tag = type(value).__name__
    if type(value) in _COLLECTIONS.values():
        items = [
            _encode(item, f"{place}[{i}]", depth + 1)
            for i, item in enumerate(_items(value, len(value)))
        ]
        return {_TAG: tag, "v": items}
    raise ValueError(f"{place.lstrip('.') or 'the value'} is a {tag}, which JSON cannot hold")


def _items(values: Iterable[T], count: int) -> Iterable[T]:
    """The items; other threads get a chance to run where they are many."""
    return yielding_gil(values) if count > _TOGETHER else values


def _text(value: str, place: str) -> str:
    # JSON would keep a lone surrogate, but merge two adjacent ones into another character.
    if not value.isascii() and _SURROGATE.search(value):
        raise ValueError(f"{place.lstrip('.') or 'the value'} holds a lone surrogate")
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in _items(value, len(value))]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: _decode(item) for key, item in _items(value.items(), len(value))}
    tag, held = value[_TAG], value["v"]
    if tag == "dict":
        return {_decode(key): _decode(item) for key, item in held}
    if tag in _COLLECTIONS:
        return _COLLECTIONS[tag](_decode(held))
    return _READERS[tag](held)
