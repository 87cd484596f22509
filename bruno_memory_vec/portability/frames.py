"""Hits, messages, memories and lists of them as tables: Arrow, pandas, Polars.

A row for each item, with a column for each of its fields. Times are timestamps in UTC; a naive one
is UTC already. What a hit was ranked by is a column for each signal, ``signal_bm25`` for example.
Metadata are JSON texts, as no two items need have the same. Items of several kinds have the columns
of all, and null where they have no such field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.indexers.schema import TIMESTAMP
from bruno_memory_vec.rows import tagged_json

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_TEXT, _NUMBER, _WHOLE, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_MESSAGE: Mapping[str, pa.DataType] = {
    "id": _TEXT,
    "role": _TEXT,
    "content": _TEXT,
    "message_type": _TEXT,
    "created_at": TIMESTAMP,
    "conversation_id": _TEXT,
    "parent_id": _TEXT,
    "metadata": _TEXT,
}
_MEMORY: Mapping[str, pa.DataType] = {
    "id": _TEXT,
    "memory_type": _TEXT,
    "content": _TEXT,
    "user_id": _TEXT,
    "conversation_id": _TEXT,
    "created_at": TIMESTAMP,
    "updated_at": TIMESTAMP,
    "last_accessed": TIMESTAMP,
    "expires_at": TIMESTAMP,
    "importance": _NUMBER,
    "confidence": _NUMBER,
    "category": _TEXT,
    "source": _TEXT,
    "tags": pa.list_(_TEXT),
    "access_count": _WHOLE,
    "metadata": _TEXT,
}
_HIT: Mapping[str, pa.DataType] = {
    "id": _TEXT,
    "kind": _TEXT,
    "speaker": _TEXT,
    "content": _TEXT,
    "excerpt": _TEXT,
    "score": _NUMBER,
    "user_id": _TEXT,
    "conversation_id": _TEXT,
    "turn": _WHOLE,
    "created_at": TIMESTAMP,
    "repeats": _WHOLE,
    "origin": _TEXT,
    "pinned": _FLAG,
    "archived": _FLAG,
}
_TURN: Mapping[str, pa.DataType] = {"turn": _WHOLE, "user_id": _TEXT, **_MESSAGE}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SIGNAL = "signal_"


def to_arrow(items: Iterable[Any]) -> pa.Table:
    """A table of hits, messages, memories, turns, or summaries of conversations or users.

    Args:
        items: what ``recall``, ``timeline``, ``list_memories``, ``retrieve_messages``,
            ``read_turns``, ``list_conversations`` and the like give; or any of these together.

    Raises:
        InvalidInputError: an item is nothing of this kind.
    """
    if not isinstance(items, Iterable):
        raise _no_row(items)
    listed = list(items)
    columns: dict[str, pa.DataType | None] = dict(_empty_columns(items))
    rows = []
    for item in listed:
        known, values = _described(item)
        for name, kind in known.items():
            columns[name] = columns.get(name) or kind
        rows.append(values)
    arrays = {name: _array([row.get(name) for row in rows], kind) for name, kind in columns.items()}
    return pa.table(arrays)


def to_pandas(items: Iterable[Any]) -> pd.DataFrame:
    """As :func:`to_arrow`, a pandas ``DataFrame``; whole numbers with gaps stay whole numbers.

    Raises:
        InvalidInputError: an item is nothing of this kind.
        MissingDependencyError: pandas is not installed.
    """
    return pandas_of(to_arrow(items))


def to_polars(items: Iterable[Any]) -> pl.DataFrame:
    """As :func:`to_arrow`, a Polars ``DataFrame``.

    Raises:
        InvalidInputError: an item is nothing of this kind.
        MissingDependencyError: Polars is not installed.
    """
    return polars_of(to_arrow(items))


def pandas_of(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as a pandas ``DataFrame``; whole numbers with gaps stay whole numbers.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("pandas", "pandas", cause=error) from error
    return table.to_pandas(types_mapper={_WHOLE: pd.Int64Dtype()}.get)


def polars_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars ``DataFrame``.

    Raises:
        MissingDependencyError: Polars is not installed.
    """
    try:
        import polars as pl
    except ImportError as error:
        raise MissingDependencyError("polars", "polars", cause=error) from error
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


