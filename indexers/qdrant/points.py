"""Rows as points, and back.

A point's id follows from the row's key, so a row replaces the one with its key by itself. Its
payload has each column that has a value, under the column's name; times are integers, microseconds
since 1970. A server may read a 64-bit float that JSON brought to it one bit off, so the two columns
of such floats are kept as integers of the same bits, too (:data:`BITS`), and read from there.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..schema import COLUMNS, Key, key_of, row_schema

DENSE = "dense"
WORDS = "words"
#: The payload field with the bits of :data:`DOUBLES`, as a list of int64.
BITS = "float_bits"

_NAMESPACE = UUID("6f1d3c4e-0d6b-5b7e-9a52-2f4b8a7c1e90")
_SCHEMA = row_schema(1)
_TYPES = {field.name: field.type for field in _SCHEMA}
_TIMES = tuple(name for name in COLUMNS if pa.types.is_timestamp(_TYPES[name]))
#: The columns of 64-bit floats.
DOUBLES = tuple(name for name in COLUMNS if pa.types.is_float64(_TYPES[name]))
_BITS_OF = struct.Struct(f"<{len(DOUBLES)}d"), struct.Struct(f"<{len(DOUBLES)}q")


def point_id(key: Key) -> str:
    """The id of the point of the row with a key."""
    return str(uuid5(_NAMESPACE, json.dumps(key, ensure_ascii=False)))


def ids_and_payloads(rows: pa.Table) -> tuple[list[str], list[dict[str, Any]]]:
    """The id and the payload of each row's point.

    Args:
        rows: with all columns; the vector is not read.
    """
    found = plain(rows.select(list(COLUMNS)))
    return [point_id(key_of(row)) for row in found], [payload(row) for row in found]


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as dicts, with times in microseconds."""
    for name in _TIMES:
        if name in rows.column_names:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, rows.column(at).cast(pa.int64()))
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def payload(row: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a row that :func:`plain` gave, with all columns."""
    held = {name: value for name, value in row.items() if value is not None and value != []}
    held[BITS] = list(_BITS_OF[1].unpack(_BITS_OF[0].pack(*(row[name] for name in DOUBLES))))
    return held


def changes(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be set in the payload of a row that exists, from some of its columns.

    Raises:
        KeyError: one of :data:`DOUBLES` is among them, and another is not.
    """
    held = dict(row)
    if any(name in row for name in DOUBLES):
        held[BITS] = list(_BITS_OF[1].unpack(_BITS_OF[0].pack(*(row[name] for name in DOUBLES))))
    return held


def fields_of(columns: Iterable[str]) -> list[str]:
    """The fields of the payload that columns are read from."""
    asked = [name for name in dict.fromkeys(columns) if name != "vector"]
    return [*asked, BITS] if any(name in DOUBLES for name in asked) else asked


def table(
    payloads: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    dimension: int,
    vectors: Sequence[Any] = (),
) -> pa.Table:
    """Columns of points as rows.

    Args:
        payloads: of the points, with the fields of the columns.
        columns: in this order.
        dimension: of the vectors.
        vectors: the dense vector of each point, or None; read where "vector" is a column.
    """
    schema = row_schema(dimension)
    fields = [schema.field(name) for name in columns]
    arrays = []
    for field in fields:
        if field.name == "vector":
            arrays.append(_vectors(vectors, dimension))
        elif field.name in DOUBLES:
            arrays.append(_doubles(payloads, field.name))
        else:
            arrays.append(_column(payloads, field))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _column(payloads: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    name = field.name
    if pa.types.is_list(field.type):
        return pa.array([one.get(name) or [] for one in payloads], field.type)
    values = [one.get(name) for one in payloads]
    if pa.types.is_timestamp(field.type):
        return pa.array(values, pa.int64()).cast(field.type)
    return pa.array(values, field.type)


def _doubles(payloads: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    at = DOUBLES.index(name)
    bits = np.array([one[BITS][at] for one in payloads], np.int64)
    return pa.array(bits.view(np.float64))


def _vectors(vectors: Sequence[Any], dimension: int) -> pa.Array:
    kind = row_schema(dimension).field("vector").type
    present = np.array([vector is not None for vector in vectors], bool)
    values = np.zeros((len(vectors), dimension), np.float32)
    for at in np.flatnonzero(present).tolist():
        values[at] = vectors[at]
    found = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dimension)
    if present.all():
        return found.cast(kind)
    rows = [found[i].as_py() if there else None for i, there in enumerate(present)]
    return pa.array(rows, kind)


def dense_of(rows: pa.Table, dimension: int) -> list[NDArray[np.float32] | None]:
    """The vector of each row, float32 (d,); None for one without."""
    column = rows.column("vector").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    whole = column.fill_null([0.0] * dimension) if missing.any() else column
    values = whole.flatten().to_numpy(zero_copy_only=False).reshape(len(column), dimension)
    return [None if gone else vector for gone, vector in zip(missing, values, strict=True)]
