"""Rows as Chroma's records, and back.

A record has the row's columns as metadata, so that a filter can ask for any of them, and its vector
as the embedding. Chroma has no null, refuses empty lists, and keeps what an upsert does not name.
So a record always has every key: a null is a stand-in, and the column's name is in ``nulls``; each
list begins with a mark, and its texts with another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import COLUMNS, key_of, row_schema

Metadata: TypeAlias = dict[str, Any]

#: The metadata key with the names of a record's columns that are null.
NULLS = "nulls"
#: Begins each list, so that none is empty.
BEGIN = "-"
#: Begins each text of a list.
TEXT = "="
_SCHEMA = row_schema(1)
_STAND_INS: dict[str, Any] = {
    name: 0 if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) else ""
    for name, kind in ((name, _SCHEMA.field(name).type) for name in COLUMNS)
    if _SCHEMA.field(name).nullable
}


def record_id(row: Mapping[str, Any]) -> str:
    """The id of a row's record: a hash of its key, so that an upsert replaces by itself."""
    return hashlib.blake2b(json.dumps(key_of(row)).encode(), digest_size=16).hexdigest()


def is_nullable(column: str) -> bool:
    """Whether a row may have nothing in a column."""
    return column in _STAND_INS


def is_list(column: str) -> bool:
    """Whether a column holds lists of texts."""
    return bool(pa.types.is_list(_SCHEMA.field(column).type))


def in_list(text: str) -> str:
    """A text as an element of a list in a record."""
    return f"{TEXT}{text}"


def metadatas(rows: pa.Table) -> Iterator[Metadata]:
    """The metadata of each row, of the columns that the table has, but the vector.

    ``nulls`` names those of these columns that are null.
    """
    names = [name for name in rows.column_names if name != "vector"]
    columns = [_plain(rows.column(name)).to_pylist() for name in names]
    for values in zip(*columns, strict=True):
        record: Metadata = {}
        nulls = [BEGIN]
        for name, value in zip(names, values, strict=True):
            if value is None:
                record[name] = _STAND_INS[name]
                nulls.append(name)
            elif isinstance(value, list):
                record[name] = [BEGIN, *map(in_list, value)]
            else:
                record[name] = value
        record[NULLS] = nulls
        yield record


def with_nulls(before: Metadata, change: Metadata) -> Metadata:
    """A change of some columns, whose ``nulls`` is right for all columns of the record."""
    kept = [name for name in before[NULLS] if name not in change]
    return {**change, NULLS: [*kept, *change[NULLS][1:]]}


def vectors(rows: pa.Table) -> NDArray[np.float32]:
    """The vectors of rows, float32 (n, d)."""
    column = rows.column("vector").combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32).reshape(len(rows), column.type.list_size)


def table(
    records: Sequence[Metadata],
    embeddings: NDArray[np.float32] | None,
    columns: Sequence[str],
    dimension: int,
) -> pa.Table:
    """Records as rows: these columns, in this order.

    Args:
        records: their metadata.
        embeddings: float32 (n, d); None where ``columns`` have no vector.
        columns: of ``row_schema(dimension)``.
        dimension: how many values a vector has.
    """
    schema = pa.schema([row_schema(dimension).field(name) for name in columns])
    arrays = []
    for field in schema:
        if field.name == "vector":
            assert embeddings is not None
            flat = pa.array(np.ascontiguousarray(embeddings, np.float32).reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, dimension))
            continue
        values = [_value(record, field.name) for record in records]
        if pa.types.is_timestamp(field.type):
            arrays.append(pa.array(values, pa.int64()).cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _value(record: Metadata, name: str) -> Any:
    if name in record[NULLS]:
        return None
    value = record[name]
    return [text[len(TEXT) :] for text in value[1:]] if isinstance(value, list) else value


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Times as microseconds: a Python datetime cannot be before year 1, and Chroma has no times.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