class Frames:
    """Makes tables of a list: the base of lists that this library gives."""

    def to_arrow(self: Iterable[Any]) -> pa.Table:
        """A row for each item, see :mod:`bruno_memory_vec.portability.frames`."""
        return to_arrow(self)

    def to_pandas(self: Iterable[Any]) -> pd.DataFrame:
        """A row for each item, as a pandas ``DataFrame``.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return to_pandas(self)

    def to_polars(self: Iterable[Any]) -> pl.DataFrame:
        """A row for each item, as a Polars ``DataFrame``.

        Raises:
            MissingDependencyError: Polars is not installed.
        """
        return to_polars(self)


def _no_row(item: Any) -> InvalidInputError:
    return InvalidInputError(
        "items",
        f"a {type(item).__name__} is no row of a table",
        fix="Give hits, messages, memories, turns or summaries.",
    )


def _empty_columns(items: Any) -> Mapping[str, pa.DataType]:
    """The columns of a list that has no item to tell them."""
    return _HIT if type(items).__name__ == "Hits" else _NOTHING


def _described(item: Any) -> tuple[Mapping[str, pa.DataType | None], Mapping[str, Any]]:
    """The columns of an item, and its values."""
    if isinstance(item, Message):
        return _MESSAGE, _message(item)
    if isinstance(item, MemoryEntry):
        return _MEMORY, _memory(item)
    if hasattr(item, "signals") and hasattr(item, "excerpt"):
        signals = {f"{_SIGNAL}{name}": value for name, value in item.signals.items()}
        values = {name: getattr(item, name, None) for name in _HIT}
        return {**_HIT, **dict.fromkeys(signals, _NUMBER)}, {**values, **signals}
    if isinstance(getattr(item, "message", None), Message) and hasattr(item, "turn"):
        said = _message(item.message)
        return _TURN, {**said, "turn": item.turn, "user_id": item.user_id}
    if is_dataclass(item) and not isinstance(item, type):
        found = {one.name: _plain(getattr(item, one.name)) for one in fields(item)}
        return dict.fromkeys(found), found
    raise _no_row(item)


def _message(message: Message) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "role": message.role.value,
        "content": message.content,
        "message_type": message.message_type.value,
        "created_at": message.timestamp,
        "conversation_id": message.conversation_id,
        "parent_id": None if message.parent_id is None else str(message.parent_id),
        "metadata": tagged_json.dumps(message.metadata),
    }


def _memory(entry: MemoryEntry) -> dict[str, Any]:
    about = entry.metadata
    return {
        "id": str(entry.id),
        "memory_type": entry.memory_type.value,
        "content": entry.content,
        "user_id": entry.user_id,
        "conversation_id": entry.conversation_id,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
        "last_accessed": entry.last_accessed,
        "expires_at": entry.expires_at,
        "importance": about.importance,
        "confidence": about.confidence,
        "category": about.category,
        "source": about.source,
        "tags": list(about.tags),
        "access_count": about.access_count,
        "metadata": tagged_json.dumps(about.custom_fields),
    }


def _array(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None and any(isinstance(value, datetime) for value in values):
        kind = TIMESTAMP
    if kind == TIMESTAMP:
        return pa.array([_utc(value) for value in values], TIMESTAMP)
    return pa.array(values, kind)


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value


def _plain(value: Any) -> Any:
    """A field of a summary as a value that a column can have."""
    if value is None or isinstance(value, (str, bool, int, float, datetime)):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    return str(value) if isinstance(value, UUID) else repr(value)
