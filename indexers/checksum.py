"""The checksum of a row: it tells whether what is read is what was stored.

It is 64 bits in two halves. The upper half is the CRC-32 of everything but the vector and the uses,
so that a row can be checked where its vector is not read. The lower half is the CRC-32 of the
vector, exclusive or that of the uses (``access_count`` and ``last_accessed``): both change without
the rest, and then only the lower half does.

:func:`row_checksum` makes it for a row on its way in, a dict; :func:`checksums` for many rows, in
arrays.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .aio import yielding_gil
from .schema import CHECKSUM, COLUMNS, MESSAGE, row_schema

#: The columns that change when a row is used, besides the checksum.
USED = ("access_count", "last_accessed")

_SCHEMA = row_schema(1)
_CONTENT = tuple(name for name in COLUMNS if name not in (CHECKSUM, *USED))
_TEXTS = tuple(name for name in _CONTENT if pa.types.is_string(_SCHEMA.field(name).type))
_LISTS = tuple(name for name in _CONTENT if pa.types.is_list(_SCHEMA.field(name).type))
_NUMBERS = tuple(name for name in _CONTENT if name not in {*_TEXTS, *_LISTS})

# Between texts, and between the texts of a list. A text may hold these, too; but all lengths are
# among the numbers.
_BETWEEN, _IN_A_LIST = "\x1f", "\x1e"
# Stands for a null number: no time and no turn is so small. The length -1 stands for a null text.
_NULL = -(2**63)
_NO_TEXT = -1
# The texts of more bytes than this are not joined in one array: its offsets have 32 bits.
_JOINED_BYTES = 2**29
# A row takes about a microsecond. Oftener, a busy machine would change threads all the time.
_BETWEEN_YIELDS = 1024


def _format(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "?"
    if pa.types.is_floating(kind):
        return "f" if pa.types.is_float32(kind) else "d"
    return "q"


_FORMATS = {name: _format(_SCHEMA.field(name).type) for name in _NUMBERS}
_DTYPES = {"?": "?", "f": "<f4", "d": "<f8", "q": "<i8"}
_LENGTHS = len(_TEXTS) + len(_LISTS)
# The numbers of a row and the lengths of its texts, packed: for one row, and as an array.
_PACKED = struct.Struct(f"<{''.join(_FORMATS.values())}{_LENGTHS}i")
_LAID_OUT = np.dtype(
    [
        *((name, _DTYPES[format_]) for name, format_ in _FORMATS.items()),
        ("lengths", "<i4", (_LENGTHS,)),
    ]
)
_USES = struct.Struct("<qq")
_numbers_of, _texts_of, _lists_of, _uses_of = (
    itemgetter(*names) for names in (_NUMBERS, _TEXTS, _LISTS, USED)
)


def row_checksum(row: Mapping[str, Any], vector: NDArray[np.float32]) -> int:
    """The checksum of a row, given as a dict with its times in microseconds.

    Args:
        row: a value for each column but the vector and the checksum.
        vector: float32 (d,), contiguous.
    """
    numbers = [_NULL if number is None else number for number in _numbers_of(row)]
    texts = _texts_of(row)
    lists = _lists_of(row)
    said = _BETWEEN.join(
        [text or "" for text in texts] + [_IN_A_LIST.join(held) if held else "" for held in lists]
    )
    if said.isascii():
        numbers += [_NO_TEXT if text is None else len(text) for text in texts]
    else:
        numbers += [_NO_TEXT if text is None else len(text.encode()) for text in texts]
    numbers += map(len, lists)
    content = zlib.crc32(said.encode(), zlib.crc32(_PACKED.pack(*numbers)))
    used = zlib.crc32(_USES.pack(*_uses_of(row)))
    return _signed(content << 32 | zlib.crc32(vector.data) ^ used)


def checksums(rows: pa.Table) -> NDArray[np.int64]:
    """The checksum that each row should have, int64 (n,).

    Args:
        rows: with all columns; without the vector, only the upper halves are right.
    """
    if rows.num_rows > 1 and rows.nbytes > _JOINED_BYTES:
        half = rows.num_rows // 2
        return np.concatenate([checksums(rows.slice(0, half)), checksums(rows.slice(half))])
    content = _content_crcs(rows)
    low = np.zeros(rows.num_rows, np.uint32)
    if "vector" in rows.column_names:
        low = _lower_halves(rows)
    found: NDArray[np.int64] = (content.astype(np.uint64) << np.uint64(32) | low).view(np.int64)
    return found


def changed(rows: pa.Table) -> NDArray[np.bool_]:
    """Which rows are not as they were stored, bool (n,).

    A message without a turn is not checked: only a hand leaves one, and its turn is still to come.

    Args:
        rows: with all columns; without the vector, neither the vectors nor the uses are checked.
    """
    kept = rows.column(CHECKSUM).to_numpy()
    unlike = checksums(rows) ^ kept
    if "vector" not in rows.column_names:
        unlike >>= np.int64(32)
    found: NDArray[np.bool_] = unlike != 0
    if rows.column("turn").null_count and found.any():
        said = pc.equal(rows.column("kind"), MESSAGE)
        unplaced = pc.and_(said, rows.column("turn").is_null())
        found &= ~pc.fill_null(unplaced, False).to_numpy()
    return found


def only_derived(rows: pa.Table) -> NDArray[np.bool_]:
    """Of rows that :func:`changed`, of which only the vector or the uses have, bool (n,)."""
    kept = rows.column(CHECKSUM).to_numpy()
    found: NDArray[np.bool_] = (checksums(rows) ^ kept) >> np.int64(32) == 0
    return found


def with_checksums(rows: pa.Table) -> pa.Table:
    """Rows, with all other columns, in which the checksum is right."""
    at = rows.schema.get_field_index(CHECKSUM)
    return rows.set_column(at, rows.schema.field(at), pa.array(checksums(rows)))


def with_lower_halves(rows: pa.Table) -> pa.Table:
    """Rows in which the lower halves of the checksums are right, the upper ones empty."""
    at = rows.schema.get_field_index(CHECKSUM)
    low = pa.array(_lower_halves(rows).astype(np.int64))
    return rows.set_column(at, rows.schema.field(at), low)


def with_contents(rows: pa.Table) -> pa.Table:
    """Rows in which the upper halves of the checksums are right, and the lower ones as they were.

    It takes half the time of :func:`with_checksums`, for rows whose vectors were checked before.
    """
    at = rows.schema.get_field_index(CHECKSUM)
    low = rows.column(CHECKSUM).to_numpy() & np.int64(0xFFFFFFFF)
    high = (_content_crcs(rows).astype(np.uint64) << np.uint64(32)).view(np.int64)
    return rows.set_column(at, rows.schema.field(at), pa.array(high | low))


def used(before: pa.Table, after: pa.Table) -> pa.Array:
    """The checksums of rows after their uses have changed.

    Args:
        before: :data:`USED` and the checksum, as they were.
        after: :data:`USED`, as they will be, in the same order.
    """
    kept = before.column(CHECKSUM).to_numpy()
    return pa.array(kept ^ (_use_crcs(before) ^ _use_crcs(after)).astype(np.int64))


def _content_crcs(rows: pa.Table) -> NDArray[np.uint32]:
    numbers = np.zeros(rows.num_rows, _LAID_OUT)
    for name in _NUMBERS:
        numbers[name] = _values(rows.column(name))
    columns = [rows.column(name) for name in _TEXTS]
    for at, column in enumerate(columns):
        lengths = pc.fill_null(pc.binary_length(column), _NO_TEXT)
        numbers["lengths"][:, at] = lengths.to_numpy()
    for at, name in enumerate(_LISTS, len(columns)):
        lists = rows.column(name)
        numbers["lengths"][:, at] = pc.fill_null(pc.list_value_length(lists), _NO_TEXT).to_numpy()
        columns.append(pc.binary_join(lists, _IN_A_LIST))
    joined = pc.binary_join_element_wise(
        *columns, _BETWEEN, null_handling="replace", null_replacement=""
    )
    texts = joined.combine_chunks()
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    said = memoryview(b"" if data is None else data)
    packed = memoryview(numbers.tobytes())
    size, crc32 = _LAID_OUT.itemsize, zlib.crc32
    crcs = [
        crc32(said[ends[i] : ends[i + 1]], crc32(packed[i * size : (i + 1) * size]))
        for i in yielding_gil(range(len(numbers)), _BETWEEN_YIELDS)
    ]
    return np.array(crcs, np.uint32)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.null_count:
        column = column.fill_null(_NULL)
    values: NDArray[Any] = column.to_numpy()
    return values


def _vector_crcs(vectors: pa.ChunkedArray) -> NDArray[np.uint32]:
    length = vectors.type.list_size
    crcs = [np.empty(0, np.uint32)]
    for part in vectors.chunks:
        # Where a vector is missing, flatten() would shift those behind it.
        whole = part.fill_null([0.0] * length) if part.null_count else part
        values = whole.flatten().to_numpy(zero_copy_only=False)
        crcs.append(_crcs(values.reshape(len(part), length)))
    return np.concatenate(crcs)


def _lower_halves(rows: pa.Table) -> NDArray[np.uint32]:
    low: NDArray[np.uint32] = _vector_crcs(rows.column("vector")) ^ _use_crcs(rows)
    return low


def _use_crcs(rows: pa.Table) -> NDArray[np.uint32]:
    return _crcs(np.stack([_values(rows.column(name)) for name in USED], axis=1))


def _crcs(values: NDArray[Any]) -> NDArray[np.uint32]:
    """The CRC-32 of each line of values, (n, m)."""
    said, size = values.tobytes(), values.shape[1] * values.itemsize
    crc32, view = zlib.crc32, memoryview(said)
    lines = yielding_gil(range(len(values)), _BETWEEN_YIELDS)
    return np.array([crc32(view[i * size : (i + 1) * size]) for i in lines], np.uint32)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
