"""The formats of a store: what its rows, its sessions and its ``store.json`` are in each.

They are frozen: a format that was once written stays as it is here, whatever later ones change. A
test compares the newest one with the schema that the package writes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: The newest format.
NEWEST = 6
#: From this format on each row has a checksum.
CHECKED_FROM = 5

_TIME = pa.timestamp("us", tz="UTC")
_STRING = pa.string()
_STRINGS = pa.list_(pa.string())

# Each column, in order: its name, its type, whether it may be null, and since which format it is.
_COLUMNS: tuple[tuple[str, pa.DataType, bool, int], ...] = (
    ("id", _STRING, False, 1),
    ("kind", _STRING, False, 1),
    ("user_id", _STRING, False, 1),
    ("conversation_id", _STRING, True, 1),
    ("turn", pa.int64(), True, 1),
    ("role", _STRING, True, 1),
    ("message_type", _STRING, True, 1),
    ("memory_type", _STRING, True, 1),
    ("content", _STRING, False, 1),
    ("words", pa.int64(), False, 1),
    ("speaker", _STRING, True, 2),
    ("question_share", pa.float32(), False, 2),
    ("ends_with_question", pa.bool_(), False, 2),
    ("names_time", pa.bool_(), False, 2),
    ("tells_change", pa.bool_(), False, 2),
    ("metadata", _STRING, False, 1),
    ("metadata_pairs", _STRINGS, False, 4),
    ("extra", _STRING, True, 1),
    ("source", _STRING, True, 1),
    ("category", _STRING, True, 1),
    ("tags", _STRINGS, False, 1),
    ("importance", pa.float64(), False, 1),
    ("confidence", pa.float64(), False, 1),
    ("parent_id", _STRING, True, 1),
    ("origin", _STRING, False, 6),
    ("created_at", _TIME, False, 1),
    ("updated_at", _TIME, False, 1),
    ("last_accessed", _TIME, False, 1),
    ("access_count", pa.int64(), False, 1),
    ("expires_at", _TIME, True, 1),
    ("pinned_at", _TIME, True, 6),
    ("archived_at", _TIME, True, 6),
    ("seq", pa.int64(), False, 1),
    ("checksum", pa.int64(), False, 5),
)
# In format 2 these could be null until an older store's were read.
_NULLABLE_IN_2 = ("question_share", "ends_with_question", "names_time", "tells_change")


@dataclass(frozen=True, slots=True)
class Format:
    """One format of a store.

    Attributes:
        number: as ``store.json`` names it.
        about: what it brought, in one line.
        sessions: the schema of its ``sessions.sqlite``.
        names_rows: whether ``store.json`` names the folder of the rows.
    """

    number: int
    about: str
    sessions: int
    names_rows: bool


FORMATS: dict[int, Format] = {
    one.number: one
    for one in (
        Format(1, "rows, sessions and the lexical index", 1, False),
        Format(2, "cues: what the rankers know of a text without reading it", 1, True),
        Format(3, "a write-ahead log; a message is a row in each of its conversations", 1, True),
        Format(4, "metadata as pairs that filters compare", 1, True),
        Format(5, "a checksum of each row; a ledger; the hot context by user", 2, True),
        Format(6, "who a row comes from, and whether it is pinned or archived", 2, True),
    )
}


def schema_of(number: int, dimension: int) -> pa.Schema:
    """The Arrow schema of a format's rows, whose vectors have ``dimension`` values."""
    fields = [
        pa.field(name, kind, nullable=null or (number == 2 and name in _NULLABLE_IN_2))
        for name, kind, null, since in _COLUMNS
        if since <= number
    ]
    return pa.schema([*fields, pa.field("vector", pa.list_(pa.float32(), dimension))])


def in_format(rows: pa.Table, number: int) -> pa.Table:
    """Rows with the columns of a format, in its order and types; each has to be there."""
    dimension = rows.schema.field("vector").type.list_size
    schema = schema_of(number, dimension)
    columns = [
        rows.column(field.name)
        if rows.schema.field(field.name).type == field.type
        else rows.column(field.name).cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


# The checksum of a row: 64 bits in two halves. The upper half is the CRC-32 of all columns but the
# vector and the uses, the lower half that of the vector, exclusive or that of the uses. It is that
# of indexers/checksum.py, for the columns of any format.

_USED = ("access_count", "last_accessed")
_BETWEEN, _IN_A_LIST = "\x1f", "\x1e"
_NULL = -(2**63)
_NO_TEXT = -1


class _Layout:
    def __init__(self, number: int) -> None:
        schema = schema_of(number, 1)
        names = [name for name in schema.names if name not in ("vector", "checksum", *_USED)]
        kinds = {name: schema.field(name).type for name in names}
        self.texts = [name for name in names if pa.types.is_string(kinds[name])]
        self.lists = [name for name in names if pa.types.is_list(kinds[name])]
        self.numbers = [name for name in names if name not in {*self.texts, *self.lists}]
        formats = "".join(_format(kinds[name]) for name in self.numbers)
        self.packed = struct.Struct(f"<{formats}{len(self.texts) + len(self.lists)}i")


def _format(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "?"
    if pa.types.is_floating(kind):
        return "f" if pa.types.is_float32(kind) else "d"
    return "q"


def checksums_of(rows: pa.Table, number: int) -> NDArray[np.int64]:
    """The checksum that each row has in a format, int64 (n,)."""
    layout = _Layout(number)

    def values(name: str) -> list[Any]:
        column = rows.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        found: list[Any] = column.to_pylist()
        return found

    held = {name: values(name) for name in [*layout.numbers, *layout.texts, *layout.lists, *_USED]}
    vectors = vectors_of(rows)
    found = []
    for at in range(rows.num_rows):
        numbers = [held[name][at] for name in layout.numbers]
        numbers = [_NULL if one is None else one for one in numbers]
        said = []
        for name in layout.texts:
            text = held[name][at]
            numbers.append(_NO_TEXT if text is None else len(text.encode()))
            said.append(text or "")
        for name in layout.lists:
            parts = held[name][at]
            numbers.append(len(parts))
            said.append(_IN_A_LIST.join(parts))
        content = zlib.crc32(_BETWEEN.join(said).encode(), zlib.crc32(layout.packed.pack(*numbers)))
        used = zlib.crc32(struct.pack("<qq", *(held[name][at] for name in _USED)))
        whole = content << 32 | zlib.crc32(vectors[at].tobytes()) ^ used
        found.append(whole - 2**64 if whole >= 2**63 else whole)
    return np.array(found, np.int64)


def with_checksums(rows: pa.Table, number: int) -> pa.Table:
    """Rows of a format, in which the checksum is right; of one without checksums as they are."""
    if number < CHECKED_FROM:
        return rows
    sums = pa.array(checksums_of(rows, number))
    if "checksum" in rows.column_names:
        at = rows.schema.get_field_index("checksum")
        return rows.set_column(at, rows.schema.field(at), sums)
    return rows.append_column(pa.field("checksum", pa.int64(), nullable=False), sums)


def vectors_of(rows: pa.Table) -> NDArray[np.float32]:
    """The vectors of rows, float32 (n, d)."""
    column = rows.column("vector")
    size = column.type.list_size
    parts = [part.flatten().to_numpy(zero_copy_only=False) for part in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float32)
    found: NDArray[np.float32] = flat.astype(np.float32, copy=False).reshape(-1, size)
    return found
