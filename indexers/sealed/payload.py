"""A row as bytes that are sealed, and back: every column and the vector.

::

    numbers    every column of numbers, times and truth values, packed, and the lengths of the texts
    vector     float32 (d,)
    texts      one after the other, UTF-8; a list of texts is JSON
    terms      the terms of the text as numbers, int64, so that its words need not be made anew
    padding    zeros up to a multiple of 64 bytes, so that the size tells less

A number of :data:`NULL`, and a length of -1, stand for null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..aio import yielding_gil
from ..schema import COLUMNS, row_schema
from ..words.terms import TERMS

_SCHEMA = row_schema(1)
_TEXTS = tuple(name for name in COLUMNS if pa.types.is_string(_SCHEMA.field(name).type))
_LISTS = tuple(name for name in COLUMNS if pa.types.is_list(_SCHEMA.field(name).type))
_NUMBERS = tuple(name for name in COLUMNS if name not in {*_TEXTS, *_LISTS})
_VARIABLE = (*_TEXTS, *_LISTS)

_TERMS_FIELD = pa.field(TERMS, pa.list_(pa.int64()))

#: No time and no turn is so small.
NULL = -(2**63)
_NO_TEXT = -1
_PADDED_TO = 64
# The texts of one array have 32-bit offsets.
_MOST_BYTES = 2**30
_BETWEEN_YIELDS = 512


def _dtype(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "?"
    if pa.types.is_floating(kind):
        return "<f4" if pa.types.is_float32(kind) else "<f8"
    return "<i8"


_HEAD = np.dtype(
    [
        *((name, _dtype(_SCHEMA.field(name).type)) for name in _NUMBERS),
        ("lengths", "<i4", (len(_VARIABLE),)),
        ("terms", "<i4"),
        ("analysis", "<i8"),
    ]
)


def fields_of(columns: Sequence[str], dimension: int) -> pa.Schema:
    """The schema of columns, of which :data:`TERMS` may be one."""
    schema = row_schema(dimension)
    return pa.schema([_TERMS_FIELD if name == TERMS else schema.field(name) for name in columns])


def encoded(rows: pa.Table, analysis: int) -> list[bytes]:
    """Each row of a table with all columns, the vector and :data:`TERMS` as bytes.

    Args:
        rows: the rows.
        analysis: a number of what made the terms.
    """
    count = rows.num_rows
    if not count:
        return []
    heads = np.zeros(count, _HEAD)
    for name in _NUMBERS:
        column = rows.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        if column.null_count:
            column = column.fill_null(NULL)
        heads[name] = column.to_numpy()
    parts: list[list[bytes]] = []
    for at, name in enumerate(_VARIABLE):
        said = rows.column(name).to_pylist()
        if name in _LISTS:
            texts = [json.dumps(one, ensure_ascii=False).encode() if one else b"" for one in said]
        else:
            texts = [b"" if one is None else one.encode() for one in said]
        heads["lengths"][:, at] = [
            _NO_TEXT if one is None else len(text) for one, text in zip(said, texts, strict=True)
        ]
        parts.append(texts)
    terms = rows.column(TERMS)
    heads["terms"] = pc.fill_null(pc.list_value_length(terms), _NO_TEXT).to_numpy()
    heads["analysis"] = analysis
    numbers = [part.flatten().to_numpy().tobytes() for part in terms.chunks]
    said, at = b"".join(numbers), 0
    of_terms = []
    for count in heads["terms"].tolist():
        end = at + 8 * max(count, 0)
        of_terms.append(said[at:end])
        at = end
    parts.append(of_terms)
    vectors = vectors_of(rows.column("vector"))
    size, whole, width = _HEAD.itemsize, heads.tobytes(), vectors.shape[1] * 4
    held = vectors.tobytes()
    found = []
    for i, texts_of_row in enumerate(yielding_gil(zip(*parts, strict=True), _BETWEEN_YIELDS)):
        row = b"".join(
            (whole[i * size : (i + 1) * size], held[i * width : (i + 1) * width], *texts_of_row)
        )
        found.append(row + bytes(-len(row) % _PADDED_TO))
    return found


def decoded(
    rows: Sequence[bytes], columns: Sequence[str], dimension: int, analysis: int
) -> pa.Table:
    """Columns of rows that :func:`encoded` made.

    Args:
        rows: the rows.
        columns: which, in this order; "vector" and :data:`TERMS` may be among them.
        dimension: of the vectors.
        analysis: the number of what makes terms now; terms of another one are null.

    Raises:
        ValueError: the rows have vectors of another length.
    """
    fields = fields_of(columns, dimension)
    tables = [fields.empty_table()]
    start = size = 0
    for at, row in enumerate(rows):
        size += len(row)
        if size > _MOST_BYTES and at > start:
            tables.append(_decoded(rows[start:at], fields, dimension, analysis))
            start, size = at, len(row)
    if start < len(rows):
        tables.append(_decoded(rows[start:], fields, dimension, analysis))
    return tables[-1] if len(tables) <= 2 else pa.concat_tables(tables)


def _decoded(rows: Sequence[bytes], fields: pa.Schema, dimension: int, analysis: int) -> pa.Table:
    size, width = _HEAD.itemsize, dimension * 4
    heads = np.frombuffer(b"".join([row[:size] for row in rows]), _HEAD)
    lengths: NDArray[np.int32] = heads["lengths"]
    ends = size + width + np.cumsum(np.maximum(lengths, 0), axis=1, dtype=np.int64)
    until_terms = ends[:, -1] + 8 * np.maximum(heads["terms"], 0)
    if any(end > len(row) for end, row in zip(until_terms.tolist(), rows, strict=True)):
        raise ValueError("a sealed row is shorter than it says")
    arrays = []
    for field in fields:
        if field.name == "vector":
            flat = b"".join([row[size : size + width] for row in rows])
            values = pa.array(np.frombuffer(flat, "<f4"), pa.float32())
            arrays.append(pa.FixedSizeListArray.from_arrays(values, dimension))
        elif field.name == TERMS:
            places = zip(rows, ends[:, -1].tolist(), until_terms.tolist(), strict=True)
            numbers = np.frombuffer(b"".join([row[a:b] for row, a, b in places]), "<i8")
            other = (heads["terms"] < 0) | (heads["analysis"] != analysis)
            arrays.append(_lists(numbers, np.maximum(heads["terms"], 0), other, field.type))
        elif field.name in _NUMBERS:
            arrays.append(_numbers(heads[field.name], field.type))
        else:
            at = _VARIABLE.index(field.name)
            of_each = np.maximum(lengths[:, at], 0)
            texts: list[bytes] = []
            if of_each.any():  # most columns of most rows hold nothing
                until = ends[:, at]
                places = zip(rows, (until - of_each).tolist(), until.tolist(), strict=True)
                texts = [row[a:b] for row, a, b in places]
            if field.name in _LISTS:
                said = [json.loads(text) if text else [] for text in texts] or [[]] * len(rows)
                arrays.append(pa.array(said, field.type))
            else:
                arrays.append(_texts(texts, lengths[:, at], field.type))
    return pa.Table.from_arrays(arrays, schema=fields)


def _numbers(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    values = np.ascontiguousarray(values)
    if values.dtype == np.int64:
        missing = values == NULL
        array = pa.array(values, pa.int64(), mask=missing if missing.any() else None)
        return array if pa.types.is_integer(kind) else array.cast(kind)
    return pa.array(values, kind)


def _lists(
    numbers: NDArray[np.int64],
    counts: NDArray[np.int32],
    missing: NDArray[np.bool_],
    kind: pa.DataType,
) -> pa.Array:
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers))
    if missing.any():
        lists = pc.if_else(pa.array(missing), pa.scalar(None, kind), lists)
    return lists.cast(kind)


def _texts(texts: list[bytes], lengths: NDArray[np.int32], kind: pa.DataType) -> pa.Array:
    missing = lengths < 0
    nulls = int(missing.sum())
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(np.maximum(lengths, 0), out=offsets[1:])
    valid = None
    if nulls:
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    return pa.Array.from_buffers(
        kind,
        len(lengths),
        [valid, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))],
        null_count=nulls,
    )


def vectors_of(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of vectors as float32 (n, d)."""
    width = column.type.list_size
    parts = [
        part.flatten().to_numpy(zero_copy_only=False).reshape(len(part), width)
        for part in column.chunks
    ]
    held = np.concatenate(parts) if parts else np.empty((0, width))
    return np.ascontiguousarray(held, "<f4")
