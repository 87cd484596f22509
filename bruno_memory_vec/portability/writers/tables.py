"""What CSV and Parquet share: the columns of rows, sessions and profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from bruno_memory_vec.indexers.schema import TIMESTAMP
from bruno_memory_vec.portability.exported import SESSION, stored_text
from bruno_memory_vec.rows.models import Row

_TEXT = pa.string()
#: The columns of a table of messages and memories, with their Arrow types.
ROWS: tuple[tuple[str, pa.DataType], ...] = (
    ("kind", _TEXT),
    ("id", _TEXT),
    ("user_id", _TEXT),
    ("conversation_id", _TEXT),
    ("turn", pa.int64()),
    ("role", _TEXT),
    ("memory_type", _TEXT),
    ("created_at", TIMESTAMP),
    ("content", _TEXT),
    ("importance", pa.float64()),
    ("confidence", pa.float64()),
    ("tags", pa.list_(_TEXT)),
    ("category", _TEXT),
    ("source", _TEXT),
    ("origin", _TEXT),
    ("message_type", _TEXT),
    ("parent_id", _TEXT),
    ("pinned_at", TIMESTAMP),
    ("archived_at", TIMESTAMP),
    ("expires_at", TIMESTAMP),
    ("updated_at", TIMESTAMP),
    ("last_accessed", TIMESTAMP),
    ("access_count", pa.int64()),
    ("metadata", _TEXT),
)
SESSIONS: tuple[tuple[str, pa.DataType], ...] = (
    ("session_id", _TEXT),
    ("user_id", _TEXT),
    ("conversation_id", _TEXT),
    ("started_at", _TEXT),
    ("ended_at", _TEXT),
    ("last_activity", _TEXT),
    ("is_active", pa.bool_()),
    ("state", _TEXT),
    ("metadata", _TEXT),
)
PROFILES: tuple[tuple[str, pa.DataType], ...] = (
    ("user_id", _TEXT),
    ("name", _TEXT),
    ("created_at", _TEXT),
    ("last_active", _TEXT),
    ("preferences", _TEXT),
    ("profile", _TEXT),
    ("metadata", _TEXT),
)


def row_table(rows: Sequence[Row]) -> pa.Table:
    """Rows, with times in microseconds, as a table of :data:`ROWS`."""
    columns = [pa.array([row[name] for row in rows], kind) for name, kind in ROWS]
    return pa.Table.from_arrays(columns, names=[name for name, _ in ROWS])


def person_values(kind: str, held: Mapping[str, Any]) -> list[Any]:
    """A session or a profile as values of its columns: times as ISO 8601, dicts as JSON."""
    columns, fields = (
        (SESSIONS, held["session"]) if kind == SESSION else (PROFILES, held["profile"])
    )
    return [_plain(fields.get(name)) for name, _ in columns]


def _plain(value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if isinstance(value, dict) and value.get("$") == "datetime":
        at, offset = value["v"]
        return f"{at}Z" if not offset else f"{at} ({offset / 60_000_000:+.0f} minutes)"
    return stored_text(value)
