"""The bytes of a row log's file: a header, and records of Arrow rows behind it.

::

    header   magic, format, length and crc32 of the schema, the file's marker, Arrow's schema
    record   marker, length, crc32 of the rows, crc32 of these; an Arrow record batch, 8 bytes 255

All parts begin at a multiple of 8. The marker is random, so that behind a damaged
record the next one is found, and no text that somebody stores can look like one.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field

import pyarrow as pa

FORMAT = 1

_MAGIC = b"bmv-log\n"
_ALIGNMENT = 8
_MARKER = 8
_HEADER = struct.Struct("<8sIII4x8s")
_RECORD = struct.Struct("<8sIII4x")
_CRCED = struct.Struct("<8sII")
# A power cut may leave the end of a file blank that had grown and was not synced. Rows may end with
# as many zeros (the vector of a text without a known word), so a record ends with something else.
_BLANK = 512
_END = b"\xff" * _ALIGNMENT


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        marker: 8 bytes with which each of its records begins.
        schema: of its rows.
        end: where its first record begins.
    """

    marker: bytes
    schema: pa.Schema
    end: int


@dataclass(slots=True)
class Found:
    """What was read of a file.

    Attributes:
        batches: the rows of each whole record, in order.
        end: where the last whole record ends.
        damaged: bytes that no kill explains: rows may be lost.
        torn: whether a write that was cut short follows ``end``.
    """

    batches: list[pa.RecordBatch] = field(default_factory=list)
    end: int = 0
    damaged: int = 0
    torn: bool = False


class NewerFormat(Exception):
    """A later version of this package wrote the file."""


def make_header(schema: pa.Schema) -> tuple[Header, bytes]:
    """The header of a new file, and its bytes."""
    marker = os.urandom(_MARKER)
    said = _padded(schema.serialize().to_pybytes())
    data = _HEADER.pack(_MAGIC, FORMAT, len(said), zlib.crc32(said, _seed(marker)), marker) + said
    return Header(marker, schema, len(data)), data


def make_record(marker: bytes, rows: pa.Table) -> bytes:
    """The bytes of one record; ``rows`` has at least one row."""
    (batch,) = rows.combine_chunks().to_batches()
    said = _padded(batch.serialize().to_pybytes()) + _END
    crc = zlib.crc32(said)
    return _RECORD.pack(marker, len(said), crc, _head_crc(marker, len(said), crc)) + said


def read_header(data: memoryview) -> Header | None:
    """The header of a file; None where it is cut short or damaged.

    Raises:
        NewerFormat: it has another format than :data:`FORMAT`.
    """
    if len(data) < _HEADER.size:
        return None
    magic, number, length, crc, marker = _HEADER.unpack_from(data)
    said = bytes(data[_HEADER.size : _HEADER.size + length])
    if magic != _MAGIC or len(said) < length or zlib.crc32(said, _seed(marker)) != crc:
        return None
    if number != FORMAT:
        raise NewerFormat(f"its format is {number}, not {FORMAT}")
    return Header(marker, pa.ipc.read_schema(pa.py_buffer(said)), _HEADER.size + length)


def header_cut_short(data: memoryview) -> bool:
    """Whether a file without a header is one whose maker was stopped: no row was ever in it."""
    if len(data) < _HEADER.size or not bytes(data).strip(b"\0"):
        return True
    magic, _, length, _, _ = _HEADER.unpack_from(data)
    short: bool = magic == _MAGIC and len(data) < _HEADER.size + length
    return short or bytes(data).endswith(bytes(_BLANK))


def read_records(data: memoryview, header: Header, begin: int = 0) -> Found:
    """Every whole record from ``begin`` on (default: from the first)."""
    at = begin or header.end
    found = Found(end=at)
    while at < len(data):
        end = _whole(data, header.marker, at)
        if end is None:
            behind = _next_whole(data, header.marker, at + _ALIGNMENT)
            if behind is None:
                break
            found.damaged += behind - at
            at = behind
            continue
        # A copy of their own: its address suits Arrow, and it goes when these rows go.
        said = pa.py_buffer(bytes(data[at + _RECORD.size : end]))
        found.batches.append(pa.ipc.read_record_batch(said, header.schema))
        found.end = at = end
    if found.end < len(data):
        if _cut_short(data, header.marker, found.end):
            found.torn = True
        else:
            found.damaged += len(data) - found.end
    return found


def _whole(data: memoryview, marker: bytes, at: int) -> int | None:
    """Where the whole record at ``at`` ends; None where there is none."""
    if at + _RECORD.size > len(data):
        return None
    its_marker, length, crc, head_crc = _RECORD.unpack_from(data, at)
    end: int = at + _RECORD.size + length
    if its_marker != marker or _head_crc(marker, length, crc) != head_crc or end > len(data):
        return None
    return end if zlib.crc32(data[at + _RECORD.size : end]) == crc else None


def _next_whole(data: memoryview, marker: bytes, at: int) -> int | None:
    rest = data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else bytes(data)
    while (at := rest.find(marker, at)) >= 0:
        if _whole(data, marker, at) is not None:
            return at
        at += 1
    return None


def _cut_short(data: memoryview, marker: bytes, at: int) -> bool:
    """Whether what begins at ``at`` is a write that a kill or a power cut stopped."""
    rest = bytes(data[at:])
    if not rest.strip(b"\0") or rest.endswith(bytes(_BLANK)):
        return True
    if len(rest) < _RECORD.size:
        return marker.startswith(rest[:_MARKER])
    its_marker, length, crc, head_crc = _RECORD.unpack_from(rest)
    good: bool = its_marker == marker and _head_crc(marker, length, crc) == head_crc
    return good and _RECORD.size + int(length) > len(rest)


def _head_crc(marker: bytes, length: int, crc: int) -> int:
    return zlib.crc32(_CRCED.pack(marker, length, crc))


def _seed(marker: bytes) -> int:
    return zlib.crc32(marker)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
