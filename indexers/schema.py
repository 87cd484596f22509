"""The row: one message or one memory, with its embedding.

The rows are the source of truth of a store. The lexical index, the hot context and every cache are
derived from them and can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

#: 2 added the cues, by which the rankers know a text without reading it. 3 added the write-ahead
#: log: an older version would miss the rows that are only there. 4 added the metadata's pairs. 5
#: keeps the hot context by user as well as by conversation, and a checksum of each row. 6 says who
#: a row comes from, and whether it is pinned or archived.
SCHEMA_VERSION = 6

#: The folder of the write-ahead log, in that of the rows.
LOG = "log"

#: The column of a row's checksum (``checksum``).
CHECKSUM = "checksum"

MESSAGE = "message"
MEMORY = "memory"

#: Who a row comes from: a message, by its role; a memory that a caller has stored ("given"); what a
#: model or a pattern has taken from messages ("extracted"); what stands for several messages
#: ("summary"); what another program has kept ("imported").
ORIGINS = ("user", "assistant", "system", "tool", "given", "extracted", "summary", "imported")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

TIMESTAMP = pa.timestamp("us", tz="UTC")

#: The columns that identify a row of each kind. Two users may have the same id. A message that is
#: in several conversations (a branch, a shared system message) is one row in each of them.
KEYS = {
    MESSAGE: ("kind", "user_id", "conversation_id", "id"),
    MEMORY: ("kind", "user_id", "id"),
}

#: The columns that a row keeps when it is stored again: the store's own, and no field of a message
#: or memory.
KEPT = ("origin", "pinned_at", "archived_at")

#: The columns that :func:`key_of` reads.
KEY_COLUMNS = ("kind", "user_id", "conversation_id", "id")

#: A row's key: its kind, its user, for a message its conversation, and its id.
Key = tuple[str, str, "str | None", str]

_FIELDS: tuple[pa.Field, ...] = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("user_id", pa.string(), nullable=False),
    pa.field("conversation_id", pa.string()),
    # Position in its conversation, from 0. Memories have none.
    pa.field("turn", pa.int64()),
    pa.field("role", pa.string()),
    pa.field("message_type", pa.string()),
    pa.field("memory_type", pa.string()),
    pa.field("content", pa.string(), nullable=False),
    # Length in words, for the rankers, so that they need not read the content.
    pa.field("words", pa.int64(), nullable=False),
    # Read from the text when it is stored (rankers/cues.py).
    pa.field("speaker", pa.string()),
    pa.field("question_share", pa.float32(), nullable=False),
    pa.field("ends_with_question", pa.bool_(), nullable=False),
    pa.field("names_time", pa.bool_(), nullable=False),
    pa.field("tells_change", pa.bool_(), nullable=False),
    pa.field("metadata", pa.string(), nullable=False),
    # The metadata that a filter can compare, as texts (bruno_memory_vec/rows/metadata_pairs.py).
    pa.field("metadata_pairs", pa.list_(pa.string()), nullable=False),
    # Data for a lossless round trip that no column holds: UTC offsets, a caller's own embedding.
    pa.field("extra", pa.string()),
    pa.field("source", pa.string()),
    pa.field("category", pa.string()),
    pa.field("tags", pa.list_(pa.string()), nullable=False),
    pa.field("importance", pa.float64(), nullable=False),
    pa.field("confidence", pa.float64(), nullable=False),
    pa.field("parent_id", pa.string()),
    # One of ORIGINS. A row that is stored again keeps it.
    pa.field("origin", pa.string(), nullable=False),
    pa.field("created_at", TIMESTAMP, nullable=False),
    pa.field("updated_at", TIMESTAMP, nullable=False),
    pa.field("last_accessed", TIMESTAMP, nullable=False),
    pa.field("access_count", pa.int64(), nullable=False),
    pa.field("expires_at", TIMESTAMP),
    # Since when; null where it is not.
    pa.field("pinned_at", TIMESTAMP),
    pa.field("archived_at", TIMESTAMP),
    # Position in the store's write order; a replaced row gets a new one.
    pa.field("seq", pa.int64(), nullable=False),
    # Of all other columns and the vector (checksum.py), so that a change on the disk is seen.
    pa.field(CHECKSUM, pa.int64(), nullable=False),
)

#: Every column but the vector, in order.
COLUMNS: tuple[str, ...] = tuple(field.name for field in _FIELDS)

#: The columns that a lexical index needs.
LEXICAL_COLUMNS: tuple[str, ...] = (
    "seq",
    "id",
    "kind",
    "user_id",
    "conversation_id",
    "turn",
    "role",
    "memory_type",
    "content",
    "category",
    "tags",
    "metadata_pairs",
    "importance",
    "confidence",
    "origin",
    "created_at",
    "expires_at",
    "pinned_at",
    "archived_at",
)


def key_of(row: Mapping[str, Any]) -> Key:
    """The key of a row that has :data:`KEY_COLUMNS`."""
    conversation = row["conversation_id"] if row["kind"] == MESSAGE else None
    return row["kind"], row["user_id"], conversation, row["id"]


def micros(moment: datetime) -> int:
    """Microseconds since 1970, UTC, of an aware datetime. Exact, unlike ``timestamp()``."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def row_schema(dimension: int) -> pa.Schema:
    """The Arrow schema of a store whose vectors have ``dimension`` float32 values."""
    return pa.schema([*_FIELDS, pa.field("vector", pa.list_(pa.float32(), dimension))])
