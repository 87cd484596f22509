"""Arrow tables as records of PostgreSQL, and back.

Times go as microseconds since 1970, vectors as the bytes of pgvector's binary form: two 16-bit
numbers, the dimension and 0, and then float32, all of them big-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import TIMESTAMP

from .texts import given, stored

_HEADER = 4
_REPLACED = "[\x00\x1a]"


def columns_of(rows: pa.Table) -> list[list[Any]]:
    """The values of each column of a table, as the codecs take them."""
    return [_values(column) for column in rows.columns]


def vector_bytes(vectors: NDArray[np.float32]) -> list[bytes]:
    """Vectors, float32 (n, d), in pgvector's binary form."""
    count, dimension = vectors.shape
    whole = np.empty((count, _HEADER + 4 * dimension), np.uint8)
    whole[:, :_HEADER] = np.array([dimension, 0], ">u2").view(np.uint8)
    whole[:, _HEADER:] = vectors.astype(">f4").view(np.uint8)
    return [row.tobytes() for row in whole]


def table_of(records: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Records, whose values are as the codecs give them, as a table."""
    if not records:
        return schema.empty_table()
    columns = zip(*records, strict=True)
    arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _values(column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return vector_bytes(np.ascontiguousarray(flat, np.float32).reshape(len(column), -1))
    if kind == TIMESTAMP:
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_string(kind) and _has(column):
        return [None if text is None else stored(text) for text in values]
    if pa.types.is_list(kind):
        return [[stored(text) for text in texts] for texts in values]
    return values


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
        whole = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
        flat = np.ascontiguousarray(whole[:, _HEADER:]).view(">f4").astype(np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), width)
    if kind == TIMESTAMP:
        return pa.array(values, pa.int64()).cast(TIMESTAMP)
    if pa.types.is_list(kind):
        return pa.array([[given(text) for text in texts] for texts in values], kind)
    array = pa.array(values, kind)
    if pa.types.is_string(kind) and _has(array):
        return pa.array([None if text is None else given(text) for text in values], kind)
    return array


def _has(texts: pa.Array | pa.ChunkedArray) -> bool:
    """Whether any of the texts is, or was, changed by being stored."""
    return bool(pc.any(pc.match_substring_regex(texts, _REPLACED)).as_py())
